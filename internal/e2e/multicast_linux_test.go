package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"border-router/internal/hoststack"
	"border-router/internal/netnstest"
	"border-router/internal/node"
)

// inside runs a device in this process with its radio in ns, so that a test can use its
// sockets, and waits until it has joined.
func inside(t *testing.T, ns *netnstest.NS, cfg node.Config) *node.Node {
	t.Helper()
	if cfg.Radio == "" {
		cfg.Radio = "zep://[::1]:17754?mode=client"
	}
	var n *node.Node
	var err error
	ns.Do(func() { n, err = node.New(cfg, nil) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("device: %v", err)
		}
	})
	eventually(t, "device joined", 15*time.Second, func() error {
		if s := n.State(); !s.Joined() {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return n
}

// A talker sends and counts datagrams of groups, on a kernel's interface or a device.
type talker struct {
	t     *testing.T
	conn  net.PacketConn
	group func(g netip.Addr) error
	on    func(link string, g netip.Addr, join bool) error // of a kernel
	hops  func(n int) error
	zone  string
	got   chan string
}

const talkPort = 7777

// talk opens a socket on eth0 of ns.
func talk(t *testing.T, ns *netnstest.NS) *talker {
	t.Helper()
	return talkOn(t, ns, "eth0")
}

// talkOn opens a socket on an interface of ns.
func talkOn(t *testing.T, ns *netnstest.NS, link string) *talker {
	t.Helper()
	k := &talker{t: t, zone: link}
	ns.Do(func() {
		conn, err := net.ListenUDP("udp6", &net.UDPAddr{Port: talkPort})
		if err != nil {
			t.Fatal(err)
		}
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			t.Fatal(err)
		}
		p := ipv6.NewPacketConn(conn)
		if err := errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastLoopback(false)); err != nil {
			t.Fatal(err)
		}
		k.conn, k.hops = conn, p.SetMulticastHopLimit
		k.group = func(g netip.Addr) error { return p.JoinGroup(ifi, &net.UDPAddr{IP: g.AsSlice()}) }
		k.on = func(link string, g netip.Addr, join bool) (err error) {
			ns.Do(func() {
				var ifi *net.Interface
				if ifi, err = net.InterfaceByName(link); err != nil {
					return
				}
				change := p.LeaveGroup
				if join {
					change = p.JoinGroup
				}
				err = change(ifi, &net.UDPAddr{IP: g.AsSlice()})
			})
			return err
		}
	})
	k.start()
	return k
}

// talkNode opens a socket on a device.
func talkNode(t *testing.T, n *node.Node) *talker {
	t.Helper()
	conn, err := n.Stack().ListenPacket(netip.AddrPortFrom(netip.IPv6Unspecified(), talkPort))
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{t: t, conn: conn, hops: conn.(*hoststack.UDPConn).SetMulticastHops}
	k.group = func(g netip.Addr) error { return n.Join(t.Context(), g) }
	k.start()
	return k
}

func (k *talker) start() {
	if err := k.hops(16); err != nil {
		k.t.Fatal(err)
	}
	k.got = make(chan string, 1024)
	k.t.Cleanup(func() { k.conn.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, _, err := k.conn.ReadFrom(b)
			if err != nil {
				return
			}
			k.got <- string(b[:n])
		}
	}()
}

func (k *talker) join(groups ...string) {
	k.t.Helper()
	for _, g := range groups {
		if err := k.group(netip.MustParseAddr(g)); err != nil {
			k.t.Fatalf("join %s: %v", g, err)
		}
	}
}

// say sends to a group. The kernel says EINVAL where its neighbor table has no room for the
// group: there is one for all namespaces, and an attack on another may have filled it; to the
// listeners that is a datagram lost.
func (k *talker) say(group, text string) {
	k.t.Helper()
	if _, err := k.conn.WriteTo([]byte(text), &net.UDPAddr{IP: net.ParseIP(group), Port: talkPort}); errors.Is(err, syscall.EINVAL) {
		k.t.Logf("send to %s: %v: no room for a neighbor", group, err)
	} else if err != nil {
		k.t.Fatalf("send to %s: %v", group, err)
	}
}

// heard returns how often each text came in within d.
func (k *talker) heard(d time.Duration) map[string]int {
	list := map[string]int{}
	for end := time.After(d); ; {
		select {
		case s := <-k.got:
			list[s]++
		case <-end:
			return list
		}
	}
}

