package nd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// TestCommit: a node hears that it is registered, or no more, when that is written, and before
// it gives up whatever the disk does; what changes nothing is answered at once.
func TestCommit(t *testing.T) {
	const a, b = 0x0200_0000_0001_0001, 0x0200_0000_0001_0002
	var ticket uint64
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}, Commit: func() uint64 { ticket++; return ticket }})
	register := func(ll uint64, n int, life uint16) {
		t.Helper()
		p := ns(fmt.Sprintf("fd00:1::a:%x", n), "fe80::1", "fe80::1", sllao(ll), aro(Registration{Lifetime: life}, eui(ll)...))
		if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(ll)}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want ...Status) {
		t.Helper()
		var got []Status
		for _, f := range w.sent {
			if m, err := CheckNeighborAdvertisement(f.p); err == nil {
				o, _ := m.Options.Find(OptionRegistration)
				r, _ := ParseRegistration(o)
				got = append(got, r.Status)
			} else if m, err := ParseDuplicateAddress(icmp(f.p)); err == nil && m.Confirm {
				got = append(got, m.Status)
			}
		}
		if w.sent = nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told %v, want %v", got, want)
		}
	}
	register(a, 1, 10)
	told()
	if _, ok := w.r.Record(addr("fd00:1::a:1")); !ok {
		t.Error("not in use before it is written")
	}
	register(b, 1, 10) // refused
	told(StatusDuplicate)
	register(a, 2, 10)
	w.r.Committed(w.now, 1)
	told(StatusSuccess)
	register(a, 1, 0) // ended
	told()
	w.r.Committed(w.now, 3)
	told(StatusSuccess, StatusSuccess)
	w.r.Committed(w.now, 3)
	told()

	rovr, _ := ROVRFrom(eui(b))
	register(a, 1, 10)
	if !w.r.Revoke(w.now, addr("fd00:1::a:1"), StatusDuplicate) {
		t.Error("not registered")
	}
	told(StatusDuplicate)
	w.r.Committed(w.now, 4) // not that it is registered, after that
	told()
	// A refusal comes behind what the node is told of the address before.
	stale := func(tid uint8) {
		t.Helper()
		p := ns("fe80::1:1", "fe80::1", "fd00:1::a:3", sllao(a), aro(Registration{T: true, TID: tid, Lifetime: 10}, eui(a)...))
		if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(a)}); err != nil {
			t.Fatal(err)
		}
	}
	stale(10)
	register(a, 2, 10)
	stale(9)
	told()
	w.r.Committed(w.now, 5)
	told(StatusSuccess, StatusMoved)
	w.r.Committed(w.now, 6)
	told(StatusSuccess)

	dar, err := DuplicateAddress{Lifetime: 10, ROVR: rovr, Addr: addr("fd00:1::b")}.AppendBinary(begin(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.r.HandlePacket(w.now, finish(dar, addr("fd00:1::a:2"), addr("fd00:1::1"), 60), ipv6.Meta{LinkSrc: ipv6.EUI64(a)}); err != nil {
		t.Fatal(err)
	}
	told()
	w.r.Committed(w.now, 7)
	told(StatusSuccess)

	register(a, 1, 10)
	begin := w.now
	if d := w.r.Deadline(); d != begin.Add(maxCommitTime) {
		t.Errorf("due %v after the registration, want %v", d.Sub(begin), maxCommitTime)
	}
	w.r.Advance(begin.Add(maxCommitTime - time.Millisecond))
	told()
	w.r.Advance(begin.Add(maxCommitTime))
	told(StatusSuccess)
	register(a, 1, 10) // the disk is not waited for
	told(StatusSuccess)
	w.r.Committed(w.now, 8) // late; it is again
	told()
	register(a, 1, 10)
	told()
	w.r.Committed(w.now, ticket)
	told(StatusSuccess)

	again := func(n uint64, tid uint8) error {
		src := fmt.Sprintf("fd00:1::c:%x", n)
		p := ns(src, "fe80::1", src, sllao(a+n), aro(Registration{T: true, TID: tid, Lifetime: 10}, eui(a+n)...))
		return w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(a + n)})
	}
	for n := range uint64(4) {
		for tid := range uint8(maxUncommitted / 4) {
			if err := again(0x10+n, tid); err != nil {
				t.Fatal(err)
			}
		}
		if err := again(0x10+n, maxUncommitted/4); err != DropTableFull {
			t.Errorf("more than its share: %v", err)
		}
	}
	p := ns("fd00:1::a:1", "fe80::1", "fe80::1", sllao(a), aro(Registration{Lifetime: 10}, eui(a)...))
	if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(a)}); err != DropTableFull {
		t.Errorf("one too many: %v", err)
	}
	told()
	w.r.Committed(w.now, ticket)
	if len(w.sent) != maxUncommitted || len(w.r.uncommitted) != 0 {
		t.Errorf("%d answers, %d wait", len(w.sent), len(w.r.uncommitted))
	}
	w.check()
}

