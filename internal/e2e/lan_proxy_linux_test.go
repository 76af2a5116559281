package e2e_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// lanPrefix is what radvd advertises on the LAN.
var lanPrefix = netip.MustParsePrefix("2001:db8:1::/64")

// radvd starts radvd on eth0 of ns. It says goodbye when it is terminated: its prefix is
// deprecated then.
func radvd(t *testing.T, ns *netnstest.NS, options string) *process {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "radvd.conf")
	os.WriteFile(conf, fmt.Appendf(nil, `interface eth0 {
	AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 5;
	prefix %s { DeprecatePrefix on; };
	%s
};
`, lanPrefix, options), 0o600)
	ns.Sysctl("net.ipv6.conf.all.forwarding", "1") // radvd wants it
	return start(t, ns, "radvd", "-n", "-C", conf, "-p", filepath.Join(dir, "pid"), "-m", "stderr", "-u", "root")
}

// TestLANProxy: in a LAN whose hosts take no routes from router advertisements, which is the
// default of the kernel, and whose router does not delegate, the mesh has the LAN's own
// prefix, and the router answers for its nodes.
func TestLANProxy(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark", "radvd")
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ethernet", []string{"--uplink", "ethernet://eth0", "--ndproxy"}},
		{"tun", []string{"--lan", "eth0", "--ndproxy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lan, host, gateway, home := newSegment(t), station(t, 0), station(t, 0), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			for _, ns := range []*netnstest.NS{host, gateway, home} {
				lan.plug(ns, "eth0")
			}
			gateway.AddAddress("eth0", netip.PrefixFrom(lanPrefix.Addr().Next(), 64))
			radvd(t, gateway, "")
			record(t, host, "eth0")
			waitAddr(t, host, lanPrefix, 10*time.Second, "usable", preferred)

			r := startLAN(t, home, tt.args...)
			nodes := []*device{r.node("02:00:5e:10:00:00:00:01"), r.node("02:00:5e:10:00:00:00:02", "--nd", "4861")}
			for _, n := range nodes {
				n.addr = n.address(lanPrefix)
			}
			reach(t, host, nodes[0].addr, 20*time.Second)
			took := r.begin.took()
			t.Logf("reached %.1f s after the start of the router", r.begin.wall().Seconds())
			if took > 10*time.Second {
				t.Errorf("reached after %v, want at most 10 s", took)
			}
			// One that does not register is known once it has spoken.
			reach(t, host, nodes[1].addr, 10*time.Second)
			for _, n := range nodes {
				for _, size := range []int{8, 1000} {
					for _, from := range []*netnstest.NS{host, gateway} {
						if err := answers(from, n.addr, size, 2); err != nil {
							t.Error(err)
						}
					}
				}
			}

			// A host that wants the address of a node finds that it is taken. It asks more than
			// once: a router that is kept from the processor answers late.
			host.Sysctl("net.ipv6.conf.eth0.dad_transmits", "5")
			for _, n := range nodes {
				host.MustExec("ip", "addr", "add", n.addr.String()+"/64", "dev", "eth0")
				waitAddr(t, host, netip.PrefixFrom(n.addr, 128), 10*time.Second, "found to be taken", func(a kernelAddr) bool { return a.DADFailed })
				host.MustExec("ip", "addr", "del", n.addr.String()+"/64", "dev", "eth0")
			}
			host.Sysctl("net.ipv6.conf.eth0.dad_transmits", "1")
			// A node that wants the address of a host does not get it.
			third := &device{eui: "02:00:5e:10:00:00:00:03"}
			taken := third.address(lanPrefix)
			host.MustExec("ip", "addr", "add", taken.String()+"/64", "dev", "eth0")
			waitAddr(t, host, netip.PrefixFrom(taken, 128), 5*time.Second, "usable", preferred)
			third = r.node(third.eui)
			eventually(t, "the node is told that its address is taken", 10*time.Second, func() error {
				if out := third.output(); !strings.Contains(out, "registration refused") {
					return fmt.Errorf("it says\n%s", out)
				}
				return nil
			})
			if err := answers(gateway, taken, 8, 2); err != nil {
				t.Errorf("the host has lost its address: %v", err)
			}
			third.end(time.Second)

			// Killed, and started again: the mesh keeps the prefix, and its nodes need not do
			// anything.
			r.p.signal(syscall.SIGKILL)
			<-r.p.done
			r.start()
			if p := r.prefix(); p != lanPrefix {
				t.Errorf("after the restart the mesh has %v", p)
			}
			for _, n := range nodes {
				t.Logf("%v is reached %v after the restart", n.addr, reach(t, host, n.addr, 10*time.Second).Round(100*time.Millisecond))
			}
			r.checkCounters()
			r.p.end(time.Second)
		})
	}
}
