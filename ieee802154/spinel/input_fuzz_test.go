package spinel

import (
	"io"
	"log/slog"
	"slices"
	"testing"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// Whatever the line carries, nothing panics, each frame is counted once, nothing grows, and
// the frame behind it is received.
func FuzzInput(f *testing.F) {
	f.Add([]byte("boot\r\n"), uint8(3))
	for _, s := range []string{"80060070", "81060000000005000200074480c4800000", "8d0636cefa", "8006390ba6", "80067068656c6c6f", "800674", "90067100",
		"80067105000102030405c4800400", "8006710500ffffff0405"} {
		f.Add(AppendHDLC(nil, unhex(f, s)), uint8(5))
	}
	f.Add(slices.Concat(received(f), received(f)), uint8(40))
	good := received(f)
	f.Fuzz(func(t *testing.T, noise []byte, cut uint8) {
		if len(noise) > 8<<10 {
			return
		}
		r := &Radio{rx: driver.NewQueue(), ctx: t.Context(), log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			mac: ieee802154.NewMAC(ieee802154.MACConfig{Ext: 2, PAN: 0x23})}
		s := &session{sink: r, resetC: make(chan Status, 4), energy: make(chan Energy, 16), askWake: make(chan struct{}, 1), txWake: make(chan struct{}, 1),
			wantAsk: 13, wantTx: 1}
		var dec Decoder
		feed := func(b []byte) {
			for len(b) > 0 {
				frame, n, err := dec.Next(b)
				b = b[n:]
				if err != nil {
					r.drop(err.(Drop))
				} else if frame != nil {
					s.input(frame)
				}
			}
		}
		k := min(int(cut), len(noise))
		feed(noise[:k])
		feed(noise[k:])
		feed([]byte{flagByte}) // ends what looks like a frame
		before := r.RadioStats().Delivered
		feed(good)
		st := r.RadioStats()
		if st.Delivered != before+1 && !r.rx.Full() {
			t.Errorf("the frame behind the noise is not received: %+v", st)
		}
		sum := st.Delivered + st.Consumed
		for _, d := range st.Drops {
			sum += d.Count
		}
		if sum != st.Received {
			t.Errorf("received %d, accounted for %d: %+v", st.Received, sum, st)
		}
		if len(s.reply.Value) > MaxFrame || len(s.tx.Ack) > ieee802154.MaxFrame {
			t.Errorf("%d and %d bytes are kept", len(s.reply.Value), len(s.tx.Ack))
		}
	})
}
