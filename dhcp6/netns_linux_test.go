package dhcp6

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"border-router/internal/netnstest"
)

// A socket is a UDP socket in a namespace, on one interface, and the Sender of machines.
type socket struct {
	t     testing.TB
	conn  *net.UDPConn
	index string // of the interface, as a zone
	in    chan datagram
}

// open opens a socket. It hears the group of servers and relays where it listens on their
// port.
func open(t testing.TB, ns *netnstest.NS, link string, port int) *socket {
	t.Helper()
	s := &socket{t: t, in: make(chan datagram, 64)}
	ns.Do(func() {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			t.Fatal(err)
		}
		s.index = strconv.Itoa(ifi.Index)
		// The link-local address may need a moment after the link came up.
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if addrs, err := ifi.Addrs(); err == nil && len(addrs) > 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s has no address", link)
			}
		}
		if s.conn, err = net.ListenUDP("udp6", &net.UDPAddr{Port: port}); err != nil {
			t.Fatal(err)
		}
		p := ipv6.NewPacketConn(s.conn)
		if port == ServerPort {
			if err := p.JoinGroup(ifi, &net.UDPAddr{IP: AllServersAndRelays.AsSlice()}); err != nil {
				t.Fatal(err)
			}
			if err := p.JoinGroup(ifi, &net.UDPAddr{IP: AllServers.AsSlice()}); err != nil {
				t.Fatal(err)
			}
		}
		_ = p.SetMulticastInterface(ifi)
	})
	t.Cleanup(func() { s.conn.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, src, err := s.conn.ReadFromUDPAddrPort(b)
			if err != nil {
				close(s.in)
				return
			}
			select {
			case s.in <- datagram{time.Now(), src, append([]byte{}, b[:n]...)}:
			default:
			}
		}
	}()
	return s
}

func (s *socket) SendUDP(_ time.Time, dst netip.AddrPort, b []byte) {
	if a := dst.Addr(); a.IsLinkLocalUnicast() || a.IsMulticast() {
		dst = netip.AddrPortFrom(a.WithZone(s.index), dst.Port())
	}
	if _, err := s.conn.WriteToUDPAddrPort(b, dst); err != nil {
		s.t.Logf("send to %s: %v", dst, err)
	}
}

type timed interface {
	Deadline() time.Time
	Advance(now time.Time)
}

// A pump is a machine on its socket.
type pump struct {
	s      *socket
	m      timed
	handle func(now time.Time, src netip.AddrPort, b []byte) error
}

// run lets machines work until done, and fails after limit.
func run(t testing.TB, limit time.Duration, what string, done func() bool, pumps ...pump) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
		idle := true
		for _, p := range pumps {
			select {
			case d, ok := <-p.s.in:
				if ok {
					idle = false
					if err := p.handle(time.Now(), d.dst, d.b); err != nil {
						t.Logf("from %s: %v", d.dst, err)
					}
				}
			default:
			}
			if now := time.Now(); due(p.m.Deadline(), now) {
				idle = false
				p.m.Advance(now)
			}
		}
		if idle {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%v; apt-get install kea-dhcp6-server isc-dhcp-client tshark", err)
		}
	}
}

// capture records what passes an interface, and has tshark read it at the end of the test.
func capture(t *testing.T, ns *netnstest.NS, link string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	cmd := exec.Command("dumpcap", "-q", "-i", link, "-f", "udp", "-w", file)
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if fi, err := os.Stat(file); err == nil && fi.Size() > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("dumpcap does not start: %s", errs.String())
		}
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		read := func(filter string) string {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, "tshark", "-r", file, "-o", "udp.check_checksum:FALSE", "-Y", filter).Output()
			if err != nil {
				t.Errorf("tshark: %v", err)
			}
			return string(out)
		}
		if got := read("_ws.malformed || _ws.expert.severity >= 0x600000"); got != "" {
			t.Errorf("tshark objects:\n%s", got)
		}
		if got := read("dhcpv6"); got == "" {
			t.Error("the capture has no DHCPv6")
		} else {
			t.Logf("captured:\n%s", got)
		}
	})
}

