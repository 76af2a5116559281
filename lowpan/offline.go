package lowpan

import "border-router/ipv6"

// Fragment compresses p and gives the payloads of the MAC frames that carry it, of at most
// room bytes each, to yield: one, or fragments with the tag in order (RFC 4944 section
// 5.3). It is what an [Interface] does, without queue and radio. A payload is valid during
// the call. The error is a [Drop]: one of [Contexts.Compress], or [DropTooLong] where p is
// longer than fragments can say or room too small for its headers.
func (c *Contexts) Fragment(p ipv6.Packet, l Link, o CompressOptions, room int, tag uint16, yield func(payload []byte, last bool)) error {
	d, err := c.cutter(p, l, o)
	if o.GHC && err == nil && len(d.b) > room {
		o.GHC = false // it is meant for what then fits into one frame
		d, err = c.cutter(p, l, o)
	}
	if err != nil {
		return err
	}
	if !d.fits(room) {
		d = cutter{hdr: 1, b: append([]byte{0x41}, p...)}
	}
	if !d.fits(room) || len(d.b) > room && d.size() > MaxDatagram {
		return DropTooLong
	}
	d.tag = tag
	buf := make([]byte, 0, room)
	for last := false; !last; {
		var b []byte
		b, last = d.cut(buf, room)
		yield(b, last)
	}
	return nil
}

func (c *Contexts) cutter(p ipv6.Packet, l Link, o CompressOptions) (cutter, error) {
	hdr, consumed, err := c.Compress(nil, p, l, o)
	if err != nil {
		return cutter{}, err
	}
	return cutter{hdr: len(hdr), consumed: consumed, b: append(hdr, p[consumed:]...)}, nil
}

// DecodeGHC executes code, generic header compression (RFC 7400) of a packet between the
// addresses from and to, into dst and returns how many bytes that gave. The error is a
// [Drop]: [DropTruncated], [DropGHC], [DropTooLong].
func DecodeGHC(dst, code []byte, from, to [16]byte) (n int, err error) {
	var h [ipv6.HeaderLen]byte
	copy(h[8:], from[:])
	copy(h[24:], to[:])
	var dict [ghcDictLen]byte
	ghcDict(&dict, h[:])
	n, drop := decodeGHC(dst, code, &dict, DropTooLong)
	if drop != 0 {
		return 0, drop
	}
	return n, nil
}
