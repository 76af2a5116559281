package ethernet

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"border-router/internal/netnstest"
	"border-router/ipv6"
)

// listen opens a port that counts what comes in to a group of larger than link scope.
func listen(t *testing.T, ns *netnstest.NS, cfg Config, group netip.Addr) (*Port, *atomic.Int64) {
	t.Helper()
	var p *Port
	var err error
	ns.Do(func() { p, err = Open(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	n := new(atomic.Int64)
	p.SetAllGroups(true)
	p.Start(func(w interface{ Run(now time.Time) }) bool { w.Run(time.Now()); return true }, func(_ time.Time, q ipv6.Packet, _ ipv6.Meta) {
		if q.Dst() == group {
			n.Add(1)
		}
	})
	await(t, "up", func() bool { return p.State().Up })
	return p, n
}

// TestCloseSends has what was given to Output before Close reach the wire, each time: so
// the last router advertisement does.
func TestCloseSends(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	a.LinkTo(b, "eth0", "lan0")
	group := netip.MustParseAddr("ff05::fd")
	_, heard := listen(t, b, Config{Name: "lan0", MAC: ipv6.EUI48([6]byte{2, 0, 0, 0, 0, 9})}, group)
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(ours, 1), netip.AddrPortFrom(group, 2), 64, make([]byte, 1000)))
	const rounds, each = 30, 40
	for i := range int64(rounds) {
		port, _ := listen(t, a, Config{Name: "eth0", MAC: ourMAC}, group)
		for range each {
			if err := port.Output(time.Now(), p, ipv6.LinkAddr{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := port.Close(); err != nil {
			t.Fatal(err)
		}
		if st := port.Stats(); st.OutFrames != each {
			t.Fatalf("round %d: %d of %d sent: %v", i, st.OutFrames, each, st.Drops)
		}
		await(t, "frames on the wire", func() bool { return heard.Load() == (i+1)*each })
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestCloseLeavesNothing closes ports in every state; files and goroutines end with them.
func TestCloseLeavesNothing(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	a.LinkTo(b, "eth0", "lan0")
	post := func(w interface{ Run(now time.Time) }) bool { w.Run(time.Now()); return true }
	deliver := func(time.Time, ipv6.Packet, ipv6.Meta) {}
	cases := []struct {
		name  string
		cfg   Config
		start bool
		up    bool
	}{
		{"not started", Config{Name: "eth0", MAC: ourMAC}, false, false},
		{"waiting", Config{Name: "absent0", MAC: ourMAC}, true, false},
		{"closed at once", Config{Name: "eth0", MAC: ourMAC}, true, false},
		{"reading", Config{Name: "eth0", MAC: ourMAC}, true, true},
		{"control", Config{Name: "eth0", Control: true}, true, true},
		{"TAP", Config{Name: "tap7", TAP: true, MAC: ourMAC}, true, true},
		{"TAP without its bridge", Config{Name: "tap7", TAP: true, Bridge: "br7", MAC: ourMAC}, true, false},
		{"not an Ethernet interface", Config{Name: "lo"}, true, false},
	}
	run := func() {
		for _, c := range cases {
			var p *Port
			var err error
			a.Do(func() { p, err = Open(c.cfg) })
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if c.start {
				p.Start(post, deliver)
			}
			if c.up {
				await(t, c.name, func() bool { return p.State().Up })
			}
			for range 2 {
				if err := p.Close(); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			p.Start(post, deliver) // too late, and nothing
			p.JoinGroup(ours)
			p.Stats()
			if err := p.SetKernelAddress(netip.PrefixFrom(ours, 64), true); err == nil {
				t.Errorf("%s: an address by a closed port", c.name)
			}
		}
	}
	run()
	settle := func(files, routines int) bool {
		return openFiles(t) <= files && runtime.NumGoroutine() <= routines
	}
	runtime.GC()
	files, routines := openFiles(t), runtime.NumGoroutine()
	for range 3 {
		run()
	}
	for end := time.Now().Add(time.Minute); !settle(files, routines); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("files %d, were %d; goroutines %d, were %d\n%s", openFiles(t), files, runtime.NumGoroutine(), routines, buf[:runtime.Stack(buf, true)])
		}
	}
}

// TestMACFollowed changes the address of an interface whose own one we use.
func TestMACFollowed(t *testing.T) {
	a, b := twoHosts(t)
	s := newStation(t, a, Config{Name: "eth0"})
	s.awaitUp(true, "")
	ping(t, b, 56, 1)
	a.MustExec("ip", "link", "set", "eth0", "address", "02:77:00:00:00:01")
	want := ipv6.EUI48([6]byte{2, 0x77, 0, 0, 0, 1})
	await(t, "new address", func() bool { return s.port.State().LinkAddr == want && s.port.LinkAddr() == want })
	b.MustExec("ip", "neigh", "flush", "dev", "lan0")
	ping(t, b, 56, 2)
}

// TestMTU has interfaces that carry less than Ethernet does, too little, and more.
func TestMTU(t *testing.T) {
	a, b := twoHosts(t)
	a.MustExec("ip", "link", "set", "eth0", "mtu", "1400")
	var small *Port
	var err error
	a.Do(func() { small, err = Open(Config{Name: "eth0", MAC: ourMAC}) })
	if err != nil {
		t.Fatal(err)
	}
	if small.MTU() != 1400 {
		t.Errorf("MTU %d on an interface with 1400", small.MTU())
	}
	small.Close()

	a.MustExec("ip", "link", "set", "eth0", "mtu", "9000")
	b.MustExec("ip", "link", "set", "lan0", "mtu", "9000")
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC})
	s.awaitUp(true, "")
	if s.port.MTU() != DefaultMTU {
		t.Errorf("MTU %d on an interface with 9000", s.port.MTU())
	}
	// A packet that is too long for everything behind us still comes in: its sender is
	// owed an answer.
	await(t, "a long packet", func() bool {
		b.Exec("ping", "-6", "-n", "-M", "do", "-c", "1", "-W", "1", "-s", "8000", ours.String())
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.heard {
			if len(p) == ipv6.HeaderLen+8+8000 {
				return true
			}
		}
		return false
	})
	a.MustExec("ip", "link", "set", "eth0", "mtu", "1279")
	s.awaitUp(false, "interface eth0 has an MTU of 1279, and IPv6 needs 1280; ip link set eth0 mtu 1500")
	a.MustExec("ip", "link", "set", "eth0", "mtu", "1500")
	s.awaitUp(true, "")
}

// TestOwnAddressElsewhere has another station send from our MAC address.
func TestOwnAddressElsewhere(t *testing.T) {
	a, b := twoHosts(t)
	var log bytes.Buffer
	s := newStation(t, a, Config{Name: "eth0", MAC: ourMAC, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.awaitUp(true, "")
	group := netip.MustParseAddr("ff05::fd")
	s.port.SetAllGroups(true)
	other, _ := listen(t, b, Config{Name: "lan0", MAC: ourMAC}, group)
	p := ipv6.Packet(ipv6.AppendUDP(nil, netip.AddrPortFrom(kernels, 1), netip.AddrPortFrom(group, 2), 64, nil))
	for range 3 {
		if err := other.Output(time.Now(), p, ipv6.LinkAddr{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "three drops", func() bool { return s.port.Stats().Drops[DropOwnAddress] == 3 })
	if err := s.port.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "our own MAC address"); n != 1 {
		t.Errorf("warned %d times\n%s", n, log.String())
	}
}

// TestBridgeAsUplink has our own station on a bridge of the kernel.
func TestBridgeAsUplink(t *testing.T) {
	a, b := twoHosts(t)
	a.MustExec("ip", "link", "add", "br0", "type", "bridge")
	a.MustExec("ip", "link", "set", "eth0", "master", "br0")
	a.MustExec("ip", "link", "set", "br0", "up")
	s := newStation(t, a, Config{Name: "br0", MAC: ourMAC})
	s.awaitUp(true, "")
	ping(t, b, 1000, 2)
}

// TestVLANAsUplink has our own station on a VLAN's interface.
func TestVLANAsUplink(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	a.LinkTo(b, "eth0", "lan0")
	for _, x := range []struct {
		ns      *netnstest.NS
		on, dev string
	}{{a, "eth0", "eth0.7"}, {b, "lan0", "lan0.7"}} {
		if out, err := x.ns.Exec("ip", "link", "add", "link", x.on, "name", x.dev, "type", "vlan", "id", "7"); err != nil {
			t.Skipf("no VLANs here: %v %s", err, out)
		}
		x.ns.MustExec("ip", "link", "set", x.dev, "up")
	}
	b.AddAddress("lan0.7", netip.PrefixFrom(kernels, 64))
	s := newStation(t, a, Config{Name: "eth0.7", MAC: ourMAC})
	s.awaitUp(true, "")
	ping(t, b, 1000, 2)
}
