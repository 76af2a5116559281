package daemon

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"border-router/internal/state"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/zep"
)

// TestKeptPeers gathers changes, and writes them by itself and when it is closed.
func TestKeptPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := state.OpenMemory()
		peer := func(i int) zep.KnownPeer {
			return zep.KnownPeer{Addr: netip.AddrPortFrom(netip.IPv6Loopback(), uint16(i)), Channel: 26, PAN: 0x23}
		}
		kept := func() int { return len(newKeptPeers(store, "zep0").list()) }
		k := newKeptPeers(store, "zep0")
		k.changed(peer(0), false)
		synctest.Wait()
		if n := kept(); n != 1 {
			t.Errorf("%d written at once, want the first", n)
		}
		for i := range 100 {
			k.changed(peer(i), false)
		}
		synctest.Wait()
		if n := kept(); n != 1 {
			t.Errorf("%d written soon after, want them gathered", n)
		}
		time.Sleep(peersDelay)
		synctest.Wait()
		if n := kept(); n != 100 {
			t.Errorf("%d written, want 100", n)
		}
		k.changed(peer(0), true)
		k.close()
		if n := kept(); n != 99 {
			t.Errorf("%d written, want 99", n)
		}
		k.changed(peer(1), true)
		if k.close(); k.timer != nil {
			t.Error("a timer runs after the end")
		}
	})
}

// TestRegistrationsComeAndGo has more nodes come and go than can be remembered: those that
// are here are known to have our contexts.
func TestRegistrationsComeAndGo(t *testing.T) {
	c := testConfig(t, "zep://[::1]:0?pace=off")
	c.Lowpan.Peers = 16
	d, err := New(t.Context(), c, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, now := d.meshes[0], time.Now()
	addr := func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd00::%x", n)) }
	for n := 1; n <= 100; n++ {
		ll := ipv6.EUI64(uint64(n))
		d.registered(now, m.link, addr(2*n), ll)
		d.registered(now, m.link, addr(2*n+1), ll)
		d.registered(now, m.link, addr(2*n), ll) // refreshed
		d.unregistered(now, m.link, addr(2*n))
		if got := m.iface.Peer(ll); got != lowpan.RegisteredPeer {
			t.Fatalf("node %d with one address: %+v", n, got)
		}
		d.unregistered(now, m.link, addr(2*n+1))
		if got := m.iface.Peer(ll); got != (lowpan.Peer{}) {
			t.Fatalf("node %d without address: %+v", n, got)
		}
	}
	d.registered(now, m.link, addr(1), ipv6.EUI64(1))
	d.registered(now, m.link, addr(1), ipv6.EUI64(2)) // moved
	if m.iface.Peer(ipv6.EUI64(1)).Contexts || !m.iface.Peer(ipv6.EUI64(2)).Contexts {
		t.Error("an address that moved")
	}
	if len(m.owner) != 1 || len(m.owned) != 1 {
		t.Errorf("%d addresses of %d nodes", len(m.owner), len(m.owned))
	}
}
