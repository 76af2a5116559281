package daemon

import (
	"net/netip"
	"sync"

	"border-router/internal/tun"
)

// kernelRoutes brings addresses and routes of a TUN device, and the kernel's address in a
// prefix that we offer on the LAN, into the state that the loop
// wants, from a goroutine of its own: rtnetlink takes its time. What is asked for and taken
// back again before its turn costs nothing, so that the work waiting is bounded by the
// prefixes there are.
type kernelRoutes struct {
	dev *tun.Device
	log func(what string, p netip.Prefix, err error)

	mu     sync.Mutex
	addrs  map[netip.Prefix]bool
	routes map[netip.Prefix]bool
	lan    map[netip.Prefix]bool // addresses on the LAN's interface
	onLAN  func(p netip.Prefix, on bool) error
	wake   chan struct{}
}

func newKernelRoutes(dev *tun.Device, log func(string, netip.Prefix, error)) *kernelRoutes {
	return &kernelRoutes{dev: dev, log: log, addrs: map[netip.Prefix]bool{}, routes: map[netip.Prefix]bool{}, lan: map[netip.Prefix]bool{}, wake: make(chan struct{}, 1)}
}

func (k *kernelRoutes) address(a netip.Addr, on bool) {
	k.set(k.addrs, netip.PrefixFrom(a, a.BitLen()), on)
}

func (k *kernelRoutes) route(p netip.Prefix, on bool) { k.set(k.routes, p, on) }

func (k *kernelRoutes) set(m map[netip.Prefix]bool, p netip.Prefix, on bool) {
	k.mu.Lock()
	m[p] = on
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run works until done; an address that was to be taken from the LAN's interface by then is
// taken.
func (k *kernelRoutes) run(done <-chan struct{}) {
	for {
		select {
		case <-k.wake:
		case <-done:
			// What is on the TUN device goes with it.
			k.mu.Lock()
			clear(k.addrs)
			clear(k.routes)
			k.mu.Unlock()
			for k.step() {
			}
			return
		}
		for k.step() {
		}
	}
}

func (k *kernelRoutes) step() bool {
	k.mu.Lock()
	take := func(m map[netip.Prefix]bool) (p netip.Prefix, on, ok bool) {
		for p, on := range m {
			delete(m, p)
			return p, on, true
		}
		return
	}
	what, p, on, ok := "address", netip.Prefix{}, false, false
	if p, on, ok = take(k.addrs); !ok {
		what = "route"
		p, on, ok = take(k.routes)
	}
	if !ok {
		what = "address on the LAN"
		p, on, ok = take(k.lan)
	}
	k.mu.Unlock()
	if !ok {
		return false
	}
	var err error
	switch {
	case what == "address on the LAN":
		err = k.onLAN(p, on)
	case what == "address" && on:
		err = k.dev.AddAddress(p)
	case what == "address":
		err = k.dev.RemoveAddress(p)
	case on:
		err = k.dev.AddRoute(p)
	default:
		err = k.dev.RemoveRoute(p)
	}
	if err != nil {
		k.log(what, p, err)
	}
	return true
}
