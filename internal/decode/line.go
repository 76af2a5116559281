package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"border-router/ipv6"
	"border-router/lowpan"
)

// A line is one line of JSON. Keys that are not here are passed over: a file of vectors with
// the results beside the input can be decoded as it is.
type line struct {
	ID       json.RawMessage `json:"id"`
	Frame    *string         `json:"frame_hex"`
	HasFCS   *bool           `json:"has_fcs"`
	DLT      *uint32         `json:"dlt"`
	Frames   []string        `json:"frames"`
	L2Src    string          `json:"l2_src"`
	L2Dst    string          `json:"l2_dst"`
	PAN      panID           `json:"pan"`
	Payload  *string         `json:"payload_hex"`
	Datagram *string         `json:"compressed_hex"`
	Payloads []string        `json:"payloads"`
	UDP      *string         `json:"udp_payload_hex"`
	IPv6     *string         `json:"ipv6_hex"`
	Header   *string         `json:"header_hex"`
	FCF      *string         `json:"fcf_hex"`
	L2Addr   *string         `json:"l2_addr"`
	RSSI     *int            `json:"rssi"`
	Contexts []lineContext   `json:"contexts"`
	Key      string          `json:"key"`
	SrcExt   string          `json:"src_ext"`
	GHC      bool            `json:"ghc"`
	Root     string          `json:"root"`
	Src      string          `json:"src"` // with Dst: compressed_hex is the code of RFC 7400 alone
	Dst      string          `json:"dst"`

	ElideChecksum bool `json:"checksum_elision"`
}

type lineContext struct {
	CID      int    `json:"cid"`
	Prefix   string `json:"prefix"`
	Len      *int   `json:"len"`
	Compress *bool  `json:"compress"`
}

// A panID is a number, or a string in hexadecimal.
type panID struct {
	v  uint16
	ok bool
}

func (p *panID) UnmarshalJSON(b []byte) (err error) {
	if string(b) == "null" {
		return nil
	}
	s := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		p.v, err = ParsePAN(s)
	} else {
		var v uint64
		v, err = strconv.ParseUint(s, 10, 16)
		p.v = uint16(v)
	}
	p.ok = err == nil
	return err
}

// parse decodes b. Where the error is not nil, l.ID may still hold.
func (l *line) parse(b []byte) error {
	*l = line{Contexts: l.Contexts[:0], Frames: l.Frames[:0], Payloads: l.Payloads[:0]}
	if err := json.Unmarshal(b, l); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("%s: %s is not what belongs there", e.Field, e.Value)
		}
		return fmt.Errorf("no JSON: %w", err)
	}
	if len(l.ID) > 0 && bytes.ContainsAny(l.ID, "\n\r") {
		l.ID = nil
	}
	return nil
}

// contexts fills c with the contexts of the line.
func (l *line) contexts(c *lowpan.Contexts) error {
	for _, x := range l.Contexts {
		var p netip.Prefix
		var err error
		if strings.Contains(x.Prefix, "/") {
			p, err = netip.ParsePrefix(x.Prefix)
		} else {
			var a netip.Addr
			a, err = netip.ParseAddr(x.Prefix)
			n := 64
			if x.Len != nil {
				n = *x.Len
			}
			p = netip.PrefixFrom(a, n)
		}
		if err != nil || !p.IsValid() || !c.Set(x.CID, lowpan.Context{Prefix: p, Compress: x.Compress == nil || *x.Compress}) {
			return fmt.Errorf("contexts: %d=%s is none", x.CID, x.Prefix)
		}
	}
	return nil
}

// link returns the link-layer addresses of the line, where it has them.
func (l *line) link(pan uint16) (k lowpan.Link, err error) {
	if k.Src, err = linkAddr("l2_src", l.L2Src); err != nil {
		return k, err
	}
	if k.Dst, err = linkAddr("l2_dst", l.L2Dst); err != nil {
		return k, err
	}
	if k.PAN = pan; l.PAN.ok {
		k.PAN = l.PAN.v
	}
	return k, nil
}

func linkAddr(what, s string) (ipv6.LinkAddr, error) {
	if s == "" {
		return ipv6.LinkAddr{}, nil
	}
	var buf [16]byte
	b, err := unhex(buf[:0], s)
	if err == nil {
		if a, ok := ipv6.LinkAddrFrom(b); ok && a.Len() != 6 {
			return a, nil
		}
	}
	return ipv6.LinkAddr{}, fmt.Errorf("%s: %q is neither 2 nor 8 bytes in hexadecimal", what, s)
}