type object = map[string]any

// kea starts Kea in a namespace, where link has the address 2001:db8:1::1, and returns how
// to stop it.
func kea(t *testing.T, ns *netnstest.NS, link string, subnet object) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	conf, err := json.Marshal(object{"Dhcp6": object{
		"interfaces-config": object{"interfaces": []string{link, link + "/2001:db8:1::1"}},
		"lease-database":    object{"type": "memfile", "persist": false},
		"renew-timer":       2, "rebind-timer": 4, "preferred-lifetime": 6, "valid-lifetime": 8,
		"server-id": object{"type": "EN", "enterprise-id": 4660, "identifier": "87654321", "persist": false},
		"option-data": []object{{"name": "dns-servers", "data": "2001:db8::53"}, {"name": "domain-search", "data": "example.com"},
			{"name": "sntp-servers", "data": "2001:db8::123"}},
		"subnet6": []object{subnet},
		"loggers": []object{{"name": "kea-dhcp6", "severity": "INFO", "output_options": []object{{"output": "stdout"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kea.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("kea-dhcp6", "-c", file)
	cmd.Env = append(os.Environ(), "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR="+dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	text := func() string { b, _ := os.ReadFile(log.Name()); return string(b) }
	for end := time.Now().Add(60 * time.Second); !strings.Contains(text(), "DHCP6_STARTED"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("kea does not start:\n%s", text())
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kea:\n%s", text())
		}
		log.Close()
	})
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
}

type leaseLog struct {
	at   time.Time
	last Lease
}

func (l *leaseLog) LeaseChanged(now time.Time, n Lease) { l.at, l.last = now, n }

// TestClientWithKea: addresses and prefixes of another's server, renewed, taken over by
// another server, withdrawn, released; and configuration alone.
func TestClientWithKea(t *testing.T) {
	need(t, "kea-dhcp6", "tshark", "dumpcap")
	c, s := netnstest.New(t), netnstest.New(t)
	c.LinkTo(s, "c0", "s0")
	s.AddAddress("s0", netip.MustParsePrefix("2001:db8:1::1/64"))
	sock := open(t, c, "c0", ClientPort)
	capture(t, c, "c0")
	subnet := func(pd string) object {
		return object{"id": 1, "subnet": "2001:db8:1::/64", "interface": "s0", "rapid-commit": true,
			"pools": []object{{"pool": "2001:db8:1::100-2001:db8:1::1ff"}},
			"pd-pools": []object{{"prefix": pd, "prefix-len": 56, "delegated-len": 60,
				"excluded-prefix": pd, "excluded-prefix-len": 64}}}
	}
	stop := kea(t, s, "s0", subnet("2001:db8:100::"))

	var log leaseLog
	m := NewClient(ClientConfig{DUID: clientID, IAID: 7, Hint: netip.MustParsePrefix("::/60")}, sock, &log)
	p := pump{sock, m, m.HandleMessage}
	m.SetMode(time.Now(), bothModes)
	m.LinkChanged(time.Now(), true)
	run(t, 60*time.Second, "bound", func() bool { return m.State() == "bound" }, p)
	l := log.last
	if len(l.Addresses) != 1 || !netip.MustParsePrefix("2001:db8:1::100/120").Contains(l.Addresses[0].Addr) {
		t.Errorf("addresses %+v", l.Addresses)
	}
	if len(l.Prefixes) != 1 || l.Prefixes[0].Prefix.Bits() != 60 || !netip.MustParsePrefix("2001:db8:100::/56").Contains(l.Prefixes[0].Prefix.Addr()) {
		t.Fatalf("prefixes %+v", l.Prefixes)
	}
	if fmt.Sprint(l.DNS, l.Domains, l.SNTP) != "[2001:db8::53] [example.com] [2001:db8::123]" {
		t.Errorf("configuration %v %v %v", l.DNS, l.Domains, l.SNTP)
	}
	if v := l.Prefixes[0].Valid.Sub(log.at); v > 8*time.Second || v < 6*time.Second {
		t.Errorf("valid for %v", v)
	}
	subnets, _ := Subnets(l.Prefixes, []uint16{0, 1})
	if len(subnets) != 2 || l.Prefixes[0].Exclude.IsValid() && l.Prefixes[0].Exclude.Overlaps(subnets[0].Prefix) {
		t.Errorf("subnets %+v, excluded %v", subnets, l.Prefixes[0].Exclude)
	}
	was := l.Prefixes[0].Prefix
	run(t, 60*time.Second, "renewed", func() bool { return m.Stats().Leases >= 2 && m.State() == "bound" }, p)
	if log.last.Prefixes[0].Prefix != was {
		t.Errorf("another prefix after the renewal: %v", log.last.Prefixes)
	}

	// A restart of the client: Rebind, and the same again.
	r := m.Record()
	m.LinkChanged(time.Now(), false)
	m = NewClient(ClientConfig{DUID: clientID, IAID: 7, RapidCommit: true}, sock, &log)
	p = pump{sock, m, m.HandleMessage}
	m.Restore(time.Now(), r)
	m.SetMode(time.Now(), bothModes)
	m.LinkChanged(time.Now(), true)
	if m.State() != "confirming" {
		t.Errorf("state %s after a restart", m.State())
	}
	run(t, 60*time.Second, "confirmed", func() bool { return m.State() == "bound" && m.Stats().Leases > 0 }, p)
	if log.last.Prefixes[0].Prefix != was {
		t.Errorf("another prefix after the restart: %v", log.last.Prefixes)
	}

	// The server comes back with another pool, and no leases: what it no longer has goes.
	stop()
	stop = kea(t, s, "s0", subnet("2001:db8:200::"))
	run(t, 90*time.Second, "renumbered", func() bool {
		return m.State() == "bound" && len(log.last.Prefixes) == 1 && netip.MustParsePrefix("2001:db8:200::/56").Contains(log.last.Prefixes[0].Prefix.Addr())
	}, p)

	begin := time.Now()
	m.Release(begin)
	if !log.last.empty() || !m.Busy() {
		t.Errorf("after the release: %+v, busy %v", log.last, m.Busy())
	}
	run(t, 60*time.Second, "released", func() bool { return !m.Busy() }, p)
	// It is sent again after REL_TIMEOUT, a second, and then after twice as long each time.
	most := uint64(1)
	for wait, left := time.Second, time.Since(begin); left >= wait*9/10; wait *= 2 {
		most++
		left -= wait
	}
	if st := m.Stats(); st.Received[dhcpReply] == 0 || st.Sent[dhcpRelease] < 1 || st.Sent[dhcpRelease] > most {
		t.Errorf("%d Releases, want at most %d within %v", st.Sent[dhcpRelease], most, time.Since(begin))
	}

	m.SetMode(time.Now(), Mode{Information: true})
	run(t, 60*time.Second, "informed", func() bool { return m.State() == "informed" }, p)
	stop()
}

const (
	dhcpReply   = 7
	dhcpRelease = 8
)

// TestRelayToKea: a client, our relay and Kea, on two links.
func TestRelayToKea(t *testing.T) {
	need(t, "kea-dhcp6", "tshark", "dumpcap")
	c, r, s := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	c.LinkTo(r, "c0", "r0")
	r.LinkTo(s, "r1", "s0")
	r.AddAddress("r0", netip.MustParsePrefix("2001:db8:2::1/64"))
	r.AddAddress("r1", netip.MustParsePrefix("2001:db8:1::2/64"))
	s.AddAddress("s0", netip.MustParsePrefix("2001:db8:1::1/64"))
	stop := kea(t, s, "s0", object{"id": 2, "subnet": "2001:db8:2::/64", "pools": []object{{"pool": "2001:db8:2::100-2001:db8:2::1ff"}}})
	defer stop()
	capture(t, r, "r1")
	// One socket serves both sides: what relays say comes from a server.
	both := open(t, r, "r0", ServerPort)
	up := &upstream{both}
	relay := NewRelay(RelayConfig{LinkAddr: netip.MustParseAddr("2001:db8:2::1"), InterfaceID: []byte("mesh"),
		Servers: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:1::1]:547")}}, both, up)
	sock := open(t, c, "c0", ClientPort)
	var log leaseLog
	m := NewClient(ClientConfig{DUID: clientID, IAID: 7}, sock, &log)
	m.SetMode(time.Now(), Mode{Addresses: true})
	m.LinkChanged(time.Now(), true)
	run(t, 60*time.Second, "bound through the relay", func() bool { return m.State() == "bound" },
		pump{sock, m, m.HandleMessage},
		pump{both, relay, func(now time.Time, src netip.AddrPort, b []byte) error {
			if isRelay(b) && b[0] == 13 {
				return relay.HandleReply(now, src, b)
			}
			return relay.HandleMessage(now, src, b)
		}})
	if st := relay.Stats(); st.Forwarded < 2 || st.Returned < 2 {
		t.Errorf("%+v", st)
	}
}

// An upstream sends without choosing the interface.
type upstream struct{ s *socket }

func (u *upstream) SendUDP(_ time.Time, dst netip.AddrPort, b []byte) {
	if _, err := u.s.conn.WriteToUDPAddrPort(b, dst); err != nil {
		u.s.t.Logf("send to %s: %v", dst, err)
	}
}

// TestServerWithDhclient: another's client gets configuration, then an address, and
// releases it.
func TestServerWithDhclient(t *testing.T) {
	need(t, "dhclient", "tshark", "dumpcap")
	c, s := netnstest.New(t), netnstest.New(t)
	c.LinkTo(s, "c0", "s0")
	sock := open(t, s, "s0", ServerPort)
	capture(t, s, "s0")
	m := NewServer(ServerConfig{DUID: serverID, Prefix: meshNet, DNS: []netip.Addr{resolver}, Domains: []string{"example.com"},
		SNTP: []netip.Addr{resolver}, PreferredLifetime: 4 * time.Minute, ValidLifetime: 6 * time.Minute, T1: 1 * time.Second, T2: 30 * time.Second}, sock, nil)
	p := pump{sock, m, m.HandleMessage}
	dir := t.TempDir()
	lf, pf := filepath.Join(dir, "leases"), filepath.Join(dir, "pid")
	client := func(args ...string) *exec.Cmd {
		cmd := exec.Command("dhclient", append([]string{"-6", "-v", "-sf", "/bin/true", "-lf", lf, "-pf", pf}, args...)...)
		if err := c.Start(cmd); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	open(t, c, "c0", 40000).conn.Close() // waits for the link-local address
	st := func(typ int) uint64 { return m.Stats().Received[typ] }

	cmd := client("-S", "-1", "-d", "c0") // without -d it may go into the background, and keep the port
	run(t, 60*time.Second, "configuration", func() bool { return st(int(inforeq)) > 0 }, p)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	cmd = client("-N", "-d", "c0")
	run(t, 60*time.Second, "lease", func() bool { return m.Stats().Bindings == 1 && st(int(request)) > 0 }, p)
	b := m.Bindings()[0]
	if !meshNet.Contains(b.Addr) || !b.Peer.IsLinkLocalUnicast() || b.Addr.As16()[15] != b.Peer.As16()[15] {
		t.Errorf("bound %+v", b)
	}
	run(t, 60*time.Second, "renewal", func() bool {
		if st(int(renew)) == 0 {
			return false
		}
		// Killed while it writes, the client would know of no lease to release. Braces are
		// not counted: its DUID is written as text and may have one.
		text, err := os.ReadFile(lf)
		return err == nil && bytes.Count(text, []byte("\nlease6 {\n")) > 1 && bytes.HasSuffix(text, []byte("\n}\n"))
	}, p)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	cmd = client("-r", "-N", "-d", "c0")
	run(t, 60*time.Second, "release", func() bool { return m.Stats().Bindings == 0 && st(int(release)) > 0 }, p)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	text, err := os.ReadFile(lf)
	if err != nil || !strings.Contains(string(text), b.Addr.String()) || !strings.Contains(string(text), "2001:db8::53") {
		t.Errorf("leases of dhclient: %v\n%s", err, text)
	}
}
