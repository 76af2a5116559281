package sim

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestImpairer(t *testing.T) {
	im := Impairment{Loss: 0.2, Duplicate: 0.05, Reorder: 0.1, Delay: 3 * time.Millisecond, Jitter: 2 * time.Millisecond}
	const n = 100_000
	var lost, dup, late int
	a, b, c := NewImpairer(im, 7), NewImpairer(im, 7), NewImpairer(im, 8)
	differ := false
	for range n {
		f := a.Next()
		if f != b.Next() {
			t.Fatal("one seed, two fates")
		}
		differ = differ || f != c.Next()
		switch {
		case f.Drop:
			lost++
			if f.Duplicate {
				t.Fatal("lost twice")
			}
		case f.Duplicate:
			dup++
		}
		if f.Delay >= 20*time.Millisecond {
			late++
			f.Delay -= defaultReorderBy
		}
		if f.Delay < im.Delay || f.Delay > im.Delay+im.Jitter {
			t.Fatalf("delay %v", f.Delay)
		}
	}
	if !differ {
		t.Error("two seeds, one fate")
	}
	for _, x := range []struct {
		name string
		got  int
		want float64
	}{{"lost", lost, 0.2}, {"duplicated", dup, 0.8 * 0.05}, {"late", late, 0.1}} {
		if got := float64(x.got) / n; math.Abs(got-x.want) > 0.005 {
			t.Errorf("%s: %.4f, want %.3f", x.name, got, x.want)
		}
	}
}

func TestHook(t *testing.T) {
	h := NewHook(Impairment{Loss: 1, Delay: time.Second}, 1)
	if drop, delay, dup := h.Impair(netip.AddrPort{}, netip.AddrPort{}, nil); !drop || delay != time.Second || dup {
		t.Error(drop, delay, dup)
	}
	i := NewImpairer(Impairment{Loss: 0.5}, 1)
	if n := testing.AllocsPerRun(100, func() { i.Next() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
