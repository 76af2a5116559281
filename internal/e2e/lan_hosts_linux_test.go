package e2e_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

const networkd = "/lib/systemd/systemd-networkd"

// Programs that configure a host, each with a /run, and a view of the interfaces, of its own.
// Where /sys cannot be written nobody waits for udev, as in a container.
const (
	ownRun = `mount -t sysfs -o ro sysfs /sys && mount -t tmpfs tmpfs /run && `

	// All settings are the defaults. Next hops and the DUID are derived from the machine's ID.
	runNetworkd = ownRun + `mkdir -p /run/etc/systemd/network && cp /etc/passwd /etc/group /run/etc && mount --bind /run/etc /etc &&
echo 0123456789abcdef0123456789abcdef >/etc/machine-id && printf '[Match]\nName=eth0\n[Network]\n' >/etc/systemd/network/00-eth0.network &&
install -d -o systemd-network -g systemd-network /run/systemd/netif &&
SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console exec ` + networkd

	// As process 1 of a namespace it takes those that it has started with it.
	runDHCPCD = ownRun + `mkdir /run/dhcpcd && mount -t tmpfs tmpfs /var/lib/dhcpcd && dhcpcd -B -d -f /dev/null -c /bin/true eth0; true`
)

// managed starts a program that configures eth0 of ns, and waits until it has taken router
// advertisements over from the kernel.
func managed(t *testing.T, ns *netnstest.NS, script string, flags ...string) *process {
	t.Helper()
	if out, err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run").CombinedOutput(); err != nil {
		t.Skipf("cannot mount in a namespace: %v: %s", err, out)
	}
	p := start(t, ns, "unshare", append(flags, "-m", "sh", "-c", script)...)
	eventually(t, "the host is configured", 30*time.Second, func() error {
		select {
		case <-p.done:
			t.Fatalf("%s ended:\n%s", p.name, p.output())
		default:
		}
		if out := strings.TrimSpace(ns.MustExec("cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra")); out != "0" {
			return fmt.Errorf("accept_ra is %s", out)
		}
		return nil
	})
	return p
}

// waitNoRoute waits until ns has no route to p.
func waitNoRoute(t *testing.T, ns *netnstest.NS, p string) {
	t.Helper()
	eventually(t, "no route to "+p, 30*time.Second, func() error {
		if out := ns.MustExec("ip", "-6", "route", "show", p); out != "" {
			return fmt.Errorf("there is %s", out)
		}
		return nil
	})
}

// objections are what systemd-networkd logs of router advertisements that it does not like.
var objections = regexp.MustCompile(`(?im)^.*NDISC.*(invalid|ignor|malform|truncat|fail).*$`)

// TestLANNetworkd has systemd-networkd with default settings configure a host: it takes the
// route to the mesh, another when the router comes back with another prefix, and gives it up
// when the router ends.
func TestLANNetworkd(t *testing.T) {
	need(t, networkd, "unshare", "ping")
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ethernet", []string{"--uplink", "ethernet://eth0"}},
		{"tun", []string{"--lan", "eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, home := station(t, 0), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			host.LinkTo(home, "eth0", "eth0")
			manager := managed(t, host, runNetworkd)
			r := startLAN(t, home, tt.args...)
			n := r.node("02:00:5e:10:00:00:00:01")
			mesh := r.prefix()
			reach(t, host, n.address(mesh), 30*time.Second)
			t.Logf("reached %.1f s after the start of the router", r.begin.wall().Seconds())

			r.p.signal(syscall.SIGKILL)
			<-r.p.done
			n.signal(syscall.SIGKILL)
			other := netip.MustParsePrefix("2001:db8:77::/64")
			r.args = append(r.args, "--prefix", other.String())
			r.start()
			n = r.node("02:00:5e:10:00:00:00:02")
			reach(t, host, n.address(other), 30*time.Second)
			waitNoRoute(t, host, mesh.String())

			r.p.end(10 * time.Second)
			waitNoRoute(t, host, other.String())
			waitAddr(t, host, anyULA, 30*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
			if list := objections.FindAllString(manager.output(), -1); list != nil {
				t.Errorf("it objects:\n%s", strings.Join(list, "\n"))
			}
		})
	}
}

// TestLANDHCPCD has dhcpcd configure a host. Before version 10.1 it takes no routes from
// router advertisements: the router answers for its nodes, or is the default router.
func TestLANDHCPCD(t *testing.T) {
	need(t, "dhcpcd", "unshare", "ping", "radvd")
	t.Parallel()
	pids := []string{"--fork", "--pid", "--kill-child", "--mount-proc"}
	t.Run("proxy", func(t *testing.T) {
		t.Parallel()
		lan, host, gateway, home := newSegment(t), station(t, 0), station(t, 0), station(t, 0)
		for _, ns := range []*netnstest.NS{host, gateway, home} {
			lan.plug(ns, "eth0")
		}
		gateway.AddAddress("eth0", netip.PrefixFrom(lanPrefix.Addr().Next(), 64))
		radvd(t, gateway, "")
		managed(t, host, runDHCPCD, pids...)
		waitAddr(t, host, lanPrefix, 30*time.Second, "usable", preferred)
		r := startLAN(t, home, "--uplink", "ethernet://eth0", "--ndproxy")
		n := r.node("02:00:5e:10:00:00:00:01")
		reach(t, host, n.address(lanPrefix), 30*time.Second)
		t.Logf("reached %.1f s after the start of the router", r.begin.wall().Seconds())
		r.p.end(10 * time.Second)
	})
	t.Run("default router", func(t *testing.T) {
		t.Parallel()
		host, home := station(t, 0), station(t, 0)
		host.LinkTo(home, "eth0", "eth0")
		managed(t, host, runDHCPCD, pids...)
		r := startLAN(t, home, "--uplink", "ethernet://eth0", "--lan-router-lifetime", "30m")
		n := r.node("02:00:5e:10:00:00:00:01")
		reach(t, host, n.address(r.prefix()), 30*time.Second)
		t.Logf("reached %.1f s after the start of the router", r.begin.wall().Seconds())
		r.p.end(10 * time.Second)
		waitNoRoute(t, host, "default")
		waitAddr(t, host, anyULA, 30*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
	})
}
