package driver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

func Example() {
	u, _ := url.Parse("spinel:///dev/ttyACM0?channel=15&retries=0&eui64=02:00:5e:10:00:00:00:01")
	var channel uint8
	var retries int
	var eui64 uint64
	err := driver.Query(u, map[string]string{"channel": "11 to 26", "retries": "0 to 7", "eui64": "16 digits"}, func(k, v string) error {
		switch k {
		case "channel":
			return driver.Number(&channel, v, 11, 26)
		case "retries":
			return driver.Retries(&retries, v)
		}
		return driver.EUI64(&eui64, v)
	})
	fmt.Printf("%d %d %016x %v\n", channel, retries, eui64, err)
	// Output: 15 -1 02005e1000000001 <nil>
}

func TestQuery(t *testing.T) {
	keys := map[string]string{"channel": "11 to 26", "wait": "duration such as 5s", "short": "an address", "eui64": "16 digits"}
	for query, want := range map[string]string{
		"channel=10":             "channel=10: not in range; want 11 to 26",
		"channel=27":             "not in range",
		"channel=x":              "not in range",
		"channel=4294967307":     "not in range",
		"channel=11&channel=12":  `key "channel" is given 2 times`,
		"colour=red":             `unknown key "colour"; known are channel, eui64, short, wait`,
		"wait=5":                 "not a duration of 10ms or more; want duration such as 5s",
		"wait=1ms":               "not a duration of 10ms",
		"short=0xffff":           "not in range",
		"short=0":                "not in range",
		"eui64=02005e10":         "not an EUI-64",
		"eui64=0000000000000000": "not an EUI-64",
		"%zz":                    "query:",
	} {
		u := &url.URL{RawQuery: query}
		err := driver.Query(u, keys, func(k, v string) error {
			var n uint8
			var s uint16
			var d time.Duration
			var e uint64
			switch k {
			case "channel":
				return driver.Number(&n, v, 11, 26)
			case "short":
				return driver.Short(&s, v)
			case "wait":
				return driver.Duration(&d, v, 10*time.Millisecond)
			}
			return driver.EUI64(&e, v)
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", query, err, want)
		}
	}
}

func TestQueue(t *testing.T) {
	q, closed := driver.NewQueue(), make(chan struct{})
	rx := make([]ieee802154.RxFrame, 100)
	if n, err := q.Receive(closed, nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	for i := range driver.QueueLen {
		if q.Full() || !q.Put([]byte{byte(i)}, int8(i), uint8(i), 15) {
			t.Fatal("full too early")
		}
	}
	if !q.Full() || q.Put([]byte{1}, 0, 0, 0) {
		t.Error("not full")
	}
	seen := 0
	for seen < driver.QueueLen {
		n, err := q.Receive(closed, rx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range rx[:n] {
			if len(f.Data) != 1 || f.Data[0] != byte(seen) || f.RSSI != int8(seen) || f.LQI != uint8(seen) || f.Channel != 15 {
				t.Errorf("frame %d: %+v", seen, f)
			}
			seen++
		}
	}
	if q.Put(make([]byte, ieee802154.MaxFrame+1), 0, 0, 0) {
		t.Error("took what is no frame")
	}
	q.Put([]byte{1}, 0, 0, 0)
	q.Reset()
	// Close wakes who waits, and is heeded before what is there.
	done := make(chan error)
	go func() { _, err := q.Receive(closed, rx); done <- err }()
	close(closed)
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	q.Put([]byte{1}, 0, 0, 0)
	if _, err := q.Receive(closed, rx); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestQueueAllocs(t *testing.T) {
	q, closed := driver.NewQueue(), make(chan struct{})
	frame := make([]byte, 127)
	rx := []ieee802154.RxFrame{{Data: make([]byte, 0, 127)}}
	if n := testing.AllocsPerRun(100, func() {
		q.Put(frame, 0, 0, 0)
		if _, err := q.Receive(closed, rx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkQueue(b *testing.B) {
	q, closed := driver.NewQueue(), make(chan struct{})
	frame := make([]byte, 127)
	rx := []ieee802154.RxFrame{{Data: make([]byte, 0, 127)}}
	b.ReportAllocs()
	for b.Loop() {
		q.Put(frame, 0, 0, 0)
		if _, err := q.Receive(closed, rx); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCount(t *testing.T) {
	var s ieee802154.Stats
	for _, st := range []ieee802154.TxStatus{ieee802154.TxSent, ieee802154.TxAcked, ieee802154.TxNoAck, ieee802154.TxChannelBusy,
		ieee802154.TxSkipped, ieee802154.TxTooLong, ieee802154.TxClosed} {
		driver.Count(&s, &ieee802154.TxFrame{Status: st, Attempts: 2})
	}
	if s.Sent != 1 || s.Acked != 1 || s.NoAck != 1 || s.ChannelBusy != 1 || s.Skipped != 1 || s.TooLong != 1 || s.Attempts != 14 {
		t.Errorf("%+v", s)
	}
	counts := make([]uint64, ieee802154.NumDrops)
	counts[ieee802154.DropDuplicate], counts[ieee802154.DropTooLong] = 3, 1
	got := driver.Drops[ieee802154.Drop, ieee802154.Drop](counts, counts)
	want := []ieee802154.DropCount{{Reason: ieee802154.DropDuplicate.Error(), Count: 6}, {Reason: ieee802154.DropTooLong.Error(), Count: 2}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSupervise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		var at []time.Duration
		var ups []bool
		go driver.Supervise(ctx, func() (up time.Time, err error) {
			at = append(at, time.Since(begin))
			switch len(at) {
			case 7: // up for long
				up = time.Now()
				time.Sleep(time.Minute)
			case 8: // and at once, but not for long
				up = time.Now()
			}
			return up, errors.New("gone")
		}, func(wasUp bool, err error) { ups = append(ups, wasUp) })
		time.Sleep(2 * time.Minute)
		cancel()
		synctest.Wait()
		want := []time.Duration{0}
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32} {
			want = append(want, want[len(want)-1]+min(wait*driver.BackoffMin, driver.BackoffMax))
		}
		up := want[len(want)-1] + time.Minute
		want = append(want, up, up+driver.BackoffMin, up+3*driver.BackoffMin)
		if len(at) < len(want) || !slices.Equal(at[:len(want)], want) {
			t.Errorf("tried at %v\nwant %v", at, want)
		}
		if !slices.Equal(ups[5:9], []bool{false, true, true, false}) {
			t.Errorf("%v", ups)
		}
	})
}

// TestSuperviseSlow: an attempt that takes as long as a pause is not followed by one more.
func TestSuperviseSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		var at []time.Duration
		takes := []time.Duration{0, 0, 0, 0, 0, 2 * time.Second, 400 * time.Millisecond, 950 * time.Millisecond, 0}
		go driver.Supervise(ctx, func() (up time.Time, err error) {
			at = append(at, time.Since(begin))
			if len(at) <= len(takes) {
				time.Sleep(takes[len(at)-1])
			}
			return up, errors.New("nobody answers")
		}, func(bool, error) {})
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		want := []time.Duration{0}
		for _, ms := range []time.Duration{100, 200, 400, 800, 1000, 2100, 1000, 1050, 1000} {
			want = append(want, want[len(want)-1]+ms*time.Millisecond)
		}
		if len(at) < len(want) || !slices.Equal(at[:len(want)], want) {
			t.Errorf("tried at %v\nwant %v", at, want)
		}
	})
}

type pipe struct {
	io.ReadWriteCloser
	baud int
}

func (p *pipe) Discard() error { return nil }
func (p *pipe) SetBaud(b int) error {
	if b == 0 {
		return errors.ErrUnsupported
	}
	if b < 0 {
		return errors.New("no such rate")
	}
	p.baud = b
	return nil
}

func TestRates(t *testing.T) {
	all := driver.Rates{1, 2, 3, 4}
	r := all
	r.Found(2)
	if !slices.Equal(r, driver.Rates{3, 1, 2, 4}) || !slices.Equal(all, driver.Rates{1, 2, 3, 4}) {
		t.Errorf("%v, from %v", r, all)
	}
	for _, c := range []struct {
		n    int
		good bool
		want []int
	}{{1, false, []int{0}}, {1, true, []int{0}}, {2, true, []int{0, 1}}, {4, false, []int{0, 1, 2, 3}}, {4, true, []int{0, 1, 0, 2, 0, 3}}} {
		if got := all[:c.n].Order(c.good); !slices.Equal(got, c.want) {
			t.Errorf("%d rates, good %v: in the order %v, want %v", c.n, c.good, got, c.want)
		}
	}
	p := &pipe{}
	for baud, want := range map[int]bool{0: false, 9600: true} {
		if ok, err := driver.SetBaud(p, baud); ok != want || err != nil || p.baud != baud && want {
			t.Error(baud, ok, err)
		}
	}
	if _, err := driver.SetBaud(p, -1); err == nil {
		t.Error("no error")
	}
	if ok, err := driver.SetBaud(struct{ io.ReadWriteCloser }{}, 9600); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestHeard(t *testing.T) {
	var h driver.Heard
	if s := h.Text("frames"); s != "nothing came back" {
		t.Error(s)
	}
	h.Add([]byte{1, 2})
	h.Add([]byte{3})
	if s := h.Text("frames"); s != "3 bytes came back and no frame: 01 02 03" {
		t.Error(s)
	}
	h.Add(make([]byte, 40))
	if s := h.Text("frames"); s != "43 bytes came back and no frame: 01 02 03 00 00 00 00 00 00 00 00 00 00 00 00 00" {
		t.Error(s)
	}
	h.Frames = 2
	if s := h.Text("frames"); s != "2 frames came back" {
		t.Error(s)
	}
}
