package router_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// silence is a radio that nothing is heard on.
type silence struct {
	closed chan struct{}
	sent   int
}

func (s *silence) Receive([]ieee802154.RxFrame) (int, error) { <-s.closed; return 0, net.ErrClosed }
func (s *silence) Close() error                              { close(s.closed); return nil }
func (s *silence) Transmit(batch []ieee802154.TxFrame) error {
	for i := range batch {
		s.sent++
		batch[i].Status = ieee802154.TxAcked
	}
	return nil
}

// TestIdleRouter assembles a router as the daemon does, lets a node register, and counts
// how often the loop goes round in the minute after: not once. With the registration's
// end nearer than that it would be woken for it, and for nothing else.
func TestIdleRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := router.New(router.Config{})
		loop := router.NewLoop(r)
		radio := &silence{closed: make(chan struct{})}
		var link *router.Link
		var pump *lowpan.Pump
		iface := lowpan.NewInterface(lowpan.InterfaceConfig{
			Name: "mesh", EUI64: 0x0200_5e10_0000_0001, PAN: 0x23,
			Deliver:    func(now time.Time, p ipv6.Packet, m ipv6.Meta) { link.Deliver(now, p, m) },
			Wake:       func() { pump.Wake() },
			LinkStatus: func(now time.Time, dst ipv6.LinkAddr, ok bool) { link.LinkStatus(now, dst, ok) },
		})
		pump = lowpan.NewPump(iface, radio, loop.Post)
		own := ipv6.EUI64(0x0200_5e10_0000_0001)
		prefix := netip.MustParsePrefix("fd00:1::/64")
		link = r.AddPort(router.PortConfig{
			Port: iface, Kind: router.Mesh, LinkLocal: []netip.Addr{ipv6.LinkLocal(own)}, Prefixes: []netip.Prefix{prefix},
			Ingress: true, Machines: []router.Machine{iface},
		})
		link.SetNeighbors(nd.NewRouter(nd.RouterConfig{LinkAddr: own, Prefix: prefix}, link, link))

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { loop.Run(ctx); close(ended) }()
		pump.Start()

		node := ipv6.EUI64(0x0200_5e10_0000_0002)
		addr := ipv6.WithIID(prefix, node.IID())
		if err := loop.Do(ctx, func(r *router.Router) {
			// NS with SLLAO and ARO, lifetime 15 minutes (RFC 6775 section 5.5).
			body := append([]byte(nil), ipv6.LinkLocal(own).AsSlice()...)
			body = append(node.Append(append(body, 1, 2)), 0, 0, 0, 0, 0, 0)
			body = node.Append(append(body, 33, 2, 0, 0, 0, 0, 0, 15))
			ns := ipv6.AppendICMP(nil, ipv6.ICMPNeighborSolicitation, 0, 0, body, addr, ipv6.LinkLocal(own), 255)
			link.Deliver(time.Now(), ns, ipv6.Meta{LinkSrc: node, LinkDst: own})
		}); err != nil {
			t.Fatal(err)
		}
		// What follows the registration at once, such as the confirmation that the node is
		// reachable, has 50 s to come to rest.
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if radio.sent == 0 {
			t.Error("the registration was not answered")
		}
		before := loop.Wakeups()
		time.Sleep(60 * time.Second)
		if n := loop.Wakeups() - before; n != 0 {
			t.Errorf("%d wake-ups in 60 s with nothing pending", n)
		}
		pump.Close()
		cancel()
		<-ended
	})
}
