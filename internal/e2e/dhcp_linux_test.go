package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

type object = map[string]any

// Lifetimes that Kea gives, in seconds. Prefixes are renewed after a few, and are gone soon
// after it is.
const (
	keaRenew     = 3
	keaPreferred = 14
	keaValid     = 20
)

// kea starts Kea on eth0 of ns, which has the address server, and waits until it serves.
func kea(t *testing.T, ns *netnstest.NS, server netip.Addr, subnets ...object) *process {
	t.Helper()
	dir := t.TempDir()
	conf, err := json.Marshal(object{"Dhcp6": object{
		"interfaces-config": object{"interfaces": []string{"eth0", "eth0/" + server.String()}},
		"lease-database":    object{"type": "memfile", "persist": false},
		"renew-timer":       keaRenew, "rebind-timer": 2 * keaRenew, "preferred-lifetime": keaPreferred, "valid-lifetime": keaValid,
		"server-id":   object{"type": "EN", "enterprise-id": 4660, "identifier": "87654321", "persist": false},
		"option-data": []object{{"name": "dns-servers", "data": "2001:db8:53::53"}, {"name": "domain-search", "data": "kea.example"}, {"name": "sntp-servers", "data": "2001:db8:53::123"}},
		"subnet6":     subnets,
		"loggers":     []object{{"name": "kea-dhcp6", "severity": "INFO", "output_options": []object{{"output": "stdout"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kea.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "link-local address of the server", 5*time.Second, func() error {
		out, err := ns.Exec("ip", "-6", "addr", "show", "dev", "eth0", "scope", "link")
		if err != nil || !strings.Contains(out, "fe80") || strings.Contains(out, "tentative") {
			return fmt.Errorf("%v %s", err, out)
		}
		return nil
	})
	p := start(t, ns, "env", "KEA_LOCKFILE_DIR=none", "KEA_PIDFILE_DIR="+dir, "kea-dhcp6", "-c", file)
	eventually(t, "Kea up", 20*time.Second, func() error {
		if !strings.Contains(p.output(), "DHCP6_STARTED") {
			return fmt.Errorf("says %q", p.output())
		}
		return nil
	})
	return p
}

// delegating is a subnet of the LAN with /56 prefixes out of pool, a /48.
func delegating(pool string) object {
	return object{"id": 1, "subnet": lanPrefix.String(), "interface": "eth0",
		"pools":    []object{{"pool": "2001:db8:1::100-2001:db8:1::1ff"}},
		"pd-pools": []object{{"prefix": pool, "prefix-len": 48, "delegated-len": 56}}}
}

// quit ends a process that another takes the place of.
func (p *process) quit() {
	p.t.Helper()
	p.stop(syscall.SIGTERM)
}

// waitPrefix waits until the prefix of the mesh lies in want, and returns it.
func (r *lanRouter) waitPrefix(want netip.Prefix, source string, within time.Duration) (p netip.Prefix) {
	r.t.Helper()
	begin := time.Now()
	eventually(r.t, "prefix of the mesh in "+want.String(), within, func() error {
		s := r.status().Prefixes[0]
		if p = s.Prefix; !want.Overlaps(p) || s.Source != source {
			return fmt.Errorf("have %+v", s)
		}
		return nil
	})
	r.t.Logf("%v after %.1f s", p, time.Since(begin).Seconds())
	return p
}

// capturing writes what passes the ports of the router into a file, and returns how to end
// that.
func (r *lanRouter) capturing() (tape *recording, end func()) {
	r.t.Helper()
	tape = &recording{t: r.t, file: filepath.Join(r.t.TempDir(), "router.pcapng")}
	p := r.capture(tape.file)
	return tape, func() { p.end(2 * time.Second) }
}

// checkLifetimes checks that no advertisement in the mesh promises a prefix in pool for
// longer than it is ours.
func checkLifetimes(t *testing.T, tape *recording, pool netip.Prefix) {
	t.Helper()
	n := 0
	for _, line := range tape.read("icmpv6.type == 134 and icmpv6.opt.6co.context_prefix", "icmpv6.opt.prefix", "icmpv6.opt.prefix.preferred_lifetime", "icmpv6.opt.prefix.valid_lifetime") {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			continue
		}
		prefixes, pref, valid := strings.Split(f[0], ","), strings.Split(f[1], ","), strings.Split(f[2], ",")
		for i, s := range prefixes {
			a, err := netip.ParseAddr(s)
			if err != nil || !pool.Contains(a) || i >= len(pref) || i >= len(valid) {
				continue
			}
			n++
			p, _ := strconv.ParseUint(pref[i], 0, 32)
			v, _ := strconv.ParseUint(valid[i], 0, 32)
			if p > keaPreferred || v > keaValid || p > v {
				t.Errorf("%s is announced for %d s, preferred for %d s; it is ours for %d s and %d s at most", a, v, p, keaValid, keaPreferred)
			}
		}
	}
	if n == 0 {
		t.Errorf("no advertisement in the mesh has a prefix in %v", pool)
	}
}

var (
	poolA = netip.MustParsePrefix("2001:db8:a00::/48")
	poolB = netip.MustParsePrefix("2001:db8:b00::/48")
)

// TestDelegation is the life of a delegated prefix: granted to a mesh that has its own
// already, renewed, kept over a restart, replaced by another, and gone with the server.
func TestDelegation(t *testing.T) {
	need(t, "kea-dhcp6", "radvd", "tcpdump", "tshark", "ping")
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"ethernet", []string{"--uplink", "ethernet://eth0"}},
		{"tun", []string{"--lan", "eth0", "--dhcp-delegation", "on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			stage := func(what string) { t.Logf("%5.1f s: %s", time.Since(begin).Seconds(), what) }
			lan, host, gateway, home := newSegment(t), station(t, 64), station(t, 0), station(t, 0)
			if tt.name == "tun" {
				home = routing(t)
			}
			lan.plug(host, "eth0")
			lan.plug(gateway, "eth0")
			lan.plug(home, "eth0")
			server := lanPrefix.Addr().Next()
			gateway.AddAddress("eth0", netip.PrefixFrom(server, 64))
			tape := record(t, gateway, "eth0") // where the bridge brings DHCPv6
			radvd(t, gateway, "")
			r := startLAN(t, home, append(tt.args, "--dhcp-hint", "::/56")...)
			n := r.node("02:00:5e:10:00:00:00:01")
			own := r.prefix()
			ula := n.address(own)
			reach(t, host, ula, 15*time.Second)
			router, endCapture := r.capturing()
			stage("up")

			// Granted: the mesh renumbers, the LAN hears of it, and the ULA goes on.
			server1 := kea(t, gateway, server, delegating(poolA.Addr().String()))
			first := r.waitPrefix(poolA, "delegated", 30*time.Second)
			n.addr = n.address(first)
			reach(t, host, n.addr, 10*time.Second)
			reach(t, host, ula, 5*time.Second) // the prefix before
			ours := netip.MustParseAddr(tape.sees("Solicit", "dhcpv6.msgtype == 1", "ipv6.src")[0])
			stage("granted")
			// The gateway of the site routes what it has delegated to us, and gets it back
			// from nobody: the rest of it is unreachable.
			delegated := netip.PrefixFrom(first.Addr(), 56)
			gateway.AddRoute(delegated, ours, "eth0")
			reach(t, gateway, n.addr, 5*time.Second)
			rest := first.Addr().As16()
			rest[7], rest[15] = 0x77, 1
			nobody := netip.AddrFrom16(rest)
			out, err := gateway.Exec("ping", "-6", "-c", "1", "-W", "10", nobody.String())
			if err == nil || !strings.Contains(out, "unreachable") {
				t.Errorf("ping to the rest of the prefix: %v\n%s", err, out)
			}

			stage("routed")
			// Renewed, and nothing changes.
			eventually(t, "renewal", 10*time.Second, func() error {
				if !strings.Contains(server1.output(), "DHCP6_PD_LEASE_RENEW") {
					return fmt.Errorf("none yet")
				}
				return nil
			})
			if p := r.prefix(); p != first {
				t.Errorf("prefix %v after the renewal, was %v", p, first)
			}
			eventually(t, "ping of many frames", 10*time.Second, func() error { return ping(host, n.addr, 1000, 2) })

			stage("renewed")
			// A restart: the prefix is there at once, and confirmed by a Rebind.
			endCapture()
			solicits := len(tape.read("dhcpv6.msgtype == 1"))
			rebinds := len(tape.read("dhcpv6.msgtype == 6"))
			r.p.end(time.Second)
			r.start()
			if s := r.status().Prefixes[0]; s.Prefix != first || s.Source != "delegated" {
				t.Errorf("after a restart the mesh has %+v, want %v", s, first)
			}
			checkLifetimes(t, router, poolA)
			router, endCapture = r.capturing()
			eventually(t, "Rebind", 10*time.Second, func() error {
				if len(tape.read("dhcpv6.msgtype == 6")) == rebinds {
					return fmt.Errorf("none yet")
				}
				return nil
			})
			reach(t, host, n.addr, 10*time.Second)
			if got := len(tape.read("dhcpv6.msgtype == 1")); got != solicits {
				t.Errorf("%d Solicits after the restart", got-solicits)
			}

			stage("restarted")
			// The server comes back with another pool and without leases.
			server1.quit()
			server2 := kea(t, gateway, server, delegating(poolB.Addr().String()))
			second := r.waitPrefix(poolB, "delegated", 30*time.Second)
			reach(t, host, n.addr, 5*time.Second) // the prefix before
			addr := n.address(second)
			reach(t, host, addr, 10*time.Second)
			exchanged, _ := r.run("neighbors")
			if !strings.Contains(exchanged, addr.String()) {
				t.Errorf("%v is not registered:\n%s", addr, exchanged)
			}

			stage("replaced")
			// The server is gone for good: the prefix runs out, and the mesh has its own.
			server2.quit()
			if p := r.waitPrefix(own, "generated", (keaValid+10)*time.Second); p != own {
				t.Errorf("prefix %v, want %v", p, own)
			}
			reach(t, host, ula, 10*time.Second)
			endCapture()
			stage("own again")
			checkLifetimes(t, router, poolB)
			if got := tape.read("icmpv6.type == 128 and ipv6.dst == " + nobody.String()); len(got) > 3 {
				t.Errorf("a ping to nobody went round:\n%s", strings.Join(got, "\n"))
			}
			old := false
			for _, line := range router.read("icmpv6.type == 134 and icmpv6.opt.prefix", "icmpv6.opt.prefix", "icmpv6.opt.prefix.preferred_lifetime") {
				f := strings.Split(line, "\t")
				list, life := strings.Split(f[0], ","), strings.Split(f[1], ",")
				for i, a := range list {
					old = old || a == first.Addr().String() && list[0] == second.Addr().String() && strings.TrimLeft(life[i], "0x") == ""
				}
			}
			if !old {
				t.Errorf("%v was not deprecated in the mesh", first)
			}
			r.checkCounters()
			stage("done")
		})
	}
}

// TestDHCPFlags: what is asked of the server is what the flags of router advertisements
// say, and what the LAN says of resolvers reaches the nodes.
func TestDHCPFlags(t *testing.T) {
	need(t, "kea-dhcp6", "radvd", "tcpdump", "tshark")
	t.Parallel()
	lan, gateway, home := newSegment(t), station(t, 0), station(t, 0)
	lan.plug(gateway, "eth0")
	lan.plug(home, "eth0")
	server := lanPrefix.Addr().Next()
	gateway.AddAddress("eth0", netip.PrefixFrom(server, 64))
	tape := record(t, gateway, "eth0")
	kea(t, gateway, server, delegating(poolA.Addr().String()))
	advertiser := radvd(t, gateway, "AdvManagedFlag on; RDNSS 2001:db8:53::1 {}; DNSSL radvd.example {};")
	r := startLAN(t, home, "--uplink", "ethernet://eth0", "--dhcp-delegation", "off", "--dhcp-sntp", "2001:db8:53::9")
	mesh, endCapture := r.capturing()
	leased := netip.MustParsePrefix("2001:db8:1::100/120")
	var own netip.Addr
	eventually(t, "leased address", 15*time.Second, func() error {
		have := r.status().Uplink.Addresses
		i := slices.IndexFunc(have, leased.Contains)
		if i < 0 {
			return fmt.Errorf("have %v", have)
		}
		own = have[i]
		return nil
	})
	reach(t, gateway, own, 5*time.Second)
	n := r.node("02:00:5e:10:00:00:00:01")
	n.addr = n.address(r.prefix())
	eventually(t, "registration", 15*time.Second, func() error {
		if out, err := r.run("neighbors"); err != nil || !strings.Contains(out, n.addr.String()) {
			return fmt.Errorf("%v %s", err, out)
		}
		return nil
	})
	// No address any more, but configuration.
	advertiser.quit()
	advertiser = radvd(t, gateway, "AdvOtherConfigFlag on; RDNSS 2001:db8:53::1 {}; DNSSL radvd.example {};")
	eventually(t, "address given back", 15*time.Second, func() error {
		if have := r.status().Uplink.Addresses; slices.ContainsFunc(have, leased.Contains) {
			return fmt.Errorf("have %v", have)
		}
		return nil
	})
	tape.sees("Release", "dhcpv6.msgtype == 8")
	tape.sees("Information-request", "dhcpv6.msgtype == 11")
	advertiser.quit()
	endCapture()
	var servers, domains, other bool
	for _, line := range mesh.read("icmpv6.type == 134 and icmpv6.opt.6co.context_prefix", "icmpv6.opt.rdnss", "icmpv6.opt.dnssl", "icmpv6.nd.ra.flag.o") {
		servers = servers || strings.Contains(line, "2001:db8:53::1") && strings.Contains(line, "2001:db8:53::53")
		domains = domains || strings.Contains(line, "radvd.example") && strings.Contains(line, "kea.example")
		other = other || strings.HasSuffix(line, "1") || strings.HasSuffix(line, "True")
	}
	if !servers || !domains || !other {
		t.Errorf("nodes are told of servers: %v, domains: %v, other configuration: %v\n%s", servers, domains, other,
			strings.Join(mesh.read("icmpv6.type == 134", "ipv6.dst", "icmpv6.opt.rdnss", "icmpv6.opt.dnssl", "icmpv6.nd.ra.flag.o"), "\n"))
	}
}
