package ieee802154

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhexScan(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes were checked with tshark (wpan dissector).
func TestBeaconRequest(t *testing.T) {
	b := AppendBeaconRequest(nil, 0x2a)
	if want := unhexScan(t, "03082affffffff07"); !bytes.Equal(b, want) || len(b) != beaconRequestLen {
		t.Fatalf("%x, want %x", b, want)
	}
	var f Frame
	if err := f.Parse(b); err != nil {
		t.Fatal(err)
	}
	if id, ok := f.Command(); !ok || id != CommandBeaconRequest || !f.Dst.IsBroadcast() || f.DstPAN != BroadcastPAN || f.Seq != 0x2a {
		t.Fatalf("%+v", f)
	}
}

func TestBeaconFrame(t *testing.T) {
	for _, c := range []struct {
		name string
		hex  string
		d    PANDescriptor
		bc   Beacon
	}{
		{"extended, PAN coordinator, nothing permitted", "00c007cdab0a00000000741202" + "ff4f" + "00" + "00",
			PANDescriptor{PAN: 0xabcd, Addr: Extended(0x021274000000000a), Seq: 7, Superframe: 0x4fff},
			Beacon{Superframe: SuperframeNonbeacon | SuperframePANCoordinator, GTS: []byte{0}}},
		{"short, permit, one of each pending, payload", "0080082300" + "3412" + "ffcf" + "00" + "11" + "0600" + "0b00000000741202" + "0102",
			PANDescriptor{PAN: 0x23, Addr: Short(0x1234), Seq: 8, Superframe: 0xcfff, Payload: []byte{1, 2}},
			Beacon{Superframe: 0xcfff, GTS: []byte{0}, NumShort: 1, NumExt: 1, Pending: unhexScan(t, "06000b00000000741202"), Payload: []byte{1, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhexScan(t, c.hex)
			var d PANDescriptor
			if err := d.Parse(b); err != nil {
				t.Fatal(err)
			}
			if d.PAN != c.d.PAN || d.Addr != c.d.Addr || d.Seq != c.d.Seq || d.Superframe != c.d.Superframe || !bytes.Equal(d.Payload, c.d.Payload) || d.Enhanced || d.Secured {
				t.Errorf("%+v, want %+v", d, c.d)
			}
			if !d.PANCoordinator() || d.AssociationPermit() != (c.d.Superframe>>15 != 0) {
				t.Errorf("flags of %04x", d.Superframe)
			}
			got, err := AppendBeaconFrame([]byte{9}, c.d.Seq, c.d.PAN, c.d.Addr, &c.bc)
			if err != nil || !bytes.Equal(got[1:], b) {
				t.Errorf("%x, %v, want %x", got, err, b)
			}
			for n := range b[:len(b)-len(c.bc.Payload)] {
				if d.Parse(b[:n]) == nil {
					t.Errorf("%d of %d bytes parse", n, len(b))
				}
			}
		})
	}
	var d PANDescriptor
	if err := d.Parse(unhexScan(t, "020007")); err != DropFrameType {
		t.Errorf("acknowledgment: %v", err)
	}
	if err := d.Parse(unhexScan(t, "000007ff4f0000")); err != DropAddressing {
		t.Errorf("no source: %v", err)
	}
	// Enhanced: version 2015, extended source with its PAN, no information elements.
	if err := d.Parse(unhexScan(t, "00e007cdab0a00000000741202")); err != nil || !d.Enhanced || d.PAN != 0xabcd || d.Superframe != 0 {
		t.Errorf("enhanced: %v, %+v", err, d)
	}
	bc := Beacon{Superframe: 0x4fff, GTS: []byte{0}}
	for _, c := range []struct {
		src Addr
		bc  Beacon
		err error
	}{
		{Addr{}, bc, DropAddressing},
		{Short(1), Beacon{}, DropPayload},
		{Short(1), Beacon{GTS: []byte{0}, Payload: make([]byte, 120)}, DropTooLong},
	} {
		if b, err := AppendBeaconFrame([]byte{1}, 0, 1, c.src, &c.bc); err != c.err || len(b) != 1 {
			t.Errorf("%v: %v, want %v", c.src, err, c.err)
		}
	}
}

// FuzzPANDescriptor: what parses as a plain beacon and is written again from its parts says
// the same.
func FuzzPANDescriptor(f *testing.F) {
	for _, s := range []string{"00c007cdab0a00000000741202ff4f0000", "00800823003412ffcf001106000b000000007412020102", "00e007cdab0a00000000741202"} {
		f.Add(unhexScan(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, again PANDescriptor
		if d.Parse(b) != nil || d.Enhanced || d.Secured {
			return
		}
		bc := Beacon{Superframe: d.Superframe, GTS: []byte{0}, Payload: d.Payload}
		w, err := AppendBeaconFrame(nil, d.Seq, d.PAN, d.Addr, &bc)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Parse(w); err != nil || again.PAN != d.PAN || again.Addr != d.Addr || again.Superframe != d.Superframe || !bytes.Equal(again.Payload, d.Payload) {
			t.Fatalf("%v: %+v, want %+v", err, again, d)
		}
	})
}
