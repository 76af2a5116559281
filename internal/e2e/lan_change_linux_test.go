package e2e_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// rdisc asks for router advertisements on eth0 and returns what rdisc6 says of the one from
// a router, by its link-local address where that is valid.
func rdisc(t *testing.T, ns *netnstest.NS, from string) string {
	t.Helper()
	said := ""
	eventually(t, "an advertisement that rdisc6 asks for", 10*time.Second, func() error {
		out, err := ns.Exec("rdisc6", "-m", "-w", "1500", "eth0")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		// Each advertisement ends with the line " from ADDRESS".
		begin := 0
		lines := strings.Split(out, "\n")
		for i, l := range lines {
			if a, ok := strings.CutPrefix(l, " from "); ok {
				if from == "" || strings.TrimSpace(a) == from {
					said = strings.Join(lines[begin:i+1], "\n")
					return nil
				}
				begin = i + 1
			}
		}
		// Another router may have been heard, and ours not yet: it keeps 3 s between two.
		return fmt.Errorf("none from %q in\n%s", from, out)
	})
	return said
}

func (r *lanRouter) linkLocal() string {
	r.t.Helper()
	for _, p := range r.status().Ports {
		if p.Name != "eth0" {
			continue
		}
		for _, a := range p.Addresses {
			if a.IsLinkLocalUnicast() {
				return a.String()
			}
		}
	}
	r.t.Fatal("the router has no link-local address on the LAN")
	return ""
}

