package macsec

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ieee802154"
	"border-router/internal/config"
	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/lowpan"
)

var testKey = config.NewKey([16]byte{0xc0, 0xc1})

func testConfig(store Store) Config {
	s := config.DefaultSecurity()
	s.Key = testKey
	return Config{Name: "mesh0", EUI64: 0xa, Security: s, Store: store}
}

func open(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func make1(t *testing.T, cfg Config) (*Keeper, *lowpan.Security) {
	t.Helper()
	k, sec, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k, sec
}

func TestNoKey(t *testing.T) {
	cfg := testConfig(state.OpenMemory())
	cfg.Security.Key = config.Key{}
	k, sec := make1(t, cfg)
	if k != nil || sec != nil {
		t.Error("secures without a key")
	}
	k.Start(nil)
	k.Close()
}

// TestKilled starts again and again without an end in order: no frame counter that an
// earlier life could have used is used again.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	next := uint32(0)
	for range 3 {
		s := open(t, dir)
		_, sec := make1(t, testConfig(s))
		if sec.Counter < next || sec.Reserved != sec.Counter+lowpan.CounterStep {
			t.Fatalf("from %d to %d after %d", sec.Counter, sec.Reserved, next)
		}
		if next != 0 && sec.Counter != next {
			t.Errorf("%d counters lost", sec.Counter-next)
		}
		next = sec.Reserved
		// What is on the disk now is all that the next life gets.
		s.Close()
	}
}

// TestKeys changes keys: as long as one stays, the counter goes on; when all are new it
// starts again.
func TestKeys(t *testing.T) {
	s := state.OpenMemory()
	cfg := testConfig(s)
	device := func(k byte) []config.SecureDevice {
		return []config.SecureDevice{{EUI64: 0xb, Key: config.NewKey([16]byte{k})}}
	}
	cfg.Security.Devices = device(1)
	_, a := make1(t, cfg)
	cfg.Security.Key = config.NewKey([16]byte{2})
	_, b := make1(t, cfg)
	cfg.Security.Devices = device(3)
	_, c := make1(t, cfg)
	if b.Counter < a.Reserved || c.Counter < b.Reserved {
		t.Errorf("%d, %d, %d", a.Reserved, b.Counter, c.Counter)
	}
	cfg.Security.Key, cfg.Security.Devices = config.NewKey([16]byte{4}), nil
	if _, d := make1(t, cfg); d.Counter >= c.Reserved {
		t.Errorf("a new key starts at %d, the old one was at %d", d.Counter, c.Reserved)
	}
}

func TestUnknownCounter(t *testing.T) {
	at := func(s string) uint64 {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return unknownCounter(d)
	}
	if at("2020-01-01") != 0 || at("2026-01-02") != 1440*256 || at("2300-01-01") != lowpan.MaxCounter/2 {
		t.Error("wrong start", at("2020-01-01"), at("2026-01-02"), at("2300-01-01"))
	}
}

func TestExhausted(t *testing.T) {
	s := state.OpenMemory()
	cfg := testConfig(s)
	k, _ := make1(t, cfg)
	s.SetCounter(k.names[0], lowpan.MaxCounter-1)
	if _, sec := make1(t, cfg); sec.Counter != lowpan.MaxCounter-1 || sec.Reserved != lowpan.MaxCounter {
		t.Errorf("from %d to %d", sec.Counter, sec.Reserved)
	}
	if _, _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "set a new security.key") {
		t.Errorf("%v", err)
	}
}

// A link is two interfaces that are owned by mu, with a Keeper on the first.
type link struct {
	mu     sync.Mutex
	a, b   *lowpan.Interface
	keeper *Keeper
	got    int
	tx     [1]ieee802154.TxFrame
}

func newLink(t *testing.T, cfg Config) *link {
	l := new(link)
	cfg.Do = func(ctx context.Context, f func()) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		f()
		return nil
	}
	k, sec := make1(t, cfg)
	l.keeper = k
	l.a = lowpan.NewInterface(lowpan.InterfaceConfig{EUI64: 0xa, PAN: 0x23, Security: sec,
		Deliver: func(time.Time, ipv6.Packet, ipv6.Meta) { l.got++ }})
	peer := &lowpan.Security{Key: testKey.Bytes(), Level: 5, KeyIDMode: 1, KeyIndex: 1, Counter: 1}
	l.b = lowpan.NewInterface(lowpan.InterfaceConfig{EUI64: 0xb, PAN: 0x23, Security: peer})
	l.tx[0].Data = make([]byte, 0, ieee802154.MaxFrame)
	l.keeper.Start(l.a)
	return l
}

