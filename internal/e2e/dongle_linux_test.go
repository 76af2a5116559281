package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"border-router/internal/netnstest"
)

// TestDongle is the main job over an emulated USB dongle on a pseudo-terminal at the pace of
// 460800 bit/s: two devices on the medium beyond it, reached from the router's host and from
// one behind it; with frames that are secured and without; and again after the dongle was
// killed.
func TestDongle(t *testing.T) {
	need(t, "ping", "coap-client-notls", "tshark")
	bin := build(t)
	const key = "00112233445566778899aabbccddeeff"
	for _, c := range []struct{ protocol, key string }{
		{"spinel", ""},
		{"spinel", key},
		{"slip", ""},
		{"slip", key},
		{"serialradio", ""},
	} {
		name := c.protocol
		if c.key != "" {
			name += " secured"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overDongle(t, bin, c.protocol, c.key)
		})
	}
}

func overDongle(t *testing.T, bin, protocol, key string) {
	home, lan := netnstest.New(t), netnstest.New(t)
	home.LinkTo(lan, "eth0", "eth0")
	home.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::1/64"))
	lan.AddAddress("eth0", netip.MustParsePrefix("2001:db8:1::2/64"))
	home.Sysctl("net.ipv6.conf.all.forwarding", "1")

	dir := t.TempDir()
	port := filepath.Join(dir, "ttyACM0")
	b := &bench{t: t, bin: bin, ns: home, socket: filepath.Join(dir, "sock")}
	secured := func(args ...string) []string {
		if key != "" {
			args = append(args, "--key", key)
		}
		return args
	}
	// The first device has the medium, the second one and the dongle come to it. Frames
	// may wait for an acknowledgment as long as a busy machine needs.
	const medium = "zep://127.0.0.1:17754?pan=0x0023&channel=26&ackwait=100ms&mode="
	nodes := []*device{{eui: "02:00:5e:10:00:00:00:01"}, {eui: "02:00:5e:10:00:00:00:02"}}
	join := func(i int) {
		n := nodes[i]
		n.process = start(t, home, bin, secured("node", "--radio", medium+[]string{"hub", "client"}[i], "--eui64", n.eui, "--state-dir", filepath.Join(dir, n.eui))...)
	}
	join(0)
	plug := func() *process {
		t.Helper()
		p := start(t, home, bin, "dongle", "--protocol", protocol, "--baud", "460800", "--eui64", "02:00:5e:10:00:00:00:d0",
			"--zep", medium+"client", "--link", port)
		eventually(t, "port of the dongle", 5*time.Second, func() error {
			_, err := os.Stat(port) // through the link: one of an earlier dongle leads nowhere
			return err
		})
		return p
	}
	dongle := plug()
	scheme := protocol
	if protocol == "serialradio" {
		scheme = "slip"
	}
	rt := start(t, home, bin, secured("run", "--radio", fmt.Sprintf("%s://%s?baud=460800&channel=26&pan=0x0023", scheme, port),
		"--state-dir", filepath.Join(dir, "state"), "--socket", b.socket)...)
	var s status
	eventually(t, "router up", 10*time.Second, func() error { return b.json(&s, "status") })
	prefix := s.Prefixes[0].Prefix
	lan.AddRoute(prefix, netip.MustParseAddr("2001:db8:1::1"), "eth0")
	captured := filepath.Join(dir, "router.pcapng")
	tap := b.capture(captured)
	join(1)
	for _, n := range nodes {
		n.addr = n.address(prefix)
	}
	registered := func() error {
		var list []neighbor
		if err := b.json(&list, "neighbors"); err != nil {
			return err
		}
		for _, n := range nodes {
			found := false
			for _, have := range list {
				found = found || have.Addr == n.addr && have.Registered && have.Lifetime > 0
			}
			if !found {
				return fmt.Errorf("%s is not among %+v", n.addr, list)
			}
		}
		return nil
	}
	eventually(t, "registrations", 30*time.Second, registered)
	for _, n := range nodes {
		for _, from := range []*netnstest.NS{home, lan} {
			pings(t, from, n.addr, 1000, 10)
		}
	}
	var all sync.WaitGroup
	all.Go(func() { exchange(t, home, nodes[0].addr) })
	all.Go(func() { exchange(t, lan, nodes[1].addr) })
	all.Wait()

	// Killed in the middle of something, and plugged in again.
	type radio struct {
		State   string
		Outages int
	}
	state := func() (r radio) {
		t.Helper()
		var s struct{ Ports []struct{ Radio *radio } }
		if err := b.json(&s, "status"); err != nil {
			t.Fatal(err)
		}
		return *s.Ports[0].Radio
	}
	outages := state().Outages // of a dongle that had to wait too long for the machine
	stream := start(t, lan, "ping", "-6", "-i", "0.1", "-s", "1000", nodes[0].addr.String())
	eventually(t, "pings", 5*time.Second, func() error {
		if len(stream.output()) < 500 {
			return fmt.Errorf("%q", stream.output())
		}
		return nil
	})
	dongle.signal(syscall.SIGKILL)
	<-dongle.done
	os.Remove(port)
	eventually(t, "loss of the dongle in the status", 5*time.Second, func() error {
		if r := state(); r.State != "down" || r.Outages != outages+1 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	stream.stop(syscall.SIGINT)
	plug()
	watch := startWatch()
	for _, n := range nodes {
		reach(t, lan, n.addr, 10*time.Second)
	}
	took := watch.took()
	t.Logf("all reachable %v after the dongle was back", watch.wall().Round(time.Millisecond))
	if took > 5*time.Second { // three routers share this machine, and what waited goes first
		t.Errorf("reachable after %v", took)
	}
	if err := registered(); err != nil {
		t.Error(err)
	}
	if r := state(); r.State != "up" || r.Outages != outages+1 {
		t.Errorf("%+v", r)
	}
	b.checkCounters()
	tap.end(2 * time.Second)
	for _, n := range nodes {
		n.end(time.Second)
	}
	rt.end(time.Second)

	bad := malformed + " or wpan.fcs_ok == 0 or udp.checksum.status == 0 or icmpv6.checksum.status == 0"
	var options []string
	if key != "" {
		k, _ := json.Marshal(key)
		options = []string{"-o", fmt.Sprintf(`uat:ieee802154_keys:%s,"1","No hash"`, k)}
		// What tshark cannot decrypt with the key stays a frame of 802.15.4 alone.
		bad += " or (wpan.security == 1 and not 6lowpan)"
	}
	checkCapture(t, captured, "6lowpan.context0:"+prefix.String(), bad, options...)
}
