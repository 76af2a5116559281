package discover

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A succession is a [Finder.Next] that goes on, and what is told to it.
type succession struct {
	t     *testing.T
	s     System
	down  atomic.Bool
	looks atomic.Int64
	found chan *Result

	mu  sync.Mutex
	why []string
}

// next starts to wait for a radio in place of old, which is gone from the first look on that
// finds neither its names nor down false.
func next(t *testing.T, f Finder, old string) *succession {
	x := &succession{t: t, s: f.Prober.System, found: make(chan *Result, 1)}
	x.down.Store(true)
	f.Prober.rates = []int{115200}
	f.tick = time.Millisecond
	if f.GoneAfter == 0 {
		f.GoneAfter = time.Millisecond
	}
	if f.Settled == 0 {
		f.Settled = time.Millisecond
	}
	f.Waiting = func(why string) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.why = append(x.why, why)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, err := f.Next(ctx, old, "channel=15", func() bool { x.looks.Add(1); return x.down.Load() })
		if err == nil {
			x.found <- r
		} else if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return x
}

// stays asserts that no radio is taken within some looks.
func (x *succession) stays(what string) {
	x.t.Helper()
	for until := x.looks.Load() + 20; x.looks.Load() < until; time.Sleep(time.Millisecond) {
		select {
		case r := <-x.found:
			x.t.Fatalf("%s: %+v was taken", what, r.Radio)
		default:
		}
	}
}

// says waits until why no radio is taken has this in it.
func (x *succession) says(want string) {
	x.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		last := ""
		if len(x.why) > 0 {
			last = x.why[len(x.why)-1]
		}
		x.mu.Unlock()
		if want == "" && last == "" || want != "" && strings.Contains(last, want) {
			return
		}
		if time.Now().After(end) {
			x.t.Fatalf("it says %q, want %q", last, want)
		}
	}
}

func (x *succession) taken(proto Protocol, port string) {
	x.t.Helper()
	select {
	case r := <-x.found:
		want := string(proto) + "://" + x.s.path("dev", port) + "?baud=115200&channel=15"
		if r.Radio.Protocol != proto || r.Radio.URL != want {
			x.t.Errorf("%s was taken, want %s", r.Radio.URL, want)
		}
	case <-time.After(30 * time.Second):
		x.t.Fatalf("%s was not taken, it says %q", port, x.why)
	}
}