// send sends one frame and returns it, nil where it has to wait.
func (l *link) send(from *lowpan.Interface) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	src, dst := ipv6.LinkLocal(from.LinkAddr()), ipv6.LinkLocal(ipv6.EUI64(0xa^0xb^from.LinkAddr().Uint64()))
	p := ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, 0, nil, src, dst, 64)
	from.Output(now, p, ipv6.EUI64(0xa^0xb^from.LinkAddr().Uint64()))
	if from.Next(now, l.tx[:]) == 0 {
		return nil
	}
	l.tx[0].Status = ieee802154.TxSent
	from.Done(now, l.tx[:])
	return bytes.Clone(l.tx[0].Data)
}

func (l *link) input(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.a.Input(time.Now(), &ieee802154.RxFrame{Data: b})
}

// TestReserve sends more than was reserved: counters come before they run out, and those
// that are used are on the disk.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := state.OpenMemory()
		l := newLink(t, testConfig(s))
		first := l.a.FrameCounter()
		for n := range 3 * lowpan.CounterStep {
			if l.send(l.a) == nil {
				t.Fatalf("nothing sent after %d frames", n)
			}
			if n%(lowpan.CounterStep/4) == 0 {
				synctest.Wait()
				if kept := s.Counter(l.keeper.names[0]); kept < uint64(l.a.FrameCounter()) {
					t.Fatalf("counter %d is used, the disk says %d", l.a.FrameCounter()-1, kept)
				}
			}
		}
		if l.a.FrameCounter() != first+3*lowpan.CounterStep {
			t.Errorf("from %d to %d", first, l.a.FrameCounter())
		}
		l.keeper.Close()
	})
}

// A fullDisk is a store that cannot be written while full is set.
type fullDisk struct {
	*state.Store
	full atomic.Bool
}

func (d *fullDisk) Advance(name string, n uint64) (uint64, error) {
	if d.full.Load() {
		return 0, syscall.ENOSPC
	}
	return d.Store.Advance(name, n)
}

// TestReserveFails has a disk be full for some time: what was reserved is used, nothing
// more, and it goes on when there is room.
func TestReserveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{Store: state.OpenMemory()}
		cfg := testConfig(disk)
		l := newLink(t, cfg)
		disk.full.Store(true)
		n := 0
		for ; l.send(l.a) != nil; n++ {
			if n%100 == 0 {
				synctest.Wait()
			}
		}
		time.Sleep(10 * time.Second) // virtual time
		synctest.Wait()
		if n != lowpan.CounterStep || l.send(l.a) != nil {
			t.Errorf("%d frames", n)
		}
		disk.full.Store(false)
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		if l.send(l.a) == nil {
			t.Error("nothing is sent after the disk has room again")
		}
		l.keeper.Close()

		disk.full.Store(true)
		if _, _, err := New(cfg); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
	})
}

// TestDeviceCounters has a repeated frame be refused after a restart, one in order and one
// after the power was cut.
func TestDeviceCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := state.OpenMemory()
		l := newLink(t, testConfig(s))
		old := l.send(l.b)
		l.input(old)
		last := l.send(l.b)
		l.input(last)
		if l.got != 2 {
			t.Fatalf("%d packets", l.got)
		}
		time.Sleep(KeepInterval + time.Second) // virtual time
		synctest.Wait()
		// No end in order.
		m := newLink(t, testConfig(s))
		m.input(old)
		m.input(last)
		if st := m.a.Stats(); m.got != 0 || st.RxDrops[lowpan.DropReplay] != 2 {
			t.Errorf("%d packets after a power cut", m.got)
		}
		m.b = l.b
		next := m.send(m.b)
		m.input(next)
		m.keeper.Close()
		o := newLink(t, testConfig(s))
		o.input(next)
		if o.got != 0 || m.got != 1 {
			t.Errorf("%d packets after an end in order", o.got)
		}
		o.keeper.Close()
		l.keeper.Close()
	})
}
