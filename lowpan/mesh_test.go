package lowpan

import (
	"bytes"
	"testing"

	"border-router/ipv6"
)

func TestMeshHeader(t *testing.T) {
	for _, r := range []struct {
		name string
		hex  string
		want MeshHeader
	}{
		{"short, 1 hop", "b1 0001 0002", MeshHeader{ipv6.Short(1), ipv6.Short(2), 1}},
		{"14 hops", "be 0001 ffff", MeshHeader{ipv6.Short(1), ipv6.BroadcastShort, 14}},
		{"deep", "bf 20 0001 0002", MeshHeader{ipv6.Short(1), ipv6.Short(2), 32}},
		{"deep 15", "bf 0f 0001 0002", MeshHeader{ipv6.Short(1), ipv6.Short(2), 15}},
		{"no hops", "b0 0001 0002", MeshHeader{ipv6.Short(1), ipv6.Short(2), 0}},
		{"long originator", "93 0102030405060708 0002", MeshHeader{ipv6.EUI64(0x0102030405060708), ipv6.Short(2), 3}},
		{"long final", "a3 0002 0102030405060708", MeshHeader{ipv6.Short(2), ipv6.EUI64(0x0102030405060708), 3}},
		{"both long", "83 0000000000000001 0000000000000002", MeshHeader{ipv6.EUI64(1), ipv6.EUI64(2), 3}},
	} {
		b := hexOf(r.hex)
		h, n, err := ParseMeshHeader(append(b, 0x41))
		if err != nil || n != len(b) || h != r.want {
			t.Errorf("%s: %+v, %d, %v", r.name, h, n, err)
		}
		if got, err := r.want.AppendBinary(nil); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: wrote %x, %v", r.name, got, err)
		}
		for n := range b {
			if _, _, err := ParseMeshHeader(b[:n]); err != DropTruncated {
				t.Errorf("%s: first %d bytes: %v", r.name, n, err)
			}
		}
	}
	if _, _, err := ParseMeshHeader([]byte{0x41}); err != DropDispatch {
		t.Error(err)
	}
	if _, err := (MeshHeader{}).AppendBinary(nil); err != DropLinkAddr {
		t.Error(err)
	}
	if _, err := (MeshHeader{Originator: ipv6.Short(1), Final: ipv6.EUI48([6]byte{})}).AppendBinary(nil); err != DropLinkAddr {
		t.Error(err)
	}
}

func TestBC0Header(t *testing.T) {
	h, n, err := ParseBC0Header([]byte{0x50, 7, 0x41})
	if h.Seq != 7 || n != 2 || err != nil {
		t.Error(h, n, err)
	}
	if b, err := h.AppendBinary(nil); err != nil || !bytes.Equal(b, []byte{0x50, 7}) {
		t.Errorf("%x, %v", b, err)
	}
	for _, r := range []struct {
		b    []byte
		want Drop
	}{{nil, DropTruncated}, {[]byte{0x50}, DropTruncated}, {[]byte{0x41, 0}, DropDispatch}} {
		if _, _, err := ParseBC0Header(r.b); err != r.want {
			t.Errorf("%x: %v, want %v", r.b, err, r.want)
		}
	}
}

func TestClassify(t *testing.T) {
	count := map[Dispatch]int{}
	for i := range 256 {
		d := Classify([]byte{byte(i)})
		count[d]++
		if d.Drop().Error() == "lowpan_unknown" {
			t.Errorf("%v has no reason", d)
		}
	}
	for d, want := range map[Dispatch]int{
		DispatchNALP: 64, DispatchESC: 1, DispatchIPv6: 1, DispatchHC1: 1, DispatchDFF: 1, DispatchBC0: 1,
		DispatchIPHC: 32, DispatchMesh: 64, DispatchFRAG1: 8, DispatchFRAGN: 8, DispatchRFRAG: 4, DispatchPaging: 16,
		DispatchUnassigned: 55,
	} {
		if count[d] != want {
			t.Errorf("%v: %d values, want %d", d, count[d], want)
		}
	}
	if d := Classify(nil); d != DispatchEmpty || d.Drop() != DropTruncated || d.String() != "empty" {
		t.Error(d)
	}
	if d := Dispatch(200); d.Drop() != DropDispatch || d.String() != "unassigned" {
		t.Error(d)
	}
}
