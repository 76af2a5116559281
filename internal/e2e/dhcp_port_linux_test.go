package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestDHCPPort: beside the kernel another client may have the port. The router says so, and
// asks for a prefix as soon as the port is free, whatever the link does.
func TestDHCPPort(t *testing.T) {
	need(t, "kea-dhcp6", "radvd")
	t.Parallel()
	lan, gateway, home := newSegment(t), station(t, 0), routing(t)
	lan.plug(gateway, "eth0")
	lan.plug(home, "eth0")
	server := lanPrefix.Addr().Next()
	gateway.AddAddress("eth0", netip.PrefixFrom(server, 64))
	radvd(t, gateway, "")
	kea(t, gateway, server, delegating(poolA.Addr().String()))

	var other *net.UDPConn
	home.Do(func() {
		var err error
		if other, err = net.ListenUDP("udp6", &net.UDPAddr{Port: 546}); err != nil {
			t.Fatal(err)
		}
	})
	defer other.Close()
	args := []string{"--lan", "eth0", "--dhcp-delegation", "on"}
	r := startLAN(t, home, args...)
	said := func(what string) {
		t.Helper()
		eventually(t, "status says "+what, 10*time.Second, func() error {
			if out, err := r.run("status"); err != nil || !strings.Contains(out, what) {
				return fmt.Errorf("%v %s", err, out)
			}
			return nil
		})
	}
	said("waiting: another program has the DHCPv6 client port (UDP 546) of eth0")
	if out, _ := home.Exec(r.bin, append([]string{"doctor", "--socket", r.socket, "--state-dir", "none"}, args...)...); !strings.Contains(out, "UDP port 546 is in use by") {
		t.Errorf("doctor:\n%s", out)
	}

	other.Close()
	freed := startWatch()
	r.waitPrefix(poolA, "delegated", 30*time.Second)
	if d := freed.took(); d > 20*time.Second {
		t.Errorf("asked %v after the port was free", d)
	}
	said("bound, prefix")

	// The kernel's link-local address becomes another: the client goes over to that one.
	old := strings.Fields(home.MustExec("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"))[3]
	home.MustExec("ip", "-6", "addr", "add", "fe80::77/64", "dev", "eth0", "nodad")
	home.MustExec("ip", "-6", "addr", "del", old, "dev", "eth0")
	eventually(t, "socket at the other address", 10*time.Second, func() error {
		if out := home.MustExec("ss", "-Huln", "sport", "=", "546"); !strings.Contains(out, "fe80::77") || strings.Contains(out, strings.TrimSuffix(old, "/64")) {
			return fmt.Errorf("have %s", out)
		}
		return nil
	})
	said("bound, prefix")
	r.p.end(2 * time.Second)
}
