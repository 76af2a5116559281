package slipradio

import (
	"io"
	"log/slog"
	"slices"
	"testing"

	"border-router/ieee802154"
)

// FuzzInput: whatever the line carries, in any dialect, nothing panics, each frame is counted
// once, no report frees a slot that is not its own, and the frame behind it is received.
func FuzzInput(f *testing.F) {
	for d := range uint8(numDialects) {
		for _, b := range [][]byte{[]byte("boot\r\n"), AppendFrame(nil, []byte("!R\x03\x00\x01")), AppendFrame(nil, []byte("!M\x02\x00\x00\x00\x00\x00\x00\x01")),
			AppendFrame(nil, withCRC(unhex(f, "bf617400ff"))), AppendFrame(nil, withCRC(unhex(f, "a361741836616907617600"))),
			slices.Concat(stream(Slip, 1), stream(Slip, 1)), stream(SerialRadio, 9)} {
			f.Add(d, b, uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, dialect uint8, noise []byte, cut uint8) {
		if len(noise) > 8<<10 {
			return
		}
		r, s := inputRadio(Dialect(dialect % uint8(numDialects)))
		r.log = slog.New(slog.NewTextHandler(io.Discard, nil))
		r.slots[3].state, r.slots[7].state = slotFlying, slotStale
		var dec Decoder
		k := min(int(cut), len(noise))
		s.input(&dec, noise[:k])
		s.input(&dec, noise[k:])
		s.input(&dec, []byte{slipEnd})
		if s.dialect == Auto { // nobody knows yet what its frames are
			s.dialect = Slip
		}
		duplicates := func() uint64 { return r.macDrop[ieee802154.DropDuplicate] }
		before := r.stats.Delivered + duplicates()
		s.input(&dec, stream(s.dialect, 200))
		if r.stats.Delivered+duplicates() != before+1 && !r.rx.Full() {
			t.Errorf("%v: the frame behind the noise is not received: %+v", s.dialect, r.stats)
		}
		st := r.RadioStats()
		sum := st.Delivered + st.Consumed
		for _, d := range st.Drops {
			sum += d.Count
		}
		if sum != st.Received {
			t.Errorf("%v: received %d, accounted for %d: %+v", s.dialect, st.Received, sum, st)
		}
		for i := range r.slots {
			if state := r.slots[i].state; i != 3 && i != 7 && state != slotFree || i == 7 && state == slotDone {
				t.Errorf("slot %d: %v", i, state)
			}
		}
	})
}
