package lowpan

import (
	"bytes"
	"testing"
	"time"

	"border-router/ipv6"
)

func TestFragment(t *testing.T) {
	var c Contexts
	l := Link{Src: ipv6.Short(1), Dst: ipv6.Short(2)}
	p := ipv6.Packet(ipv6.AppendHeader(nil, 0, 0, 500, ipv6.ProtoNone, 64, ipv6.LinkLocal(l.Src), ipv6.LinkLocal(l.Dst)))
	p = append(p, bytes.Repeat([]byte{7}, 500)...)
	for _, o := range []CompressOptions{{}, {GHC: true}} {
		for room := range 130 {
			r := NewReassembler(Limits{}, &c)
			var got ipv6.Packet
			ended := false
			err := c.Fragment(p, l, o, room, 9, func(b []byte, last bool) {
				if len(b) > room || ended {
					t.Fatalf("room %d: %d bytes, ended %v", room, len(b), ended)
				}
				ended = last
				var err error
				if got, err = r.Input(time.Unix(0, 0), b, l); err != nil {
					t.Fatalf("room %d: %v", room, err)
				}
			})
			if err != nil {
				if err != DropTooLong || room >= fragNLen+8 {
					t.Errorf("room %d: %v", room, err)
				}
				continue
			}
			if !ended || !bytes.Equal(got, p) {
				t.Errorf("room %d: ended %v, %x", room, ended, got)
			}
		}
	}
	if err := c.Fragment(p[:39], l, CompressOptions{}, 100, 9, nil); err != DropTruncated {
		t.Error(err)
	}
	long := ipv6.Packet(ipv6.AppendHeader(nil, 0, 0, MaxDatagram, ipv6.ProtoNone, 64, ipv6.LinkLocal(l.Src), ipv6.LinkLocal(l.Dst)))
	long = append(long, make([]byte, MaxDatagram)...)
	if err := c.Fragment(long, l, CompressOptions{}, 100, 9, nil); err != DropTooLong {
		t.Error(err)
	}
}

func TestDecodeGHC(t *testing.T) {
	dst := make([]byte, 8)
	var a [16]byte
	for _, c := range []struct {
		code []byte
		want []byte
		err  error
	}{
		{[]byte{2, 1, 2, 0x80}, []byte{1, 2, 0, 0}, nil},
		{[]byte{3, 1}, nil, DropTruncated},
		{[]byte{0x9f}, nil, DropGHC},
		{[]byte{0x87}, nil, DropTooLong},
	} {
		n, err := DecodeGHC(dst, c.code, a, a)
		if err != c.err || !bytes.Equal(dst[:n], c.want) {
			t.Errorf("%x: %x, %v; want %x, %v", c.code, dst[:n], err, c.want, c.err)
		}
	}
}