// TestLANChanges has another router come and go, the cable pulled, and the interface
// replaced and renamed, one after the other, under one router.
func TestLANChanges(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark", "radvd", "rdisc6", "ndisc6")
	t.Parallel()
	lan, host, gateway, home := newSegment(t), station(t, 64), station(t, 0), station(t, 0)
	lan.plug(host, "eth0")
	lan.plug(gateway, "eth0")
	port := lan.plug(home, "eth0")
	gateway.AddAddress("eth0", netip.PrefixFrom(lanPrefix.Addr().Next(), 64))
	tape := record(t, host, "eth0")
	r := startLAN(t, home, "--uplink", "ethernet://eth0")
	n := r.node("02:00:5e:10:00:00:00:01")
	mesh := r.prefix()
	n.addr = n.address(mesh)
	reach(t, host, n.addr, 15*time.Second)
	ula := waitAddr(t, host, anyULA, time.Second, "usable", preferred)
	if ula.Preferred > 1800 || ula.Preferred < 1700 || ula.Valid > 1800 {
		t.Errorf("the host has %+v, want it preferred for half an hour", ula)
	}
	offered := netip.PrefixFrom(ula.Local, 64).Masked()

	// What rdisc6 sees is what was meant.
	us := r.linkLocal()
	said := rdisc(t, host, us)
	for _, want := range []string{
		"Router lifetime           :            0 (0x00000000) seconds",
		" Prefix                   : " + offered.String(),
		"  On-link                 :          Yes",
		"  Autonomous address conf.:          Yes",
		"  Valid time              :         1800 (0x00000708) seconds",
		" Route                    : " + mesh.String(),
		"  Route lifetime          :         1800 (0x00000708) seconds",
		" Source link-layer address: ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("rdisc6 does not say %q:\n%s", want, said)
		}
	}
	if out, err := host.Exec("ndisc6", n.addr.String(), "eth0"); err == nil {
		t.Errorf("the router answers on the LAN for a node that is not of the LAN's prefix:\n%s", out)
	}

	// Another router advertises a prefix: ours is withdrawn, and we are its host.
	begin := time.Now()
	other := radvd(t, gateway, "")
	waitAddr(t, host, lanPrefix, 10*time.Second, "usable", preferred)
	waitAddr(t, host, offered, 10*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
	eventually(t, "an address of the other router's prefix, and it as default router", 10*time.Second, func() error {
		s := r.status()
		has := slices.ContainsFunc(s.Uplink.Addresses, lanPrefix.Contains)
		out, err := r.run("routes")
		if !has || err != nil || !strings.Contains(out, "::/0 ") {
			return fmt.Errorf("have %v %v\n%s", s.Uplink.Addresses, err, out)
		}
		return nil
	})
	t.Logf("the LAN has gone over to the other router %.1f s after its start", time.Since(begin).Seconds())
	reach(t, host, n.addr, 5*time.Second)
	if out := rdisc(t, host, us); !strings.Contains(out, "Pref. time              :            0 (0x00000000) seconds") {
		t.Errorf("our prefix is still offered:\n%s", out)
	}
	// A node reaches beyond the other router's prefix by it: the gateway answers.
	if out, err := r.run("ping", "-c", "2", gatewayAddr.String()); err != nil {
		t.Errorf("the gateway is not reached from the router: %v\n%s", err, out)
	}

	// It says goodbye: its prefix is deprecated, ours is back.
	other.end(5 * time.Second)
	waitAddr(t, host, lanPrefix, 5*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
	waitAddr(t, host, offered, 15*time.Second, "usable again", preferred)
	reach(t, host, n.addr, 5*time.Second)

	// The cable is pulled for a moment, and for longer.
	for _, away := range []time.Duration{200 * time.Millisecond, 3 * time.Second} {
		lan.ns.MustExec("ip", "link", "set", port, "down")
		eventually(t, "the router notices", 3*time.Second, func() error {
			r.alive()
			if s := r.lanState(); s != "down" {
				return fmt.Errorf("state %q", s)
			}
			return nil
		})
		time.Sleep(away)
		lan.ns.MustExec("ip", "link", "set", port, "up")
		took := reach(t, host, n.addr, 10*time.Second)
		t.Logf("reached %.1f s after the cable was back", took.Seconds())
		if took > 5*time.Second {
			t.Errorf("reached only %v after the cable was back", took)
		}
	}

	// The interface is renamed: it is the same one.
	home.MustExec("ip", "link", "set", "eth0", "down")
	home.MustExec("ip", "link", "set", "eth0", "name", "lan7")
	home.MustExec("ip", "link", "set", "lan7", "up")
	took := reach(t, host, n.addr, 10*time.Second)
	t.Logf("reached %.1f s after the interface was renamed", took.Seconds())

	// It is deleted, and another one has the name that was asked for.
	home.MustExec("ip", "link", "del", "lan7")
	eventually(t, "the router notices", 3*time.Second, func() error {
		r.alive()
		if s := r.lanState(); s != "down" {
			return fmt.Errorf("state %q", s)
		}
		return nil
	})
	lan.plug(home, "eth0")
	took = reach(t, host, n.addr, 15*time.Second)
	t.Logf("reached %.1f s after there was another interface", took.Seconds())
	if took > 5*time.Second {
		t.Errorf("reached only %v after there was another interface", took)
	}
	if got := r.linkLocal(); got != us {
		t.Errorf("its address is %s, was %s", got, us)
	}
	r.checkCounters()
	r.p.end(time.Second)

	// Advertisements in a row are never closer than RFC 4861 allows, 3 s (section 10), but
	// for those after the interface was away.
	tape.sees("router advertisement", "icmpv6.type == 134")
}

var gatewayAddr = lanPrefix.Addr().Next()

// lanState is the state of the LAN in status.
func (r *lanRouter) lanState() string {
	r.t.Helper()
	s := r.status()
	if s.LAN == nil {
		r.t.Fatal("status says nothing of the LAN")
	}
	return s.LAN.State
}

// TestLANRestart: after a restart with the state kept the router has the MAC address, the
// addresses and the prefixes that it had; what it has announced and does not have any more
// is deprecated, though it could not say so when it was killed (RFC 9096).
func TestLANRestart(t *testing.T) {
	need(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	lan, host, home := newSegment(t), station(t, 64), station(t, 0)
	lan.plug(host, "eth0")
	lan.plug(home, "eth0")
	record(t, host, "eth0")
	r := startLAN(t, home, "--uplink", "ethernet://eth0")
	n := r.node("02:00:5e:10:00:00:00:01")
	mesh := r.prefix()
	n.addr = n.address(mesh)
	reach(t, host, n.addr, 15*time.Second)
	ula := waitAddr(t, host, anyULA, time.Second, "usable", preferred)
	offered := netip.PrefixFrom(ula.Local, 64).Masked()
	identity := func() (list []string) {
		t.Helper()
		eventually(t, "an address in the prefix that is offered", 10*time.Second, func() error {
			list = nil
			for _, p := range r.status().Ports {
				if p.Name != "eth0" {
					continue
				}
				list = append(list, p.LinkAddr)
				for _, a := range p.Addresses {
					list = append(list, a.String())
				}
			}
			if len(list) < 3 {
				return fmt.Errorf("have %v", list)
			}
			return nil
		})
		return list
	}
	was := identity()

	for _, how := range []string{"ended", "killed"} {
		if how == "ended" {
			r.p.end(time.Second)
			waitAddr(t, host, offered, 2*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
		} else {
			r.p.cmd.Process.Kill()
			<-r.p.done
		}
		r.start()
		reach(t, host, n.addr, 10*time.Second)
		t.Logf("%s: reached %.1f s after the start", how, r.begin.wall().Seconds())
		waitAddr(t, host, offered, 10*time.Second, "usable", preferred)
		if is := identity(); !slices.Equal(is, was) {
			t.Errorf("%s: it was %v, and is %v", how, was, is)
		}
		if p := r.prefix(); p != mesh {
			t.Errorf("%s: the mesh has %v, had %v", how, p, mesh)
		}
	}

	// Killed again, and started with another prefix for the mesh and none to offer.
	r.p.cmd.Process.Kill()
	<-r.p.done
	r.args = append(r.args, "--prefix", "2001:db8:77::/64", "--lan-offer-prefix=false")
	r.start()
	eventually(t, "the route to the old prefix is withdrawn", 10*time.Second, func() error {
		if out := host.MustExec("ip", "-6", "route", "show", mesh.String()); out != "" {
			return fmt.Errorf("there is %s", out)
		}
		if out := host.MustExec("ip", "-6", "route", "show", "2001:db8:77::/64"); out == "" {
			return fmt.Errorf("there is none to the new one")
		}
		return nil
	})
	waitAddr(t, host, offered, 10*time.Second, "deprecated", func(a kernelAddr) bool { return a.Deprecated })
	r.p.end(time.Second)
}