// pull takes a port out of the machine.
func pull(t *testing.T, s System, name string) {
	t.Helper()
	if err := os.Remove(s.path("dev", name)); err != nil {
		t.Fatal(err)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	s := machineWith(t, map[string]string{"ttyACM0": plug(t, Spinel, nil, nil), "ttyUSB0": plug(t, Slip, nil, nil)})
	x := next(t, Finder{Prober: Prober{System: s}}, "spinel://"+s.path("dev/ttyACM0"))
	x.stays("silent, and there")
	x.down.Store(false)
	pull(t, s, "ttyACM0")
	x.stays("it works, though its name is gone")
	x.down.Store(true)
	x.taken(Slip, "ttyUSB0")
}

// TestNextFollowed has the dongle come back under another name, as it is followed by that in
// by-id, and one that only by-id names.
func TestNextFollowed(t *testing.T) {
	t.Parallel()
	path := plug(t, Spinel, nil, nil)
	s := machineWith(t, map[string]string{"ttyACM0": path, "ttyUSB0": plug(t, Slip, nil, nil)})
	if err := os.MkdirAll(s.path("dev/serial/by-id"), 0o755); err != nil {
		t.Fatal(err)
	}
	id := s.path("dev/serial/by-id/usb-RCP_1-if00")
	link := func(name string) {
		t.Helper()
		if err := os.Symlink(s.path("dev", name), id+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(id+".new", id); err != nil {
			t.Fatal(err)
		}
	}
	link("ttyACM0")
	for _, old := range []string{s.path("dev/ttyACM0"), id} {
		x := next(t, Finder{Prober: Prober{System: s}}, "spinel://"+old)
		x.down.Store(false)
		x.stays("there")
		// It comes back under another name, beside the one that is to be left alone.
		add(t, s, "ttyS9", path)
		link("ttyS9")
		x.down.Store(true)
		pull(t, s, "ttyACM0")
		x.stays("followed by its name in by-id")
		pull(t, s, "ttyS9")
		if err := os.Remove(id); err != nil {
			t.Fatal(err)
		}
		x.taken(Slip, "ttyUSB0")
		add(t, s, "ttyACM0", path)
		link("ttyACM0")
	}
}

// TestNextInUse: a port that another program has open is not touched until that ends, and
// neither is that of another radio of ours, or one that was plugged in a moment ago.
func TestNextInUse(t *testing.T) {
	t.Parallel()
	ours, fresh, held := bare(t), bare(t), plug(t, Slip, nil, nil)
	written := make(chan int, 2)
	for _, p := range []*os.File{ours.File, fresh.File} {
		go func() {
			n, _ := p.Read(make([]byte, 100))
			written <- n
		}()
	}
	s := machineWith(t, map[string]string{"ttyACM1": held, "ttyUSB0": ours.Path})
	lock := s.path("run/lock/LCK.." + filepath.Base(held))
	if err := os.MkdirAll(filepath.Dir(lock), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	x := next(t, Finder{Prober: Prober{System: s}, Taken: []string{"slip:///dev/ttyUSB0?baud=115200"}}, "spinel:///dev/ttyACM0")
	x.says("ttyACM1: in use by pid 1")
	y := next(t, Finder{Prober: Prober{System: machineWith(t, map[string]string{"ttyACM7": fresh.Path})}, Settled: time.Hour}, "slip:///dev/ttyACM0")
	y.says("no serial port")
	y.stays("it may be that of another radio")
	select {
	case n := <-written:
		t.Fatalf("%d bytes were written to a port that is to be left alone", n)
	default:
	}
	x.stays("in use")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	x.taken(Slip, "ttyACM1")
	select {
	case n := <-written:
		t.Fatalf("%d bytes were written to a port that is to be left alone", n)
	default:
	}
}

// TestNextSeveral takes none of two, waits for nothing while the old one is there, and takes
// the one that is left.
func TestNextSeveral(t *testing.T) {
	t.Parallel()
	s := machineWith(t, map[string]string{"ttyACM0": "/dev/null", "ttyACM1": plug(t, Spinel, nil, nil), "ttyACM2": plug(t, Slip, nil, nil)})
	x := next(t, Finder{Prober: Prober{System: s}}, "spinel://"+s.path("dev/ttyACM0"))
	x.stays("there")
	pull(t, s, "ttyACM0")
	x.says("there are 2 radios")
	x.stays("two")
	add(t, s, "ttyACM0", "/dev/null")
	x.says("")
	pull(t, s, "ttyACM1")
	x.stays("there again")
	pull(t, s, "ttyACM0")
	x.taken(Slip, "ttyACM2")
}

// TestNextAgain: what was said while an earlier one waited holds no more when the radio is there.
func TestNextAgain(t *testing.T) {
	t.Parallel()
	s := machineWith(t, map[string]string{"ttyACM0": "/dev/null"})
	x := next(t, Finder{Prober: Prober{System: s}}, "spinel://"+s.path("dev/ttyACM0"))
	x.down.Store(false)
	x.stays("there")
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.why) != 1 || x.why[0] != "" {
		t.Errorf("it says %q", x.why)
	}
}

// TestNextElsewhere: a radio that is not plugged into this machine has no successor.
func TestNextElsewhere(t *testing.T) {
	for _, old := range []string{"zep://", "slip+tcp://192.0.2.1:60001", "spinel+tcp://[::1]:1", "%"} {
		if _, err := new(Finder).Next(t.Context(), old, "", func() bool { return true }); err == nil {
			t.Errorf("%s: no error", old)
		}
	}
	// A radio of the kernel is gone when its interface is.
	s := tree(t, map[string]string{"sys/class/net/wpan0/type": "804\n", "proc/locks": ""}, nil)
	add(t, s, "ttyACM0", plug(t, Spinel, nil, nil))
	x := next(t, Finder{Prober: Prober{System: s}}, "wpan://wpan0")
	x.stays("there")
	if err := os.RemoveAll(s.path("sys/class/net/wpan0")); err != nil {
		t.Fatal(err)
	}
	x.taken(Spinel, "ttyACM0")
}
