package lowpan_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/zep"
)

// A node is an interface on a loop of its own, over a ZEP radio.
type node struct {
	i    *lowpan.Interface
	eui  uint64
	work chan interface{ Run(time.Time) }
	done chan struct{}
	got  chan ipv6.Packet
	ok   chan bool
}

func (n *node) post(w interface{ Run(time.Time) }) bool {
	select {
	case n.work <- w:
		return true
	case <-n.done:
		return false
	}
}

type do func()

func (f do) Run(time.Time) { f() }

func newNode(t *testing.T, eui uint64, c zep.Config) (*node, *zep.Radio) {
	t.Helper()
	c.EUI64, c.PAN = eui, 0x23
	r, err := zep.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	r.SetAddress(eui, 0xffff, 0x23)
	n := &node{
		eui:  eui,
		work: make(chan interface{ Run(time.Time) }, 16),
		done: make(chan struct{}),
		got:  make(chan ipv6.Packet, 100),
		ok:   make(chan bool, 100),
	}
	var pump *lowpan.Pump
	n.i = lowpan.NewInterface(lowpan.InterfaceConfig{
		Name: "zep", EUI64: eui, PAN: 0x23,
		Deliver:    func(_ time.Time, p ipv6.Packet, _ ipv6.Meta) { n.got <- bytes.Clone(p) },
		Wake:       func() { pump.Wake() },
		LinkStatus: func(_ time.Time, _ ipv6.LinkAddr, ok bool) { n.ok <- ok },
	})
	pump = lowpan.NewPump(n.i, r, n.post)
	pump.OnError = func(err error) { t.Error(err) }
	pump.Start()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case w := <-n.work:
				w.Run(time.Now())
			case <-n.done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := pump.Close(); err != nil {
			t.Error(err)
		}
		close(n.done)
		<-ended
	})
	return n, r
}

func (n *node) send(t *testing.T, to *node, size int) ipv6.Packet {
	t.Helper()
	src := netip.AddrPortFrom(ipv6.LinkLocal(ipv6.EUI64(n.eui)), 5683)
	dst := netip.AddrPortFrom(ipv6.LinkLocal(ipv6.EUI64(to.eui)), 5683)
	p := ipv6.Packet(ipv6.AppendUDP(nil, src, dst, 64, bytes.Repeat([]byte{byte(size)}, size-48)))
	err := make(chan error, 1)
	n.post(do(func() { err <- n.i.Output(time.Now(), p, ipv6.EUI64(to.eui)) }))
	if err := <-err; err != nil {
		t.Fatal(err)
	}
	return p
}

func wait[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// TestPumpZEP carries packets of one frame and of thirteen both ways over ZEP on loopback,
// acknowledged by the radios.
func TestPumpZEP(t *testing.T) {
	listen := []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), 0)}
	hub, r := newNode(t, 0x02005e1000000001, zep.Config{Mode: zep.Hub, Listen: listen})
	leaf, _ := newNode(t, 0x02005e10000000aa, zep.Config{Mode: zep.Client, Remote: r.LocalAddrs()[:1]})
	for _, size := range []int{60, 1280, 300, 1280} {
		// The leaf first: a hub learns its members by their frames.
		for _, x := range [][2]*node{{leaf, hub}, {hub, leaf}} {
			p := x[0].send(t, x[1], size)
			if got := wait(t, "the packet", x[1].got); !bytes.Equal(got, p) {
				t.Fatalf("%d bytes: got %x", size, []byte(got))
			}
			if !wait(t, "the acknowledgment", x[0].ok) {
				t.Fatalf("%d bytes: not acknowledged", size)
			}
		}
	}
	stats := make(chan lowpan.Stats, 1)
	for _, n := range []*node{hub, leaf} {
		n.post(do(func() { stats <- n.i.Stats() }))
		s := <-stats
		if s.DatagramsSent != 4 || s.DatagramsIn != 4 || s.FramesDropped() != 0 || s.FramesDelivered != s.FramesIn || s.DatagramsDropped() != 0 {
			t.Errorf("%+v", s)
		}
	}
}

var _ ieee802154.Radio = (*zep.Radio)(nil)
