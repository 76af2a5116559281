package lowpan

import (
	"bytes"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// FuzzSecureInput gives an Interface with a key any frames, genuine ones among them. It
// does not panic, every frame is counted once, no frame is delivered that is not secured
// well enough, and the frame counters of what is delivered only go up.
func FuzzSecureInput(f *testing.F) {
	join := func(frames ...[]byte) (b []byte) {
		for _, x := range frames {
			b = append(append(b, byte(len(x))), x...)
		}
		return b
	}
	at := func(n uint32, level uint8) []byte {
		return secureFrame(f, keyAll, func(f *ieee802154.Frame) { f.Sec.FrameCounter, f.Sec.Level = n, level })
	}
	f.Add(join(at(1, 5), at(2, 6), at(2, 6), at(1, 5), at(3, 1), at(4, 7)))
	f.Add(join(dataFrame(nil, udpPayload(f)...), at(9, 4), at(1<<31, 5), at(5, 5)))
	f.Add(join(secureFrame(f, keyBad, nil), secureFrame(f, keyAll, func(f *ieee802154.Frame) { f.Src = ieee802154.Short(shortB) })))
	f.Fuzz(func(t *testing.T, b []byte) {
		delivered := 0
		i := NewInterface(InterfaceConfig{EUI64: euiA, Short: 0xa, PAN: pan, Limits: Limits{Reassemblies: 3},
			Security: secured(func(s *Security) {
				s.MaxDevices = 4
				s.Devices = []SecureDevice{{EUI64: euiB, Short: shortB}, {EUI64: 0xc, HasKey: true, Key: keyPair}}
			}),
			Deliver: func(time.Time, ipv6.Packet, ipv6.Meta) { delivered++ }})
		now := time.Unix(100, 0)
		last := make(map[uint64]int64)
		for len(b) > 0 {
			n := min(1+int(b[0]), len(b))
			frame, before := bytes.Clone(b[1:n]), b[1:n]
			b = b[n:]
			was := delivered
			i.Input(now, &ieee802154.RxFrame{Data: frame})
			if !bytes.Equal(frame, before) {
				t.Fatal("the frame was changed")
			}
			checkInterface(t, i)
			if delivered == was {
				continue
			}
			var h ieee802154.Frame
			if err := h.Parse(frame); err != nil || !h.Security || h.Sec.Level < 5 {
				t.Fatalf("delivered %x: %+v, %v", frame, h.Sec, err)
			}
			src := h.Src.V
			if h.Src.Mode == ieee802154.AddrShort {
				src = euiB
			}
			if c := int64(h.Sec.FrameCounter); last[src] > c {
				t.Fatalf("counter %d delivered after %d", c, last[src]-1)
			} else {
				last[src] = c + 1
			}
			if kept, _ := i.DeviceCounters(nil); len(kept) > 4 {
				t.Fatalf("%d devices remembered", len(kept))
			}
		}
	})
}
