package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"border-router/internal/netnstest"
	"border-router/internal/node"
)

// live lets a device live in ns as part of this process, so that the test has its TCP/IP
// stack at hand.
func live(t *testing.T, ns *netnstest.NS, eui uint64) *node.Node {
	t.Helper()
	var n *node.Node
	var err error
	ns.Do(func() { n, err = node.New(node.Config{Radio: "zep://[::1]:17754?mode=client", EUI64: eui}, nil) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return n
}

// joined waits until a device has an address in p.
func joined(t *testing.T, n *node.Node, p netip.Prefix) netip.Addr {
	t.Helper()
	var found netip.Addr
	eventually(t, fmt.Sprintf("a node with an address in %v", p), 20*time.Second, func() error {
		for _, a := range n.State().Addrs {
			if p.Contains(a) {
				found = a
				return nil
			}
		}
		return fmt.Errorf("it has %v", n.State().Addrs)
	})
	return found
}

// routed reports whether packets to p have a way; expired routes are listed for a while.
func routed(ns *netnstest.NS, p netip.Prefix) bool {
	out, err := ns.Exec("ip", "-6", "route", "get", p.Addr().Next().String())
	return err == nil && strings.Contains(out, " via ")
}

// TestLANTwoRouters has two routers with a mesh each on one LAN.
func TestLANTwoRouters(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	lan, host := newSegment(t), station(t, 64)
	homes := []*netnstest.NS{station(t, 0), station(t, 0)}
	lan.plug(host, "eth0")
	for _, h := range homes {
		lan.plug(h, "eth0")
	}
	tape := record(t, host, "eth0")
	// The shortest lifetime that may be configured, so that the end of a route can be waited for.
	args := []string{"--uplink", "ethernet://eth0", "--lan-route-lifetime", "1m", "--lan-ra-interval", "4s"}
	var routers []*lanRouter
	var nodes []*node.Node
	var meshes []netip.Prefix
	var at []netip.Addr
	for i, h := range homes {
		r := startLAN(t, h, args...)
		routers, meshes = append(routers, r), append(meshes, r.prefix())
		nodes = append(nodes, live(t, h, 0x02005e1000000001+uint64(i)))
	}
	// A third one is killed: its routes end with their lifetime, which is waited for below.
	third := station(t, 0)
	lan.plug(third, "eth0")
	victim := startLAN(t, third, append(args, "--lan-offer-prefix=false")...)
	lost := victim.prefix()
	eventually(t, "the routes of a third router", 10*time.Second, func() error {
		if !routed(host, lost) {
			return fmt.Errorf("the host has none to %v", lost)
		}
		if out, _ := routers[1].run("routes"); !strings.Contains(out, lost.String()) {
			return fmt.Errorf("another router has\n%s", out)
		}
		return nil
	})
	victim.p.cmd.Process.Kill()
	<-victim.p.done
	killed := startWatch()
	type end struct{ took, wall time.Duration }
	expired, watched := make(chan end, 1), make(chan struct{})
	t.Cleanup(func() { <-watched })
	go func() { // so that it is seen when it is, whatever the rest takes
		defer close(watched)
		for t.Context().Err() == nil {
			if out, err := routers[1].run("routes"); err == nil && !strings.Contains(out, lost.String()) && !routed(host, lost) {
				expired <- end{killed.took(), killed.wall()}
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}()
	for i := range nodes {
		at = append(at, joined(t, nodes[i], meshes[i]))
		reach(t, host, at[i], 20*time.Second)
		t.Logf("router %d: its mesh is reached %.1f s after its start", i, routers[i].begin.wall().Seconds())
	}

	// From a node of one mesh to one of the other, and back: each router has learnt the
	// other's route.
	hello := func() error {
		for i, n := range nodes {
			conn, err := n.Stack().DialUDP(netip.AddrPort{}, netip.AddrPortFrom(at[1-i], node.CoAPPort))
			if err != nil {
				return err
			}
			conn.SetDeadline(time.Now().Add(time.Second))
			conn.Write([]byte{0x40, 0, 0, 1}) // CoAP ping: an empty message, which is reset
			b := make([]byte, 64)
			k, err := conn.Read(b)
			conn.Close()
			if err != nil || k != 4 || b[0] != 0x70 {
				return fmt.Errorf("node %d has % x from the other one, %v", i, b[:k], err)
			}
		}
		return nil
	}
	eventually(t, "from node to node", 15*time.Second, hello)

	// One prefix is offered, and it stays so.
	offers := func(line string) []string { return strings.Split(line, ",") }
	usable := func() (list []string) {
		t.Helper()
		all, err := addrs(host, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if anyULA.Contains(a.Local) && preferred(a) {
				list = append(list, a.Local.String())
			}
		}
		return list
	}
	// Which had begun before they could hear each other, one of them yields. Between two
	// advertisements there are 3 s at least, so the host may hear of it as late.
	since, was := time.Now(), ""
	eventually(t, "one prefix that is offered", 30*time.Second, func() error {
		offering := 0
		for _, r := range routers {
			for _, a := range r.status().LAN.Advertised {
				if a.Kind == "prefix" && a.State == "announced" {
					offering++
				}
			}
		}
		list := usable()
		if now := fmt.Sprint(offering, list); now != was {
			since, was = time.Now(), now
		}
		if offering != 1 || len(list) != 1 || time.Since(since) < 5*time.Second {
			return fmt.Errorf("%d routers offer one, the host has %v, for %v", offering, list, time.Since(since))
		}
		return nil
	})
	keeps := usable()[0]
	settled := time.Now()
	watch := func() {
		t.Helper()
		if list := usable(); len(list) != 1 || list[0] != keeps {
			t.Errorf("%v after it was settled the host has %v, had %s", time.Since(settled), list, keeps)
		}
	}
	for time.Since(settled) < 20*time.Second {
		watch()
		time.Sleep(500 * time.Millisecond)
	}

	// One says goodbye: its routes are gone at once, from the host and from the other router.
	gone := func(r *lanRouter, p netip.Prefix, within time.Duration) {
		t.Helper()
		begin := time.Now()
		eventually(t, fmt.Sprintf("%v has no route any more", p), within, func() error {
			if routed(host, p) {
				return fmt.Errorf("the host has one")
			}
			if out, _ := r.run("routes"); strings.Contains(out, p.String()) {
				return fmt.Errorf("the other router has\n%s", out)
			}
			return nil
		})
		t.Logf("%v is gone after %.1f s", p, time.Since(begin).Seconds())
	}
	routers[0].p.end(time.Second)
	gone(routers[1], meshes[0], 2*time.Second)
	if err := answers(host, at[1], 8, 3); err != nil {
		t.Error(err)
	}
	routers[0].start()
	reach(t, host, at[0], 20*time.Second)
	eventually(t, "from node to node again", 15*time.Second, hello)

	select {
	case e := <-expired:
		t.Logf("%v is gone after %.1f s", lost, e.wall.Seconds())
		if e.wall < 50*time.Second || e.took > 75*time.Second {
			t.Errorf("the routes of the router that was killed were gone after %v (%v by the clock), want their lifetime of a minute", e.took, e.wall)
		}
	case <-time.After(2 * time.Minute):
		t.Errorf("the routes of the router that was killed are still there after %v", killed.wall())
	}
	reach(t, host, at[1], 5*time.Second)
	routers[1].checkCounters()
	routers[1].p.end(time.Second)

	// As the capture shows it, too: of the prefixes that were announced as preferred, the last
	// change is before the time that was watched.
	flaps, last := 0, map[string]string{}
	for _, l := range tape.read("icmpv6.type == 134 and icmpv6.opt.prefix", "eth.src", "icmpv6.opt.prefix", "icmpv6.opt.prefix.preferred_lifetime") {
		f := strings.Split(l, "\t")
		if len(f) < 3 {
			continue
		}
		times := offers(f[2])
		for i, p := range offers(f[1]) {
			if i >= len(times) {
				break
			}
			on := "yes"
			if v, err := strconv.Atoi(times[i]); err == nil && v == 0 {
				on = "no"
			}
			key := f[0] + " " + p
			if last[key] != "" && last[key] != on {
				flaps++
			}
			last[key] = on
		}
	}
	// The one that yields, where both have offered at the start; the goodbye of the first, which
	// has the second offer, and yield again when the first comes back.
	if flaps > 5 {
		t.Errorf("prefixes were offered and withdrawn %d times", flaps)
	}
}
