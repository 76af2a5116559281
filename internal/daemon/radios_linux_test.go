package daemon

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/internal/clocktest"
	"border-router/internal/config"
	"border-router/internal/node"
)

// TestThreeRadios has a mesh behind each of a spinel dongle, a slip-radio and ZEP, each with
// a PAN and channel of its own; nodes reach each other through the router. Started again
// with the radios in another order, and without one of them, each mesh has the subnet that
// it had.
func TestThreeRadios(t *testing.T) {
	patient(t)
	spinel, slip := newRig(t, "spinel", 0x02005e10000000d0, 0x0023), newRig(t, "slip", 0x02005e10000000d1, 0xabcd)
	spinel.channel, slip.channel = 15, 20
	for _, g := range []*rig{spinel, slip} {
		if err := g.start(); err != nil {
			t.Skipf("no pseudo-terminal: %v", err)
		}
	}
	hub := fmt.Sprintf("zep://%s?channel=26&pan=0x0042", freePort(t))
	urls := map[string]config.Radio{"spinel0": spinel.url(), "zep1": config.Radio(hub), "slip2": slip.url()}
	air := map[string]string{"spinel0": spinel.nodes(), "zep1": hub + "&mode=client", "slip2": slip.nodes()}

	c := testConfig(t)
	c.StateDir = t.TempDir()
	prefixes := make(map[string]netip.Prefix)
	addrs := make(map[string]netip.Addr)
	nodes := make(map[string]*node.Node)
	for i, names := range [][]string{{"spinel0", "zep1", "slip2"}, {"slip2", "spinel0"}, {"zep1", "slip2", "spinel0"}} {
		c.Radios = nil
		for _, name := range names {
			c.Radios = append(c.Radios, urls[name])
		}
		d, stop := run(t, c)
		routes, err := d.Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		status, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for k, name := range names {
			p := status.Ports[k]
			if i == 0 {
				prefixes[name] = p.Prefix
				nodes[name], addrs[name] = joinNode(t, air[name], 0x02005e10000000e0+uint64(k))
			}
			if p.Name != name || p.Prefix != prefixes[name] || status.Prefixes[k].Prefix != p.Prefix || !p.Prefix.Contains(addrs[name]) {
				t.Errorf("start %d: port %s with %s, want %s with %s", i, p.Name, p.Prefix, name, prefixes[name])
			}
			routed := false
			for _, r := range routes {
				routed = routed || r.Prefix == p.Prefix && r.Port == name
			}
			if !routed {
				t.Errorf("start %d: no route to %s by %s: %+v", i, p.Prefix, name, routes)
			}
		}
		want := map[string]string{"spinel0": "15 0x0023", "zep1": "26 0x0042", "slip2": "20 0xabcd"}
		for _, p := range status.Ports {
			if r := p.Radio; r != nil && fmt.Sprintf("%d %s", r.Channel, r.PAN) != want[p.Name] {
				t.Errorf("%s on channel %d, PAN %s", p.Name, r.Channel, r.PAN)
			}
		}
		for _, name := range names { // at once: the registrations were kept
			pingAll(t, d, addrs[name], 1000)
		}
		for _, from := range names {
			for _, to := range names {
				if from != to {
					clocktest.Undisturbed(t, func() string {
						if err := exchange(nodes[from], nodes[to], addrs[to]); err != nil {
							return fmt.Sprintf("start %d: %s to %s: %v", i, from, to, err)
						}
						return ""
					})
				}
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// exchange sends 900 bytes from one node to another and waits for them to come back.
func exchange(from, to *node.Node, addr netip.Addr) error {
	there, err := to.Stack().ListenPacket(netip.AddrPortFrom(addr, 7777))
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := from.Stack().DialUDP(netip.AddrPort{}, netip.AddrPortFrom(addr, 7777))
	if err != nil {
		return err
	}
	defer here.Close()
	deadline := time.Now().Add(3 * time.Second)
	there.SetDeadline(deadline)
	here.SetDeadline(deadline)
	sent, got := bytes.Repeat([]byte("0123456789"), 90), make([]byte, 1500)
	if _, err := here.Write(sent); err != nil {
		return err
	}
	n, peer, err := there.ReadFrom(got)
	if err != nil {
		return fmt.Errorf("there: %w", err)
	}
	if _, err := there.WriteTo(got[:n], peer); err != nil {
		return err
	}
	if n, err = here.Read(got); err != nil {
		return fmt.Errorf("and back: %w", err)
	}
	if !bytes.Equal(got[:n], sent) {
		return fmt.Errorf("%d bytes came back", n)
	}
	return nil
}
