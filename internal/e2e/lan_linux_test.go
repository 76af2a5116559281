package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// A segment is an Ethernet: a bridge of the kernel, in a namespace of its own.
type segment struct {
	t     *testing.T
	ns    *netnstest.NS
	ports int
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	s := &segment{t: t, ns: netnstest.New(t)}
	s.ns.MustExec("ip", "link", "add", "br0", "type", "bridge")
	s.ns.Sysctl("net.ipv6.conf.br0.disable_ipv6", "1")
	s.ns.MustExec("ip", "link", "set", "br0", "up")
	return s
}

// plug joins the interface here of ns to the segment and returns the name of the port.
func (s *segment) plug(ns *netnstest.NS, here string) (port string) {
	s.t.Helper()
	s.ports++
	port = fmt.Sprintf("port%d", s.ports)
	s.ns.LinkTo(ns, port, here)
	s.ns.MustExec("ip", "link", "set", port, "master", "br0")
	return port
}

// station returns a namespace with the defaults of the kernel, but for the longest prefix of
// which routes are taken from router advertisements: 0 is the kernel's own, 64 what
// systemd-networkd and NetworkManager come to.
func station(t *testing.T, plen int) *netnstest.NS {
	t.Helper()
	ns := netnstest.New(t)
	ns.Sysctl("net.ipv6.conf.default.accept_dad", "1")
	ns.Sysctl("net.ipv6.conf.default.dad_transmits", "1")
	ns.Sysctl("net.ipv6.conf.default.accept_ra_rt_info_max_plen", fmt.Sprint(plen))
	return ns
}

// routing returns a namespace in which the kernel is a router, as on the machine of a TUN
// uplink.
func routing(t *testing.T) *netnstest.NS {
	t.Helper()
	ns := station(t, 0)
	ns.Sysctl("net.ipv6.conf.all.forwarding", "1")
	ns.Sysctl("net.ipv6.conf.default.forwarding", "1")
	ns.Sysctl("net.ipv6.conf.default.accept_ra", "2") // although it forwards
	return ns
}

// A lanRouter is a border router with a LAN, and the nodes behind it.
type lanRouter struct {
	*bench
	p     *process
	begin stopwatch
	dir   string
	args  []string
}

// startLAN starts a router, and waits until it answers.
func startLAN(t *testing.T, ns *netnstest.NS, args ...string) *lanRouter {
	t.Helper()
	r := &lanRouter{dir: t.TempDir(), args: args}
	r.bench = &bench{t: t, bin: build(t), ns: ns, socket: filepath.Join(r.dir, "sock")}
	r.start()
	return r
}

func (r *lanRouter) start() {
	r.t.Helper()
	r.begin = startWatch()
	args := append([]string{"run", "--state-dir", filepath.Join(r.dir, "state"), "--socket", r.socket}, r.args...)
	r.p = start(r.t, r.ns, r.bin, args...)
	eventually(r.t, "router up", 10*time.Second, func() error {
		r.alive()
		return r.json(&lanStatus{}, "status")
	})
}

// alive fails the test where the router has ended.
func (r *lanRouter) alive() {
	r.t.Helper()
	select {
	case <-r.p.done:
		r.t.Fatalf("the router ended:\n%s", r.p.output())
	default:
	}
}

// node starts a device in the mesh of the router.
func (r *lanRouter) node(eui string, args ...string) *device {
	r.t.Helper()
	d := &device{eui: eui}
	d.process = start(r.t, r.ns, r.bin, append([]string{"node", "--radio", "zep://[::1]:17754?mode=client", "--eui64", eui}, args...)...)
	return d
}

// A lanStatus is what status says of the LAN.
type lanStatus struct {
	Prefixes []struct {
		Prefix netip.Prefix
		Source string
	}
	Uplink struct{ Addresses []netip.Addr }
	Ports  []struct {
		Name, LinkAddr string
		Addresses      []netip.Addr
		Drops          map[string]uint64
	}
	LAN *struct {
		State, Interface string
		LinkAddr         string `json:"lladdr"`
		Addresses        []struct {
			Addr  netip.Addr
			State string
		}
		Routers []struct {
			Prefix  netip.Prefix
			NextHop netip.Addr `json:"next_hop"`
		} `json:"routes"`
		Prefixes []struct {
			Prefix netip.Prefix
			Source string
		}
		Advertised []struct {
			Prefix netip.Prefix
			Kind   string
			State  string
		}
	}
	Filter *struct {
		Rules []struct {
			Name, Action   string
			Packets, Bytes uint64
		}
		Unmatched uint64
	}
}