// TestTentative: a node whose registration is being written is not reported as registered, for
// it does not take packets yet; one that registers again stays so.
func TestTentative(t *testing.T) {
	const a = 0x0200_0000_0001_0001
	var ticket uint64
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}, Commit: func() uint64 { ticket++; return ticket }})
	register := func(life uint16) {
		t.Helper()
		p := ns("fd00:1::a:1", "fe80::1", "fe80::1", sllao(a), aro(Registration{Lifetime: life}, eui(a)...))
		if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(a)}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(state string) {
		t.Helper()
		for _, n := range w.r.Snapshot() {
			if n.Addr == addr("fd00:1::a:1") {
				if n.State != state || n.Registered != (state == "REGISTERED") || n.Expires.IsZero() {
					t.Errorf("%+v, want %s", n, state)
				}
				return
			}
		}
		t.Error("not there")
	}
	register(10)
	check("TENTATIVE")
	w.r.Committed(w.now, 1)
	check("REGISTERED")
	w.now = w.now.Add(time.Minute)
	register(20)
	check("REGISTERED")
	w.r.Committed(w.now, 2)
	register(0) // ended, and begun again
	register(10)
	check("TENTATIVE")
	w.now = w.now.Add(3 * time.Second) // without an answer of the disk
	w.r.Advance(w.now)
	check("REGISTERED")
}

// TestCommitRepeated: a node that asks again while its answer waits gets one, and nothing more
// is written; what asks for something else is answered behind it, whatever the disk does.
func TestCommitRepeated(t *testing.T) {
	const a, b = 0x0200_0000_0001_0001, 0x0200_0000_0001_0002
	var ticket uint64
	gone := false
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}, Commit: func() uint64 {
		if gone {
			return 0
		}
		ticket++
		return ticket
	}})
	const node, parent = "fd00:1::a:1", "fd00:1::b:1"
	handle := func(p ipv6.Packet, ll uint64) {
		t.Helper()
		if err := w.r.HandlePacket(w.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(ll)}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want ...uint16) {
		t.Helper()
		var got []uint16
		for _, f := range w.sent {
			if m, err := CheckNeighborAdvertisement(f.p); err == nil {
				o, _ := m.Options.Find(OptionRegistration)
				r, _ := ParseRegistration(o)
				got = append(got, r.Lifetime)
			} else if m, err := ParseDuplicateAddress(icmp(f.p)); err == nil {
				got = append(got, m.Lifetime)
			}
		}
		if w.sent = nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told of lifetimes %v, want %v", got, want)
		}
	}
	forms := map[string]func(life uint16){
		"ARO": func(life uint16) {
			handle(ns(node, "fe80::1", "fe80::1", sllao(a), aro(Registration{Lifetime: life}, eui(a)...)), a)
		},
		"EARO": func(life uint16) {
			handle(ns(node, "fe80::1", node, sllao(a), aro(Registration{T: true, TID: uint8(life), Lifetime: life}, eui(a)...)), a)
		},
		"DAR": func(life uint16) {
			rovr, _ := ROVRFrom(eui(b))
			dar, err := DuplicateAddress{Lifetime: life, ROVR: rovr, Addr: addr("fd00:1::b:2")}.AppendBinary(begin(nil))
			if err != nil {
				t.Fatal(err)
			}
			handle(finish(dar, addr(parent), addr("fd00:1::1"), 60), b)
		},
	}
	for name, ask := range forms {
		t.Run(name, func(t *testing.T) {
			gone = false
			ask(10)
			have, asked := w.r.Stats().Registrations, ticket
			clear(w.log.registered)
			for range 3 {
				w.now = w.now.Add(700 * time.Millisecond)
				ask(10)
			}
			if n := w.r.Stats().Registrations; n != have || ticket != asked || len(w.log.registered) != 0 {
				t.Errorf("taken %d times more, written %d times, told of: %v", n-have, ticket-asked, w.log.registered)
			}
			told()
			w.r.Committed(w.now, ticket)
			told(10)
			ask(10) // has not heard it
			if ticket != asked+1 {
				t.Error("not written")
			}
			w.r.Committed(w.now, ticket)
			told(10)

			// The disk cannot be written any more.
			ask(11)
			gone = true
			ask(12)
			told()
			w.r.Committed(w.now, ticket)
			told(11, 12)
			ask(13)
			told(13)

			// It takes too long: what came late waits no longer than what came first.
			gone = false
			ask(14)
			w.now = w.now.Add(time.Second)
			ask(15)
			w.r.Advance(w.now.Add(maxCommitTime - time.Second))
			told(14)
			ask(16)
			told()
			w.r.Advance(w.now.Add(maxCommitTime))
			told(15, 16)
			w.r.Committed(w.now, ticket)
			told()
		})
	}
	w.check()
}

// TestKeepVersion: no version of the ABRO is sent before it is kept.
func TestKeepVersion(t *testing.T) {
	kept := []uint32{7}
	w := newWorld(t, RouterConfig{Prefix: mesh, ABROVersion: 7, KeepVersion: func(v uint32) { kept = append(kept, v) }})
	solicit := func(want int, version uint32) {
		t.Helper()
		w.sent = nil
		if err := w.r.HandlePacket(w.now, unhex(t, riotRS), riot); err != nil || len(w.sent) != 1 {
			t.Fatal(err, len(w.sent))
		}
		m, err := CheckRouterAdvertisement(w.sent[0].p)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := m.Options.Find(OptionBorderRouter)
		if x, ok := ParseBorderRouterInfo(o); !ok || x.Version != version || len(kept) != want || kept[want-1] != version {
			t.Errorf("version %d is announced, %v are kept; want %d", x.Version, kept, version)
		}
	}
	solicit(1, 7)
	w.r.SetOther(w.now, true)
	w.r.SetDNSSL(w.now, []string{"example"})
	if len(kept) != 1 {
		t.Errorf("kept %v before it is announced", kept)
	}
	solicit(2, 9)
	solicit(2, 9)
	w.r.SetPrefix(w.now, lanNet)
	solicit(3, 10)
}
