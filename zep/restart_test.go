package zep

import (
	"net/netip"
	"sync"
	"testing"

	"border-router/ieee802154"
)

// TestKnownPeers ends a hub and opens it again with what it told of its peers: a client
// that has not said a word since is given frames and acknowledges them.
func TestKnownPeers(t *testing.T) {
	var mu sync.Mutex
	known := make(map[netip.AddrPort]KnownPeer)
	remember := func(c *Config) {
		c.OnPeer = func(p KnownPeer, gone bool) {
			mu.Lock()
			defer mu.Unlock()
			if delete(known, p.Addr); !gone {
				known[p.Addr] = p
			}
		}
	}
	hub := openHub(t, remember)
	at := hub.LocalAddrs()
	client := openClient(t, hub, nodeA, nil)
	batch := []ieee802154.TxFrame{{Data: dataFrame(1, DefaultPAN, nodeA, routerEUI, "before")}}
	if err := client.Transmit(batch); err != nil || batch[0].Status != ieee802154.TxAcked {
		t.Fatalf("%v, status %v", err, batch[0].Status)
	}
	hub.Close()

	mu.Lock()
	p, ok := known[client.LocalAddrs()[0]]
	mu.Unlock()
	if !ok || p.Channel != DefaultChannel || p.PAN != DefaultPAN || p.Sniffer {
		t.Fatalf("told of %+v, %v", p, ok)
	}
	hub = openHub(t, func(c *Config) { c.Listen, c.Known = at, []KnownPeer{p, p} })
	if n := len(hub.Peers()); n != 1 {
		t.Fatalf("%d peers", n)
	}
	batch[0].Data = dataFrame(7, DefaultPAN, routerEUI, nodeA, "after")
	if err := hub.Transmit(batch); err != nil || batch[0].Status != ieee802154.TxAcked {
		t.Fatalf("%v, status %v", err, batch[0].Status)
	}
	if got := recv(t, client); got != "after" {
		t.Errorf("received %q", got)
	}
}
