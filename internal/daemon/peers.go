package daemon

import (
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	"border-router/internal/state"
	"border-router/zep"
)

// keptPeers keeps the UDP addresses of a hub's peers over a restart: a node that does not
// speak by itself could not be reached before it does.
type keptPeers struct {
	store *state.Store
	key   string

	mu     sync.Mutex
	peers  map[netip.AddrPort]zep.KnownPeer
	timer  *time.Timer // of the next write, nil: nothing has changed
	last   time.Time   // of the last write
	closed bool
}

// peersDelay is the least time from one write of the list to the next: the radio, which
// tells of each change, has its lock held, and whoever makes up addresses can cause many.
// The first change after a quiet time is written at once.
const peersDelay = 200 * time.Millisecond

func newKeptPeers(store *state.Store, port string) *keptPeers {
	k := &keptPeers{store: store, key: "zep/peers/" + port, peers: make(map[netip.AddrPort]zep.KnownPeer)}
	var list []zep.KnownPeer
	if b, ok := store.Get(k.key); ok && json.Unmarshal(b, &list) == nil {
		for _, p := range list {
			k.peers[p.Addr] = p
		}
	}
	return k
}

func (k *keptPeers) list() []zep.KnownPeer {
	list := make([]zep.KnownPeer, 0, len(k.peers))
	for _, p := range k.peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b zep.KnownPeer) int { return a.Addr.Compare(b.Addr) })
	return list
}

// changed is the radio's [zep.Config] OnPeer. The list is written later.
func (k *keptPeers) changed(p zep.KnownPeer, gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if gone {
		delete(k.peers, p.Addr)
	} else {
		k.peers[p.Addr] = p
	}
	if k.timer == nil && !k.closed {
		k.timer = time.AfterFunc(peersDelay-time.Since(k.last), k.write)
	}
}

// write gives the list to the store where it has changed.
func (k *keptPeers) write() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return
	}
	k.timer.Stop()
	k.timer, k.last = nil, time.Now()
	if b, err := json.Marshal(k.list()); err == nil {
		k.store.Put(k.key, b)
	}
}

// close writes what has not been written yet. The radio must be closed.
func (k *keptPeers) close() {
	k.write()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
}
