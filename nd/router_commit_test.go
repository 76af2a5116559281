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

	for range maxUncommitted {
		register(a, 1, 10)
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