func (r *lanRouter) status() (s lanStatus) {
	r.t.Helper()
	if err := r.json(&s, "status"); err != nil {
		r.t.Fatalf("status: %v", err)
	}
	return s
}

// prefix is that of the mesh.
func (r *lanRouter) prefix() netip.Prefix { return r.status().Prefixes[0].Prefix }

// reach pings to until it answers, and returns how long that took, of the time that eventually
// counts.
func reach(t *testing.T, from *netnstest.NS, to netip.Addr, within time.Duration) time.Duration {
	t.Helper()
	within += patience
	watch := startWatch()
	for {
		// Several requests a second, until one is answered; an error ends it.
		out, err := from.Exec("ping", "-6", "-c", "1", "-i", "0.2", "-w", "2", to.String())
		if err == nil {
			return watch.took()
		}
		if watch.took() > within || watch.wall() > 4*within {
			addrs, _ := from.Exec("ip", "-6", "addr", "show")
			routes, _ := from.Exec("ip", "-6", "route", "show", "table", "all")
			neighbors, _ := from.Exec("ip", "-6", "neigh")
			t.Fatalf("%s is not reached within %v (%v by the clock): %v\n%s%s%s%s", to, within, watch.wall(), err, out, addrs, routes, neighbors)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// answers wants count answers to pings of size bytes. On a busy machine a frame may be lost
// on its simulated air, so as many requests as it takes may be sent.
func answers(from *netnstest.NS, to netip.Addr, size, count int) error {
	out, err := from.Exec("ping", "-6", "-c", fmt.Sprint(count), "-w", "60", "-i", "0.2", "-s", fmt.Sprint(size), to.String())
	if err != nil {
		return fmt.Errorf("ping -s %d %s: %v\n%s", size, to, err, out)
	}
	return nil
}

// A recording is a capture that tcpdump makes of an interface.
type recording struct {
	t    *testing.T
	p    *process
	file string

	options []string // of tshark
}

// record starts to capture. At the end of the test tshark reads the capture, and finds
// nothing malformed.
func record(t *testing.T, ns *netnstest.NS, link string) *recording {
	t.Helper()
	c := &recording{t: t, file: filepath.Join(t.TempDir(), "lan.pcap")}
	c.p = start(t, ns, "tcpdump", "-Z", "root", "-U", "-i", link, "-w", c.file)
	eventually(t, "tcpdump up", 10*time.Second, func() error {
		if !strings.Contains(c.p.output(), "listening on") {
			return fmt.Errorf("says %q", c.p.output())
		}
		return nil
	})
	t.Cleanup(func() {
		c.p.stop(syscall.SIGINT)
		// Checksums of UDP and TCP are left to hardware that a veth does not have.
		if lines := c.read(malformed + " or icmpv6.checksum.status == 0"); len(lines) > 0 {
			t.Errorf("tshark objects to %d packets on the LAN:\n%s", len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
		}
		if len(c.read("icmpv6")) == 0 {
			t.Error("there is nothing in the capture of the LAN")
		}
	})
	return c
}

// read returns what tshark says of the packets that filter selects, or of their fields.
func (c *recording) read(filter string, fields ...string) []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append([]string{"-n", "-r", c.file, "-Y", filter}, c.options...)
	if len(fields) > 0 {
		args = append(args, "-T", "fields")
		for _, f := range fields {
			args = append(args, "-e", f)
		}
	}
	cmd := exec.CommandContext(ctx, "tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && !strings.Contains(stderr.String(), "cut short") { // tcpdump still writes
		c.t.Errorf("tshark: %v\n%s", err, stderr.String())
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// sees waits until the capture has a packet that filter selects, which tcpdump may write a while
// after it came, and returns what read does.
func (c *recording) sees(what, filter string, fields ...string) (list []string) {
	c.t.Helper()
	eventually(c.t, what+" in the capture", 10*time.Second, func() error {
		if list = c.read(filter, fields...); len(list) == 0 {
			return fmt.Errorf("no packet is %q", filter)
		}
		return nil
	})
	return list
}

// A kernelAddr is an address as ip(8) shows it.
type kernelAddr struct {
	Local      netip.Addr
	PrefixLen  int
	Scope      string
	Deprecated bool
	Tentative  bool
	DADFailed  bool
	Preferred  uint32 `json:"preferred_life_time"`
	Valid      uint32 `json:"valid_life_time"`
}

// addrs returns the IPv6 addresses of an interface of larger than link scope.
func addrs(ns *netnstest.NS, link string) (list []kernelAddr, err error) {
	out, err := ns.Exec("ip", "-6", "-j", "addr", "show", "dev", link, "scope", "global")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var links []struct {
		Info []kernelAddr `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return nil, err
	}
	for _, l := range links {
		list = append(list, l.Info...)
	}
	return list, nil
}

// in returns the address of the list in p.
func in(list []kernelAddr, p netip.Prefix) (kernelAddr, bool) {
	for _, a := range list {
		if p.Contains(a.Local) {
			return a, true
		}
	}
	return kernelAddr{}, false
}

// waitAddr waits until an address in p is as wanted.
func waitAddr(t *testing.T, ns *netnstest.NS, p netip.Prefix, within time.Duration, what string, ok func(a kernelAddr) bool) (found kernelAddr) {
	t.Helper()
	eventually(t, fmt.Sprintf("address in %v that is %s", p, what), within, func() error {
		list, err := addrs(ns, "eth0")
		if err != nil {
			return err
		}
		if a, has := in(list, p); has && ok(a) {
			found = a
			return nil
		}
		return fmt.Errorf("have %+v", list)
	})
	return found
}

func preferred(a kernelAddr) bool { return !a.Deprecated && !a.Tentative && !a.DADFailed }

var anyULA = netip.MustParsePrefix("fc00::/7")

// TestLANRoute is the promise: a host that takes routes from router advertisements reaches
// the mesh within ten seconds of the start of the router, and nobody does anything on it.
func TestLANRoute(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark", "coap-client-notls")
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ethernet", []string{"--uplink", "ethernet://eth0"}},
		{"tap", []string{"--uplink", "tap://brtap0?bridge=br1"}},
		{"tun", []string{"--lan", "eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lan, host, home := newSegment(t), station(t, 64), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			lan.plug(host, "eth0")
			lan.plug(home, "eth0")
			if tt.name == "tap" {
				home.MustExec("ip", "link", "add", "br1", "type", "bridge")
				home.MustExec("ip", "link", "set", "br1", "up")
				home.MustExec("ip", "link", "set", "eth0", "master", "br1")
			}
			record(t, host, "eth0")
			r := startLAN(t, home, tt.args...)
			nodes := []*device{r.node("02:00:5e:10:00:00:00:01"), r.node("02:00:5e:10:00:00:00:02", "--nd", "4861")}
			prefix := r.prefix()
			for _, n := range nodes {
				n.addr = n.address(prefix)
			}
			reach(t, host, nodes[0].addr, 20*time.Second)
			took := r.begin.took()
			t.Logf("reached %.1f s after the start of the router", r.begin.wall().Seconds())
			if took > 10*time.Second {
				t.Errorf("reached after %v, want at most 10 s", took)
			}
			for _, n := range nodes {
				for _, size := range []int{8, 1000} {
					if err := answers(host, n.addr, size, 3); err != nil {
						t.Error(err)
					}
				}
			}
			exchange(t, host, nodes[0].addr)
			r.checkCounters()

			// At the end hosts are told, and keep no route that leads nowhere.
			r.p.end(time.Second)
			eventually(t, "the route is withdrawn", 2*time.Second, func() error {
				if out := host.MustExec("ip", "-6", "route", "show", prefix.String()); out != "" {
					return fmt.Errorf("there is %s", out)
				}
				return nil
			})
			waitAddr(t, host, anyULA, 2*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
		})
	}
}
