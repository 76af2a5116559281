package spinel

import (
	"testing"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// Each reason is counted for what causes it; those of HDLC are in TestHDLC, a full queue in
// TestSlowReader.
func TestDrops(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want error
	}{
		{"00", DropTruncated},
		{"4006", DropHeader},
		{"900600", DropHeader},
		{"800600", nil}, // no status in it: nothing to say
		{"80067100", DropTruncated},
		{"800221", DropCommand},
		{"800621", DropCommand},
		{"83062101", DropTID},
		{"8006710000", DropMACLength},
		{"800671010000", DropMACLength},
		{"80067105000102030405" + "c4800400", DropBadFCS},
		{"80067105000102030405" + "c4800100", DropEcho},
		{"80067105000102030405" + "c4800800", ieee802154.DropDuplicate},
		{"8006710500ffffff0405", ieee802154.DropFrameType},
	} {
		r := &Radio{rx: driver.NewQueue(), mac: ieee802154.NewMAC(ieee802154.MACConfig{Ext: 2, PAN: 0x23})}
		s := &session{sink: r, resetC: make(chan Status, 1)}
		s.input(unhex(t, c.hex))
		st := r.RadioStats()
		if c.want == nil {
			if len(st.Drops) != 0 {
				t.Errorf("%s: %v", c.hex, st.Drops)
			}
			continue
		}
		if len(st.Drops) != 1 || st.Drops[0].Reason != c.want.Error() || st.Drops[0].Count != 1 || st.Received != 1 {
			t.Errorf("%s: %+v, want %v", c.hex, st, c.want)
		}
	}
	for d := Drop(1); d < numDrops; d++ {
		if d.Error() == "unknown" {
			t.Errorf("reason %d has no name", d)
		}
	}
}
