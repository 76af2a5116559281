package sim

import (
	"encoding/hex"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Property: whatever frames come from the air, in whatever order and between whatever
// happens to the mesh, every frame and packet is accounted for, no table outgrows its
// bound and no deadline is stuck; and where nobody interfered, all nodes are in the mesh
// in the end.
func FuzzWorld(f *testing.F) {
	add := func(ops ...any) {
		var in []byte
		for _, o := range ops {
			switch o := o.(type) {
			case int:
				in = append(in, byte(o))
			case string:
				b := unhex(f, o)
				in = append(append(in, 0, byte(len(b))), b...)
			}
		}
		f.Add(uint64(1), in)
	}
	const (
		rs    = "41d8082300ffff090000feff0000027b493a0285007bb800000000"
		frag1 = "61dcb92300000000feff000002090000feff000002c0c0b44f7b3b3a0186007c9b4000070800000000"
		fragn = "61dcba2300000000feff000002090000feff000002e0c0b44f11000102030405060708"
		dad   = "41d8092300ffff090000feff000001493a0201ff00000187009ac500000000fd006c6f77700000000000fffe000001"
	)
	add(rs, rs, 4, dad)
	add(frag1, fragn, fragn, 4, frag1, 5)
	add(1, 4, rs, 2, 4, 3, 4, 6, dad, 5)
	f.Fuzz(func(t *testing.T, seed uint64, in []byte) {
		w := NewWorld(WorldConfig{Nodes: 3, Classic: 1, Seed: seed, Impairment: Impairment{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}})
		for i := 1; i <= 3; i++ {
			w.Start(i)
		}
		w.Run(20 * time.Second)
		injected := false
		for steps := 0; len(in) > 0 && steps < 200; steps++ {
			op := in[0]
			in = in[1:]
			i := 1 + int(op>>3)%3
			switch op & 7 {
			case 0: // a frame
				if len(in) == 0 {
					break
				}
				n := min(int(in[0]), len(in)-1)
				w.Inject(in[1 : 1+n])
				injected = true
				in = in[1+n:]
			case 1:
				w.Kill(i)
			case 2:
				w.Start(i)
			case 3:
				w.Stop(i)
			case 4:
				w.Run(w.Now() + time.Duration(op>>3)*100*time.Millisecond)
			case 5:
				w.Run(w.Now() + time.Duration(op>>3)*time.Minute)
			case 6:
				w.RestartRouter(op&8 == 0)
			case 7:
				for _, a := range w.Addrs(i) {
					w.Ping(a, int(op>>3)*40, 2*time.Second, nil)
				}
			}
			if err := w.Check(); err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; i <= 3; i++ {
			w.Start(i)
		}
		w.Run(w.Now() + 3*time.Hour) // whatever was planted has run out
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		if st := w.stations[0].iface.Stats(); st.FramesHeld != 0 || st.DatagramsQueued != 0 {
			t.Fatalf("not at rest: %d frames held, %d datagrams queued", st.FramesHeld, st.DatagramsQueued)
		}
		// A frame may have claimed the address of a node for good.
		if n := w.Joined(); n != 3 && !injected {
			t.Fatalf("%d of 3 nodes are in the mesh", n)
		}
	})
}
