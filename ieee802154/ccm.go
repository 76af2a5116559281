package ieee802154

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

const (
	blockLen = aes.BlockSize
	nonceLen = 13 // so that L, the length of the message length, is 2 (Annex B.2.1)
)

// A Cipher is an AES-128 key for CCM* (IEEE Std 802.15.4-2015 section 9.3, Annex B), and
// the blocks that it works in: it allocates nothing, and is for one goroutine at a time.
type Cipher struct {
	block cipher.Block
	ctr   [blockLen]byte // Ai: flags, nonce, block counter
	key   [blockLen]byte // Si = E(Ai)
	mac   [blockLen]byte // Xi: the CBC-MAC so far
}

// NewCipher returns a Cipher of key.
func NewCipher(key [16]byte) *Cipher {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("ieee802154: AES-128: " + err.Error()) // only for another length
	}
	return &Cipher{block: block}
}

// Fingerprint returns what tells keys apart without telling them: the key's encryption of
// the zero block, which CCM* never encrypts.
func (c *Cipher) Fingerprint() uint64 {
	c.key = [blockLen]byte{}
	c.block.Encrypt(c.key[:], c.key[:])
	return binary.BigEndian.Uint64(c.key[:])
}

// begin starts a message of the authenticated data a and mLen bytes to encipher with a MIC
// of micLen bytes: B0 and the blocks of a go into the CBC-MAC. Without a MIC nothing is
// authenticated (Annex B.4.1).
func (c *Cipher) begin(nonce *[nonceLen]byte, a []byte, mLen, micLen int) {
	c.ctr[0] = 1 // flags: L - 1
	copy(c.ctr[1:14], nonce[:])
	if micLen == 0 {
		return
	}
	// Flags of B0: bit 6 there is authenticated data, 3-5 (M-2)/2, 0-2 L-1.
	c.mac = c.ctr
	c.mac[0] = byte(micLen-2)/2<<3 | 1
	binary.BigEndian.PutUint16(c.mac[14:], uint16(mLen))
	if len(a) == 0 {
		c.block.Encrypt(c.mac[:], c.mac[:])
		return
	}
	c.mac[0] |= 1 << 6
	c.block.Encrypt(c.mac[:], c.mac[:])
	// The length of a, in two bytes below ff00, stands before it.
	c.mac[0] ^= byte(len(a) >> 8)
	c.mac[1] ^= byte(len(a))
	n := min(len(a), blockLen-2)
	subtle.XORBytes(c.mac[2:], c.mac[2:], a[:n])
	c.block.Encrypt(c.mac[:], c.mac[:])
	for a = a[n:]; len(a) > 0; a = a[n:] {
		n = min(len(a), blockLen)
		subtle.XORBytes(c.mac[:], c.mac[:], a[:n])
		c.block.Encrypt(c.mac[:], c.mac[:])
	}
}

// stream makes the next block of key stream: number n. The MIC has number 0.
func (c *Cipher) stream(n int) {
	binary.BigEndian.PutUint16(c.ctr[14:], uint16(n))
	c.block.Encrypt(c.key[:], c.ctr[:])
}

// seal enciphers src into dst, which has the same length and is src or apart from it. The
// MAC goes over the clear text. Both ciphers take a block in turn: the processor works at
// the one while the other waits.
func (c *Cipher) seal(dst, src []byte, micLen int) {
	for n := 1; len(src) > 0; n++ {
		c.stream(n)
		k := min(len(src), blockLen)
		if micLen > 0 {
			subtle.XORBytes(c.mac[:], c.mac[:], src[:k])
			c.block.Encrypt(c.mac[:], c.mac[:])
		}
		subtle.XORBytes(dst, src[:k], c.key[:])
		dst, src = dst[k:], src[k:]
	}
}

// open deciphers src into dst, with the same conditions as seal.
func (c *Cipher) open(dst, src []byte, micLen int) {
	for n := 1; len(src) > 0; n++ {
		c.stream(n)
		k := min(len(src), blockLen)
		subtle.XORBytes(dst, src[:k], c.key[:])
		if micLen > 0 {
			subtle.XORBytes(c.mac[:], c.mac[:], dst[:k])
			c.block.Encrypt(c.mac[:], c.mac[:])
		}
		dst, src = dst[k:], src[k:]
	}
}

// finish enciphers the CBC-MAC: the MIC stands at the start of the result.
func (c *Cipher) finish() *[blockLen]byte {
	c.stream(0)
	subtle.XORBytes(c.mac[:], c.mac[:], c.key[:])
	return &c.mac
}