// sayUntil has from speak to the group, with another text each time, until all of to have
// heard it; then each of them has heard each text at most once.
func sayUntil(t *testing.T, what string, from *talker, group string, to ...*talker) {
	t.Helper()
	count := make([]map[string]int, len(to))
	for i := range count {
		count[i] = map[string]int{}
	}
	for try := range 40 {
		text := fmt.Sprintf("%s %d", what, try)
		from.say(group, text)
		all := true
		for i, k := range to {
			for s, n := range k.heard(250 * time.Millisecond) {
				count[i][s] += n
			}
			all = all && count[i][text] > 0
		}
		for i := range count {
			for s, n := range count[i] {
				if n > 1 {
					t.Errorf("%s: %q heard %d times", what, s, n)
				}
			}
		}
		if all {
			return
		}
	}
	t.Errorf("%s: not heard by all: %v", what, count)
}

var lastMID atomic.Uint32

// discover asks a group for /name and returns what came back from whom, within the leisure
// that all have (RFC 7252 section 8.2): 5 s; longer, where fewer than want did. libcoap's client cannot: its requests to groups
// have a hop limit of 1.
func discover(k *talker, group string, want int) []string {
	k.t.Helper()
	mid := byte(lastMID.Add(1))
	get := []byte{0x51, 1, 0x7a, mid, mid, 0xb4, 'n', 'a', 'm', 'e'} // NON GET with a token of one byte
	if _, err := k.conn.WriteTo(get, &net.UDPAddr{IP: net.ParseIP(group), Port: node.CoAPPort}); err != nil {
		k.t.Fatalf("ask %s: %v", group, err)
	}
	names := []string{}
	heard := k.heard(5500 * time.Millisecond)
	// On a busy machine an answer may come later.
	for end := startWatch(); len(heard) < want && end.took() < 5*time.Second && end.wall() < 20*time.Second; {
		for s, n := range k.heard(250 * time.Millisecond) {
			heard[s] += n
		}
	}
	for b, n := range heard {
		if len(b) < 6 || b[0] != 0x51 || b[1] != 0x45 || b[4] != mid {
			k.t.Errorf("answer to %s: %x", group, b)
			continue
		}
		_, name, _ := strings.Cut(b[5:], "\xff")
		for range n {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestMulticast: groups of a LAN and a mesh. CoAP reaches those that listen and nobody else,
// the LAN is told who listens, what a node sends reaches those who listen on the LAN, and
// what belongs to the realm of the mesh stays there unless it is said to be one with the LAN.
func TestMulticast(t *testing.T) {
	need(t, "tcpdump", "tshark", "dumpcap")
	t.Parallel()
	for _, tt := range []struct {
		name  string
		realm bool
		args  []string
	}{
		// With queries so often the router soon knows all listeners, and sends to each of them.
		{"ethernet", false, []string{"--uplink", "ethernet://eth0", "--multicast-query-interval", "2s"}},
		{"tun", true, []string{"--lan", "eth0", "--multicast-realm"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lan, host, home := newSegment(t), station(t, 64), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			lan.plug(host, "eth0")
			lan.plug(home, "eth0")
			capture := record(t, host, "eth0")
			r := startLAN(t, home, tt.args...)
			zep := filepath.Join(t.TempDir(), "zep.pcapng")
			raw := start(t, home, "dumpcap", "-q", "-i", "lo", "-f", "udp port 17754", "-w", zep)
			eventually(t, "dumpcap up", 10*time.Second, func() error {
				if !strings.Contains(raw.output(), "File:") {
					return fmt.Errorf("says %q", raw.output())
				}
				return nil
			})
			alpha := r.node("02:00:5e:10:00:00:00:01", "--name", "alpha")
			beta := r.node("02:00:5e:10:00:00:00:02", "--name", "beta", "--join", "ff05::1234")
			gamma := inside(t, home, node.Config{Name: "gamma", EUI64: 0x02005e1000000003})
			reach(t, host, gamma.State().Addrs[0], 20*time.Second)
			// All have said what they listen to, the router has heard it, and has had the time
			// after its start in which others might: two seconds with queries as often as here.
			air := &recording{t: t, file: zep, options: []string{"-o", "6lowpan.context0:" + r.prefix().String()}}
			for d, group := range map[string]string{alpha.eui: "ff05::fd", beta.eui: "ff05::1234", "02:00:5e:10:00:00:00:03": "ff05::fd"} {
				air.sees("report of "+d, "wpan.src64 == "+d+" and icmpv6.type == 143 and icmpv6.mldr.mar.multicast_address == "+group)
			}
			time.Sleep(3 * time.Second)

			// CoAP to all nodes.
			waitAddr(t, host, anyULA, 10*time.Second, "preferred", preferred)
			there, here := talk(t, host), talkNode(t, gamma)
			if got := discover(there, "ff05::fd", 2); !slices.Equal(got, []string{"alpha", "gamma"}) {
				t.Errorf("ff05::fd is answered by %q", got)
			}
			if got := discover(there, "ff05::1234", 1); !slices.Equal(got, []string{"beta"}) {
				t.Errorf("ff05::1234 is answered by %q", got)
			}

			// With queries as seldom as they are by default there may be others that have not
			// reported for more than a minute from the start.
			if inTime := r.begin.wall() < time.Minute; tt.name == "ethernet" || inTime {
				defer func() {
					raw.stop(syscall.SIGINT)
					checkCopies(t, zep, r.prefix(), tt.name == "ethernet")
				}()
			}

			// From a node to the LAN and back, and each only once.
			there.join("ff05::77", "ff03::77")
			here.join("ff05::78", "ff03::78")
			sayUntil(t, "from the mesh", here, "ff05::77", there)
			sayUntil(t, "from the LAN", there, "ff05::78", here)
			if tt.realm {
				sayUntil(t, "realm from the mesh", here, "ff03::77", there)
				sayUntil(t, "realm from the LAN", there, "ff03::78", here)
			} else {
				here.say("ff03::77", "beyond the realm")
				there.say("ff03::78", "beyond the realm")
			}
			// The last hop is not into the mesh.
			if err := there.hops(1); err != nil {
				t.Fatal(err)
			}
			there.say("ff05::78", "one hop")
			if err := there.hops(16); err != nil {
				t.Fatal(err)
			}
			// More than the mesh can carry.
			flooding := time.Now()
			for i := range 300 {
				there.say("ff05::78", fmt.Sprint("flood ", i))
			}
			flood, quiet := 0, startWatch()
			for quiet.took() < time.Second && quiet.wall() < 10*time.Second {
				for s, n := range here.heard(500 * time.Millisecond) {
					if strings.HasPrefix(s, "flood") {
						flood += n
						quiet = startWatch()
					} else {
						t.Errorf("the node hears %q", s)
					}
				}
			}
			// A burst, and as many a second as are let through.
			most := 40 + 20*(2+int(quiet.begin.Sub(flooding).Seconds()))
			if flood < 20 || flood > most {
				t.Errorf("%d of 300 datagrams at once came into the mesh, want some 40, at most %d", flood, most)
			}
			for s := range there.heard(time.Millisecond) {
				t.Errorf("the host hears %q", s)
			}
			var limited uint64
			for _, p := range r.status().Ports {
				limited += p.Drops["multicast_rate"]
			}
			if limited < uint64(min(150, max(1, 300-most))) {
				t.Errorf("%d packets dropped for the rate", limited)
			}

			// One who leaves.
			beta.end(time.Second)
			left := "icmpv6.type == 143 and icmpv6.mldr.mar.record_type == 3 and icmpv6.mldr.mar.multicast_address == ff05::1234"
			capture.sees("report that nobody listens any more", left)
			for g, want := range map[string]bool{"ff05::fd": true, "ff05::1234": true, "ff05::78": true, "ff02::fd": false, "ff03::fd": tt.realm} {
				// EXCLUDE nothing, by the change (4) or in answer to a query (2).
				reports := "icmpv6.type == 143 and icmpv6.mldr.mar.record_type in {2, 4} and icmpv6.mldr.mar.multicast_address == " + g
				if want {
					capture.sees("report of "+g, reports)
				} else if got := capture.read(reports); len(got) > 0 {
					t.Errorf("reports of %s on the LAN: %d, want none\n%s", g, len(got), strings.Join(got, "\n"))
				}
			}
			if got := capture.sees("what a node sent", "ipv6.dst == ff05::77", "ipv6.hlim"); got[0] != "15" {
				t.Errorf("hop limits of what a node sent with 16: %v", got)
			}
			r.checkCounters()
		})
	}
}

// checkCopies checks how requests to groups went into the mesh: to each of up to two
// listeners by a frame that is acknowledged, and to all as long as not all of them are known
// for sure.
func checkCopies(t *testing.T, zep string, prefix netip.Prefix, known bool) {
	t.Helper()
	c := &recording{t: t, file: zep, options: []string{"-o", "6lowpan.context0:" + prefix.String()}}
	if lines := c.read("zep.type == 1 and " + malformed); len(lines) > 0 {
		t.Errorf("tshark objects to %d frames:\n%s", len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
	}
	for group, want := range map[string]int{"ff05::fd": 2, "ff05::1234": 1} {
		asked := "zep.type == 1 and coap.code == 1 and ipv6.dst == " + group
		all, to := c.read(asked+" and wpan.dst16 == 0xffff"), map[string]bool{}
		for _, ll := range c.read(asked, "wpan.dst64") {
			if ll != "" {
				to[ll] = true
			}
		}
		if known && (len(all) > 0 || len(to) != want) || !known && (len(all) == 0 || len(to) > 0) {
			t.Errorf("%s: %d broadcasts, copies for %v, where %d listen", group, len(all), to, want)
		}
	}
}

// TestMulticastTwoRouters: two routers on a LAN, each with a mesh, and then both with the
// same one: everybody hears everything once, and when the one that serves the mesh goes the
// other takes over.
func TestMulticastTwoRouters(t *testing.T) {
	need(t, "tcpdump", "tshark")
	t.Parallel()
	for _, same := range []bool{false, true} {
		t.Run(fmt.Sprintf("same mesh %v", same), func(t *testing.T) {
			t.Parallel()
			lan, host, one, two := newSegment(t), station(t, 64), station(t, 0), station(t, 0)
			for _, ns := range []*netnstest.NS{host, one, two} {
				lan.plug(ns, "eth0")
			}
			// The air between the two.
			one.LinkTo(two, "air", "air")
			one.AddAddress("air", netip.MustParsePrefix("fd99::1/64"))
			two.AddAddress("air", netip.MustParsePrefix("fd99::2/64"))
			record(t, host, "eth0")
			flags := []string{"--uplink", "ethernet://eth0", "--multicast-query-interval", "2s"}
			radio1, radio2 := "zep://[fd99::1]:17754?mode=hub&eui64=0200000000000002", "zep://[fd99::2]:17754?mode=hub&eui64=0200000000000001"
			node2 := "zep://[fd99::2]:17754?mode=client"
			if same {
				radio2 = "zep://[fd99::1]:17754?mode=client&eui64=0200000000000001" // the lower address: it is the querier
				node2 = "zep://[fd99::1]:17754?mode=client"
				flags = append(flags, "--prefix", "2001:db8:77::/64")
			}
			r1 := startLAN(t, one, append(flags, "--radio", radio1)...)
			r2 := startLAN(t, two, append(flags, "--radio", radio2)...)
			a := talkNode(t, inside(t, one, node.Config{Radio: "zep://[fd99::1]:17754?mode=client", EUI64: 0x02005e1000000001}))
			b := talkNode(t, inside(t, two, node.Config{Radio: node2, EUI64: 0x02005e1000000002}))
			aside := func() (n uint64) {
				for _, p := range r1.status().Ports {
					n += p.Drops["multicast_not_designated"]
				}
				return n
			}
			if same {
				// Before the first router has heard the query of the second both serve the mesh.
				eventually(t, "the first router leaves the mesh to the other one", 20*time.Second, func() error {
					a.say("ff05::7a", "nobody listens")
					if aside() == 0 {
						return errors.New("not yet")
					}
					return nil
				})
			}
			before := aside()
			// Both offer a prefix at first, of which one is deprecated soon.
			eventually(t, "address of the host", 15*time.Second, func() error {
				list, err := addrs(host, "eth0")
				if err == nil && !slices.ContainsFunc(list, preferred) {
					err = fmt.Errorf("have %+v", list)
				}
				return err
			})
			h := talk(t, host)
			h.join("ff05::77", "ff05::79")
			a.join("ff05::78", "ff05::79")
			b.join("ff05::78", "ff05::77")
			sayUntil(t, "LAN to meshes", h, "ff05::78", a, b)
			sayUntil(t, "mesh to mesh and LAN", a, "ff05::77", b, h)
			sayUntil(t, "the other way", b, "ff05::79", a, h)
			for i := range 5 {
				h.say("ff05::78", fmt.Sprint("host again ", i))
				a.say("ff05::77", fmt.Sprint("a again ", i))
			}
			time.Sleep(time.Second)
			for name, k := range map[string]*talker{"host": h, "a": a, "b": b} {
				for text, n := range k.heard(time.Millisecond) {
					if n != 1 {
						t.Errorf("%s hears %q %d times", name, text, n)
					}
				}
			}
			if !same {
				return
			}
			if aside() == before {
				t.Error("the router that is not the querier has left nothing to the other one")
			}
			// The querier goes, and the one with the hub takes over.
			r2.p.signal(syscall.SIGKILL)
			<-r2.p.done
			sayUntil(t, "LAN to mesh by the other router", h, "ff05::78", a, b)
			sayUntil(t, "mesh to LAN by the other router", a, "ff05::77", b, h)
		})
	}
}
