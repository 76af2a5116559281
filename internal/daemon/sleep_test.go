package daemon

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/internal/api"
	"border-router/internal/config"
	"border-router/internal/node"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/zep"
)

// until polls f, which a real process or radio changes.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// TestSleepShown: a node that polls is listed as one that sleeps, with its interval; one that
// is configured as such with what waits for it.
func TestSleepShown(t *testing.T) {
	const polls, listens = 0x0200_5e10_0000_0051, 0x0200_5e10_0000_0052
	c := testConfig(t, "zep://127.0.0.1:0")
	d, _ := run(t, c)
	n, err := node.New(node.Config{Radio: d.url(0), EUI64: polls, PollInterval: 100 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	awake := join(t, d.url(0), listens)
	find := func(addr netip.Addr) *api.Neighbor {
		list, err := d.Neighbors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if list[i].Addr == addr {
				return &list[i]
			}
		}
		return nil
	}
	until(t, "the sleep of the node is known", func() bool {
		if !n.State().Joined() {
			return false
		}
		x := find(n.State().Addrs[0])
		return x != nil && x.Sleep != nil && !x.Sleep.Configured && x.Sleep.Interval > 0.02 && x.Sleep.LastPoll != nil
	})
	if x := find(awake); x == nil || x.Sleep != nil {
		t.Fatalf("%+v", x)
	}
	m := d.meshes[0]
	var peer config.SleepPeer
	if err := peer.UnmarshalText([]byte(ipv6.EUI64(listens).String() + "=always")); err != nil {
		t.Fatal(err)
	}
	if err := d.do(ctx, func(now time.Time) { m.setSleep(now, []config.SleepPeer{peer}) }); err != nil {
		t.Fatal(err)
	}
	_ = d.Ping(t.Context(), api.PingRequest{Addr: awake, Count: 1, Timeout: 0.05}, func(api.PingReply) error { return nil })
	if x := find(awake); x == nil || x.Sleep == nil || !x.Sleep.Configured || x.Sleep.Waiting != 1 || x.Sleep.LastPoll != nil {
		t.Fatalf("%+v", x)
	}
	st, err := d.Status(t.Context())
	if err != nil || st.Ports[0].Lowpan.Counters["sleepers"] != 2 || st.Ports[0].Lowpan.Counters["data_requests"] == 0 || st.State != "running" {
		t.Errorf("%v, %v", st.Ports[0].Lowpan.Counters, err)
	}
}

// TestSleepConfigured: what the configuration says of devices holds from the start.
func TestSleepConfigured(t *testing.T) {
	c := testConfig(t, "zep://127.0.0.1:0")
	c.Lowpan.Sleep = []config.SleepPeer{{Addr: ipv6.EUI64(2), Always: true}, {Addr: ipv6.EUI64(3)}}
	d, _ := run(t, c)
	if err := d.do(t.Context(), func(time.Time) {
		if s, ok := d.meshes[0].iface.Sleeping(ipv6.EUI64(2)); !ok || s.Mode != lowpan.SleepAlways {
			t.Errorf("%+v, %v", s, ok)
		}
		if _, ok := d.meshes[0].iface.Sleeping(ipv6.EUI64(3)); ok {
			t.Error("sleeps, and is never to")
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestSameNode: a registration tells of the two addresses of a node, by the frame that
// carried it or by its owner.
func TestSameNode(t *testing.T) {
	const ext = 0x0200_5e10_0000_0061
	owner, _ := nd.ROVRFrom([]byte{0x02, 0, 0x5e, 0x10, 0, 0, 0, 0x61})
	d, _ := run(t, testConfig(t, "zep://127.0.0.1:0"))
	m := d.meshes[0]
	for _, row := range []struct {
		name          string
		from, ll, ask ipv6.LinkAddr
	}{
		{"sent from the short one", ipv6.Short(7), ipv6.EUI64(ext), ipv6.Short(7)},
		{"owner", ipv6.LinkAddr{}, ipv6.Short(8), ipv6.EUI64(ext)},
		{"owner, sent from the short one too", ipv6.Short(9), ipv6.Short(9), ipv6.EUI64(ext)},
	} {
		if err := d.do(t.Context(), func(now time.Time) {
			m.from = row.from
			m.sameNode(now, row.ll, owner)
			m.from = ipv6.LinkAddr{}
			m.iface.SetSleep(now, row.ask, lowpan.SleepAlways)
			if _, ok := m.iface.Sleeping(row.ll); !ok {
				t.Errorf("%s: not known to be one node", row.name)
			}
			m.iface.SetSleep(now, row.ask, lowpan.SleepLearnt)
			if _, ok := m.iface.Sleeping(row.ll); ok {
				t.Errorf("%s: still sleeps", row.name)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPANConflict: the beacon of another coordinator of our PAN is shown, with its address
// and since when.
func TestPANConflict(t *testing.T) {
	const other = 0x0200_5e10_0000_0071
	d, _ := run(t, testConfig(t, "zep://127.0.0.1:0"))
	st, err := d.Status(t.Context())
	if err != nil || st.Ports[0].Radio.PANConflict != nil {
		t.Fatalf("%+v, %v", st.Ports[0].Radio, err)
	}
	c, err := zep.ParseURL(d.url(0))
	if err != nil {
		t.Fatal(err)
	}
	c.EUI64 = other
	r, err := zep.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rival := ieee802154.Frame{
		Type: ieee802154.TypeBeacon, Seq: 1, HasSrcPAN: true, SrcPAN: d.meshes[0].pan, Src: ieee802154.Extended(other),
		Payload: bytes.Clone([]byte{0xff, 0x4f, 0, 0}), // beaconless, PAN coordinator
	}
	b, err := rival.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Transmit([]ieee802154.TxFrame{{Data: b}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the conflict is shown", func() bool {
		st, err = d.Status(t.Context())
		return err == nil && st.Ports[0].Radio.PANConflict != nil
	})
	x := st.Ports[0].Radio.PANConflict
	if x.LinkAddr != ieee802154.Extended(other).String() || x.Told || time.Since(x.Since) > time.Minute || st.Ports[0].Lowpan.Counters["pan_conflicts"] != 1 {
		t.Errorf("%+v, %v", x, st.Ports[0].Lowpan.Counters)
	}
}
