package e2e_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/internal/node"
)

// TestMulticastKernel: a program on the router's machine that listens to a group on the TUN
// hears the nodes, as long as it listens, and what is said on the LAN not twice.
func TestMulticastKernel(t *testing.T) {
	need(t, "ip")
	t.Parallel()
	lan, host, home := newSegment(t), station(t, 64), routing(t)
	lan.plug(host, "eth0")
	lan.plug(home, "eth0")
	r := startLAN(t, home, "--lan", "eth0")
	gamma := inside(t, home, node.Config{Name: "gamma", EUI64: 0x02005e1000000003})
	node, program := talkNode(t, gamma), talkOn(t, home, "lowpan0")

	group := netip.MustParseAddr("ff05::77")
	node.say(group.String(), "before")
	if got := program.heard(time.Second); len(got) > 0 {
		t.Errorf("not listening, the program hears %v", got)
	}
	program.join(group.String())
	sayUntil(t, "from the mesh", node, group.String(), program)
	eventually(t, "group in the status", 5*time.Second, func() error {
		var s struct {
			Uplink struct{ Groups []netip.Addr }
		}
		if err := r.json(&s, "status"); err != nil || fmt.Sprint(s.Uplink.Groups) != fmt.Sprint([]netip.Addr{group}) {
			return fmt.Errorf("%v, %v", s.Uplink.Groups, err)
		}
		return nil
	})

	// The program listens on the LAN, too, and hears that there.
	waitAddr(t, host, anyULA, 15*time.Second, "preferred", preferred)
	there := talk(t, host)
	if err := program.on("eth0", group, true); err != nil {
		t.Fatal(err)
	}
	sayUntil(t, "from the LAN", there, group.String(), program)

	for _, link := range []string{"lowpan0", "eth0"} {
		if err := program.on(link, group, false); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the group has ended", 10*time.Second, func() error {
		program.heard(0)
		node.say(group.String(), "after")
		if got := program.heard(500 * time.Millisecond); len(got) > 0 {
			return fmt.Errorf("heard %v", got)
		}
		return nil
	})
	r.checkCounters()
}
