package lowpan

import (
	"bytes"
	"testing"
)

func TestRoutingHeader(t *testing.T) {
	for _, r := range []struct {
		name        string
		hex         string
		elective    bool
		typ, tse    uint8
		count, size int
	}{
		{"SRH, one hop of a byte", "80 00 05", false, 0, 0, 1, 1},
		{"SRH, three of 2 bytes", "82 01 0001 0002 0003", false, 1, 2, 3, 2},
		{"SRH, 4 bytes", "80 02 00000001", false, 2, 0, 1, 4},
		{"SRH, two of 8 bytes", "81 03 0000000000000001 0000000000000002", false, 3, 1, 2, 8},
		{"SRH, an address", "80 04 20010db8000000000000000000000001", false, 4, 0, 1, 16},
		{"RPI, all in-line", "90 05 1e 0180", false, 5, 0x10, 0, 0},
		{"RPI, short", "83 05 01", false, 5, 0x03, 0, 0},
		{"IP-in-IP, from the root", "a1 06 40", true, 6, 0, 0, 0},
		{"IP-in-IP, an IID", "a9 06 40 0000000000000001", true, 6, 0, 0, 0},
		{"elective, unknown", "a2 63 0102", true, 0x63, 0, 0, 0},
		{"elective, empty", "a0 63", true, 0x63, 0, 0, 0},
	} {
		b := hexOf(r.hex)
		h, n, err := ParseRoutingHeader(append(b, 0x7a))
		if err != nil || n != len(b) || h.Elective != r.elective || h.Type != r.typ || h.TSE != r.tse || !bytes.Equal(h.Data, b[2:]) {
			t.Errorf("%s: %+v, %d, %v", r.name, h, n, err)
		}
		if count, size := h.Hops(); count != r.count || size != r.size {
			t.Errorf("%s: %d hops of %d bytes", r.name, count, size)
		}
		if w, err := h.AppendBinary([]byte{Page1}); err != nil || !bytes.Equal(w[1:], b) {
			t.Errorf("%s: wrote %x, %v", r.name, w, err)
		}
		for n := range b {
			if _, _, err := ParseRoutingHeader(b[:n]); err != DropTruncated {
				t.Errorf("%s: first %d bytes: %v", r.name, n, err)
			}
		}
		if hop, addr, ok := h.Encapsulator(); ok != (r.typ == RoutingIPinIP) || ok && (hop != 64 || !bytes.Equal(addr, b[3:])) {
			t.Errorf("%s: encapsulator %d, %x, %v", r.name, hop, addr, ok)
		}
	}
	if _, _, err := ParseRoutingHeader(hexOf("8007ff")); err != Drop6LoRH {
		t.Errorf("unknown critical header: %v", err)
	}
	if _, _, err := ParseRoutingHeader(hexOf("7a33")); err != DropDispatch {
		t.Errorf("IPHC: %v", err)
	}
	for _, h := range []RoutingHeader{
		{Elective: true, Data: make([]byte, 32)},
		{Type: 1, TSE: 1, Data: make([]byte, 3)},
		{Type: 9},
	} {
		if b, err := h.AppendBinary(nil); err != DropLength || len(b) != 0 {
			t.Errorf("%+v: %x, %v", h, b, err)
		}
	}
	for _, n := range []int{0, 18} {
		if _, _, ok := (RoutingHeader{Elective: true, Type: RoutingIPinIP, Data: make([]byte, n)}).Encapsulator(); ok {
			t.Errorf("encapsulator in %d bytes", n)
		}
	}
}

func TestRPI(t *testing.T) {
	for _, r := range []struct {
		p   RPI
		hex string
	}{
		{RPI{SenderRank: 0x0100}, "83 05 01"},
		{RPI{SenderRank: 0x0180}, "82 05 0180"},
		{RPI{Instance: 30, SenderRank: 0x0300}, "81 05 1e 03"},
		{RPI{Down: true, RankError: true, ForwardError: true, Instance: 1, SenderRank: 1}, "9c 05 01 0001"},
	} {
		b := hexOf(r.hex)
		if w, err := r.p.AppendBinary(nil); err != nil || !bytes.Equal(w, b) {
			t.Errorf("%+v: %x, %v", r.p, w, err)
		}
		h, _, err := ParseRoutingHeader(b)
		if p, ok := h.RPI(); err != nil || !ok || p != r.p {
			t.Errorf("%s: %+v, %v, %v", r.hex, p, ok, err)
		}
	}
	if _, ok := (RoutingHeader{Type: 1}).RPI(); ok {
		t.Error("RPI of an SRH-6LoRH")
	}
}

// FuzzRoutingHeader: what parses is written again to the byte; an RPI says the same in its
// shortest form.
func FuzzRoutingHeader(f *testing.F) {
	for _, s := range []string{"820100010002", "90051e0180", "a90640000000000000000001", "830501"} {
		f.Add(hexOf(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseRoutingHeader(b)
		if err != nil {
			return
		}
		if w, err := h.AppendBinary(nil); err != nil || !bytes.Equal(w, b[:n]) {
			t.Fatalf("%x became %x, %v", b[:n], w, err)
		}
		if p, ok := h.RPI(); ok {
			w, _ := p.AppendBinary(nil)
			h2, m, err := ParseRoutingHeader(w)
			if q, ok := h2.RPI(); err != nil || !ok || q != p || m > n {
				t.Fatalf("%+v became %+v, %v", p, q, err)
			}
		}
	})
}
