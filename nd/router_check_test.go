package nd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// A checkWorld is a router whose new registrations are looked for on another link.
type checkWorld struct {
	*world
	begun  []netip.Addr
	under  bool // a check can be made
	ticket uint64
}

const checkNode, checkOther = 0x0200_0000_0001_0001, 0x0200_0000_0001_0002

func newCheckWorld(t *testing.T, disk bool) *checkWorld {
	c := &checkWorld{under: true}
	cfg := RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}}
	cfg.Check = func(_ time.Time, a netip.Addr, _ Registration) bool {
		c.begun = append(c.begun, a)
		return c.under
	}
	if disk {
		cfg.Commit = func() uint64 { c.ticket++; return c.ticket }
	}
	c.world = newWorld(t, cfg)
	return c
}

// The forms of a registration. All are of the address that they return.
var checkForms = map[string]func(w *checkWorld, ll uint64, tid uint8, life uint16) netip.Addr{
	"ARO": func(w *checkWorld, ll uint64, tid uint8, life uint16) netip.Addr {
		w.take(ns("fd00:1::a:1", "fe80::1", "fe80::1", sllao(ll), aro(Registration{Lifetime: life}, eui(ll)...)), ll)
		return addr("fd00:1::a:1")
	},
	"EARO": func(w *checkWorld, ll uint64, tid uint8, life uint16) netip.Addr {
		src := ipv6.LinkLocal(ipv6.EUI64(ll)).String()
		w.take(ns(src, "fe80::1", "fd00:1::a:2", sllao(ll), aro(Registration{T: true, R: true, TID: tid, Lifetime: life}, eui(checkNode)...)), ll)
		return addr("fd00:1::a:2")
	},
	"DAR": func(w *checkWorld, ll uint64, tid uint8, life uint16) netip.Addr {
		rovr, _ := ROVRFrom(eui(checkNode))
		dar, err := DuplicateAddress{Extended: true, TID: tid, Lifetime: life, ROVR: rovr, Addr: addr("fd00:1::a:3")}.AppendBinary(begin(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		w.take(finish(dar, ipv6.WithIID(mesh, ll), addr("fd00:1::1"), 60), ll)
		return addr("fd00:1::a:3")
	},
}

func (c *checkWorld) take(p ipv6.Packet, ll uint64) {
	c.t.Helper()
	if err := c.r.HandlePacket(c.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(ll)}); err != nil {
		c.t.Fatal(err)
	}
}

// told asserts which answers were sent since the last call, each "status lifetime TID".
func (c *checkWorld) told(want ...string) {
	c.t.Helper()
	got := []string{}
	for _, f := range c.sent {
		if m, err := CheckNeighborAdvertisement(f.p); err == nil {
			o, _ := m.Options.Find(OptionRegistration)
			r, _ := ParseRegistration(o)
			got = append(got, fmt.Sprintf("%v %d %d", r.Status, r.Lifetime, r.TID))
		} else if m, err := ParseDuplicateAddress(icmp(f.p)); err == nil && m.Confirm {
			got = append(got, fmt.Sprintf("%v %d %d", m.Status, m.Lifetime, m.TID))
		}
	}
	if c.sent = nil; fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("told %q, want %q", got, want)
	}
}

func (c *checkWorld) registered(a netip.Addr, state string) {
	c.t.Helper()
	for _, n := range c.r.Snapshot() {
		if n.Addr == a {
			if n.State != state {
				c.t.Errorf("%v is %s, want %s", a, n.State, state)
			}
			return
		}
	}
	if state != "" {
		c.t.Errorf("%v is not there, want %s", a, state)
	}
}

func (c *checkWorld) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.r.Advance(c.now)
}

// TestCheck: a node is told that it is registered when its address was looked for on the other
// link and what was kept of it is written, whichever comes last; its refreshes at once.
func TestCheck(t *testing.T) {
	for name, ask := range checkForms {
		t.Run(name, func(t *testing.T) {
			tid := func(n uint8) uint8 {
				if name == "ARO" {
					return 0
				}
				return n
			}
			success := func(n uint8) string { return fmt.Sprintf("success 10 %d", tid(n)) }
			c := newCheckWorld(t, true)
			a := ask(c, checkNode, 1, 10)
			c.registered(a, "TENTATIVE")
			if _, ok := c.r.Record(a); !ok {
				t.Error("not in the table")
			}
			c.r.Committed(c.now, 1)
			c.told()
			c.pass(tentativeDuration)
			c.told()
			c.r.Checked(c.now, a)
			c.told(success(1))
			c.registered(a, "REGISTERED")
			c.r.Checked(c.now, a)
			c.told()

			// A refresh.
			c.pass(minute)
			ask(c, checkNode, 2, 10)
			c.registered(a, "REGISTERED")
			c.r.Committed(c.now, 2)
			c.told(success(2))
			// It moves within the mesh.
			ask(c, checkNode+8, 3, 10)
			c.r.Committed(c.now, c.ticket)
			if c.sent = nil; len(c.begun) != 1 {
				t.Errorf("looked for %v", c.begun)
			}

			// The disk is last.
			ask(c, checkNode, 4, 0)
			c.r.Committed(c.now, c.ticket)
			c.sent = nil
			ask(c, checkNode, 5, 10)
			c.r.Checked(c.now, a)
			c.told()
			c.registered(a, "TENTATIVE")
			c.r.Committed(c.now, c.ticket)
			c.told(success(5))
			// It takes too long.
			ask(c, checkNode, 6, 0)
			c.r.Committed(c.now, c.ticket)
			c.sent = nil
			ask(c, checkNode, 7, 10)
			c.r.Checked(c.now, a)
			c.pass(maxCommitTime - time.Millisecond)
			c.told()
			c.pass(time.Millisecond)
			c.told(success(7))
			c.registered(a, "REGISTERED")
			if len(c.r.checks)+len(c.r.uncommitted) > 0 {
				t.Error("something waits")
			}
			c.check()
		})
	}
}

// TestCheckRepeated: a node that asks again while its address is looked for gets one answer, to
// the last that it asked; it is looked for once; who gives it up meanwhile hears of that.
func TestCheckRepeated(t *testing.T) {
	for name, ask := range checkForms {
		for _, disk := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,disk=%v", name, disk), func(t *testing.T) {
				c := newCheckWorld(t, disk)
				written := func() { c.r.Committed(c.now, c.ticket) }
				a := ask(c, checkNode, 1, 10)
				for range 3 {
					c.pass(100 * time.Millisecond)
					ask(c, checkNode, 1, 10)
				}
				if c.ticket > 1 || c.r.Stats().Registrations != 1 {
					t.Errorf("written %d times, taken %d times", c.ticket, c.r.Stats().Registrations)
				}
				written()
				c.r.Checked(c.now, a)
				ask(c, checkNode, 1, 0)
				written()
				c.sent = nil

				// Fresher ones replace it; one that is not as fresh is ignored.
				ask(c, checkNode, 20, 11)
				ask(c, checkNode, 22, 12)
				if name == "EARO" || name == "DAR" {
					ask(c, checkNode, 21, 13)
				}
				ask(c, checkNode, 22, 12)
				c.told()
				written()
				c.r.Checked(c.now, a)
				want := "success 12 22"
				if name == "ARO" {
					want = "success 12 0"
				}
				c.told(want)
				if len(c.begun) != 2 {
					t.Errorf("looked for %v", c.begun)
				}
				ask(c, checkNode, 23, 0)
				written()
				c.sent = nil

				// Given up.
				ask(c, checkNode, 24, 10)
				ask(c, checkNode, 25, 0)
				written()
				want = "success 0 25"
				if name == "ARO" {
					want = "success 0 0"
				}
				c.told(want)
				c.r.Checked(c.now, a)
				if c.r.Revoke(c.now, a, StatusDuplicate) {
					t.Error("revoked what was given up")
				}
				c.told()
				c.pass(10 * second)
				c.told()
				c.registered(a, "")
				c.check()
			})
		}
	}
}

// TestCheckDuplicate: an address that another link has is refused in the answer that waits, and
// where RFC 6775 section 6.5.2 wants it.
func TestCheckDuplicate(t *testing.T) {
	for name, ask := range checkForms {
		t.Run(name, func(t *testing.T) {
			c := newCheckWorld(t, true)
			a := ask(c, checkNode, 9, 10)
			c.pass(3 * time.Millisecond)
			if !c.r.Revoke(c.now, a, StatusDuplicate) {
				t.Error("not there")
			}
			if len(c.sent) != 1 {
				t.Fatalf("sent %d", len(c.sent))
			}
			p, to := c.sent[0].p, c.sent[0].dst
			want := ipv6.LinkLocal(ipv6.EUI64(checkNode))
			switch m, err := CheckNeighborAdvertisement(p); {
			case name == "DAR":
				want = ipv6.WithIID(mesh, checkNode)
			case err != nil || !m.Solicited || !m.Router:
				t.Errorf("%+v, %v", m, err)
			}
			if p.Dst() != want || to != ipv6.EUI64(checkNode) {
				t.Errorf("to %v at %v, want %v", p.Dst(), to, want)
			}
			if name == "ARO" {
				c.told("duplicate address 10 0")
			} else {
				c.told("duplicate address 10 9")
			}
			c.registered(a, "")
			c.r.Committed(c.now, c.ticket)
			c.r.Checked(c.now, a)
			c.pass(10 * second)
			c.told()
			if s := c.r.Stats(); s.Refused != 1 || s.Conflicts != 1 {
				t.Errorf("refused %d, conflicts %d", s.Refused, s.Conflicts)
			}
			c.check()
		})
	}
	// Who asks for another's while it is looked for is refused, and that goes on.
	c := newCheckWorld(t, false)
	ask := checkForms["ARO"]
	a := ask(c, checkNode, 0, 10)
	ask(c, checkOther, 0, 10)
	c.told("duplicate address 10 0")
	c.r.Checked(c.now, a)
	c.told("success 10 0")
}

// TestCheckMoves: a node that goes to another place in the mesh while its address is looked for
// hears there.
func TestCheckMoves(t *testing.T) {
	c := newCheckWorld(t, false)
	a := checkForms["EARO"](c, checkNode, 1, 10)
	checkForms["EARO"](c, checkOther, 2, 10)
	c.r.Checked(c.now, a)
	if len(c.sent) != 1 || c.sent[0].dst != ipv6.EUI64(checkOther) {
		t.Errorf("%+v", c.sent)
	}
	c.told("success 10 2")
}

// TestCheckOver: nothing waits for ever, what cannot be looked for is answered at once, and so
// is what has no place in the queue; link-local addresses are not looked for.
func TestCheckOver(t *testing.T) {
	c := newCheckWorld(t, false)
	a := checkForms["ARO"](c, checkNode, 0, 10)
	if d := c.r.Deadline(); d != c.now.Add(maxCheckTime) {
		t.Errorf("due after %v", d.Sub(c.now))
	}
	c.pass(maxCheckTime - time.Millisecond)
	c.told()
	c.pass(time.Millisecond)
	c.told("success 10 0")
	c.registered(a, "REGISTERED")
	if !c.r.Revoke(c.now, a, StatusDuplicate) { // the result comes late
		t.Error("not registered")
	}
	c.told("duplicate address 0 0")

	c.under = false
	checkForms["ARO"](c, checkNode, 0, 10)
	c.told("success 10 0")
	c.under, c.begun = true, nil
	p := ns("fe80::1:1", "fe80::1", "fe80::1:1", sllao(checkNode), aro(Registration{T: true, R: true, TID: 1, Lifetime: 10}, eui(checkNode)...))
	c.take(p, checkNode)
	c.told("success 10 1")
	if len(c.begun) > 0 {
		t.Errorf("looked for %v", c.begun)
	}

	for i := range maxUncommitted + 2 {
		ll := checkNode + 0x100 + uint64(i)
		c.take(ns(fmt.Sprintf("fd00:1::c:%x", i), "fe80::1", "fe80::1", sllao(ll), aro(Registration{Lifetime: 10}, eui(ll)...)), ll)
	}
	if len(c.begun) != maxUncommitted || len(c.r.checks) != maxUncommitted {
		t.Errorf("looked for %d at once", len(c.begun))
	}
	c.told("success 10 0", "success 10 0")
	c.pass(maxCheckTime)
	if len(c.sent) != maxUncommitted || len(c.r.checks) != 0 {
		t.Errorf("%d told, %d wait", len(c.sent), len(c.r.checks))
	}
	c.check()
}

// TestCheckRoom: what is being looked for takes none of the room of what waits for the disk
// alone. A mesh that registers at once and those that refresh meanwhile are all answered.
func TestCheckRoom(t *testing.T) {
	c := newCheckWorld(t, true)
	register := func(i, tid int) error {
		ll := checkNode + 0x100 + uint64(i)
		src := fmt.Sprintf("fd00:1::c:%x", i)
		p := ns(src, "fe80::1", src, sllao(ll), aro(Registration{T: true, R: true, TID: uint8(tid), Lifetime: 10}, eui(ll)...))
		err := c.r.HandlePacket(c.now, p, ipv6.Meta{LinkSrc: ipv6.EUI64(ll)})
		c.r.Committed(c.now, c.ticket)
		return err
	}
	if err := register(0, 1); err != nil {
		t.Fatal(err)
	}
	c.pass(maxCheckTime)
	c.told("success 10 1")
	for i := range maxUncommitted + 2 {
		if err := register(1+i, 1); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	c.sent = nil
	if err := register(0, 2); err != nil {
		t.Errorf("a refresh: %v", err)
	}
	c.told("success 10 2")
	c.pass(maxCheckTime)
	if len(c.r.checks) != 0 || len(c.r.uncommitted) != 0 {
		t.Errorf("%d and %d wait", len(c.r.checks), len(c.r.uncommitted))
	}
}

// TestCheckRestored: what was registered before a restart is not looked for again.
func TestCheckRestored(t *testing.T) {
	c := newCheckWorld(t, false)
	a := checkForms["EARO"](c, checkNode, 1, 10)
	c.r.Checked(c.now, a)
	recs := c.r.Records()
	c = newCheckWorld(t, false)
	c.r.Restore(c.now, recs)
	checkForms["EARO"](c, checkNode, 2, 10)
	c.told("success 10 2")
	if len(c.begun) > 0 {
		t.Errorf("looked for %v", c.begun)
	}
}

// TestCheckJoin: a host that joins has its address as long after as the check takes, with the
// solicitation that it would send anyway; one of RFC 4861 that wants an address of the other
// link finds that it is taken, and one that uses it all the same is not believed.
func TestCheckJoin(t *testing.T) {
	join := func(check, taken bool, cfg HostConfig) (time.Duration, *testHost) {
		var w *world
		var found netip.Addr
		cfg.LinkAddr = ipv6.EUI64(checkNode)
		rc := RouterConfig{Prefix: mesh, Taken: func(a netip.Addr, _ ROVR) bool { return a == found }}
		var end func()
		var at time.Time
		rc.Check = func(now time.Time, a netip.Addr, _ Registration) bool {
			if !check {
				return false
			}
			if at = now.Add(tentativeDuration); taken {
				at = now.Add(2 * time.Millisecond)
			}
			end = func() {
				if taken {
					found = a
					w.r.Revoke(w.now, a, StatusDuplicate)
				} else {
					w.r.Checked(w.now, a)
				}
			}
			return true
		}
		w = newWorld(t, rc)
		h := w.host(1, cfg)
		for d := time.Duration(0); d < 5*second; d += time.Millisecond {
			w.run(time.Millisecond)
			if end != nil && !w.now.Before(at) {
				end()
				end = nil
			}
			if cfg.Classic && taken && !found.IsValid() && w.r.Knows(h.global()) { // as the other link would say
				found = h.global()
				if !w.r.Revoke(w.now, found, StatusDuplicate) {
					t.Error("nothing revoked")
				}
			}
			if h.addrs[h.global()] {
				return d, h
			}
		}
		if h.nd.Stats().Refused != 1 || w.r.Knows(h.global()) {
			t.Errorf("refused %d times, known %v", h.nd.Stats().Refused, w.r.Knows(h.global()))
		}
		w.sent = nil
		w.r.Heard(w.now, h.global(), ipv6.Meta{LinkSrc: h.ll})
		_ = w.r.HandlePacket(w.now, ns(h.global().String(), "", "fd00:1::99", sllao(checkNode)), ipv6.Meta{LinkSrc: h.ll})
		if w.r.Knows(h.global()) {
			t.Error("learnt from one that uses it")
		}
		return 0, h
	}
	for _, cfg := range []HostConfig{{}, {ARO: AROLegacy}} {
		without, _ := join(false, false, cfg)
		with, h := join(true, false, cfg)
		if with == 0 || with > without+tentativeDuration {
			t.Errorf("joins after %v, without a check after %v", with, without)
		}
		n := 0
		for _, f := range h.w.fromHos {
			if m, err := CheckNeighborSolicitation(f.p); err == nil && m.Options != nil {
				if o, ok := m.Options.Find(OptionRegistration); ok {
					if a, _ := ParseRegistration(o); (a.T && m.Target == h.global()) || f.p.Src() == h.global() {
						n++
					}
				}
			}
		}
		if n != 1 {
			t.Errorf("it asked %d times", n)
		}
		if d, _ := join(true, true, cfg); d != 0 {
			t.Error("has the address of another")
		}
	}
	if d, _ := join(true, true, HostConfig{Classic: true}); d != 0 {
		t.Error("a host of RFC 4861 has the address of another")
	}
}

// TestRevokeRemoved: a node that has registered with another router of the other link is told
// where it counts (RFC 8929 section 9.2); RFC 6775 has no status for it.
func TestRevokeRemoved(t *testing.T) {
	for name, want := range map[string][]string{"ARO": {}, "EARO": {"removed 0 1"}, "DAR": {}} {
		c := newCheckWorld(t, false)
		a := checkForms[name](c, checkNode, 1, 10)
		c.r.Checked(c.now, a)
		c.sent = nil
		if !c.r.Revoke(c.now, a, StatusRemoved) {
			t.Error(name, "not registered")
		}
		c.told(want...)
		c.registered(a, "")
	}
	// Nor is anybody told of what was only learnt.
	c := newCheckWorld(t, false)
	c.r.Heard(c.now, addr("fd00:1::7"), ipv6.Meta{LinkSrc: ipv6.EUI64(checkNode)})
	if c.r.Revoke(c.now, addr("fd00:1::7"), StatusRemoved) || !c.r.Knows(addr("fd00:1::7")) {
		t.Error("forgotten")
	}
}

// TestTakenByItself: an address that its owner has registered with another router of the other
// link is refused to everybody else alone.
func TestTakenByItself(t *testing.T) {
	owner, _ := ROVRFrom(eui(checkNode))
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}, Taken: func(_ netip.Addr, o ROVR) bool { return o != owner }})
	c := &checkWorld{world: w}
	checkForms["ARO"](c, checkOther, 0, 10)
	c.told("duplicate address 10 0")
	checkForms["ARO"](c, checkNode, 0, 10)
	c.told("success 10 0")
}

// TestTakenNotLearnt: who solicits us from an address that a node on another link was found to
// have is answered, and not believed to have it.
func TestTakenNotLearnt(t *testing.T) {
	taken := addr("fd00:1::d:1")
	w := newWorld(t, RouterConfig{Prefix: mesh, Addrs: []netip.Addr{addr("fd00:1::1")}, Taken: func(a netip.Addr, _ ROVR) bool { return a == taken }})
	c := &checkWorld{world: w}
	earo := aro(Registration{T: true, TID: 1, Lifetime: 10}, eui(checkNode)...)
	c.take(ns(taken.String(), "fe80::1", "fd00:1::a:2", sllao(checkNode), earo), checkNode)
	c.told("success 10 1")
	if c.r.Knows(taken) {
		t.Error("learnt of a registration")
	}
	rs, _ := RouterSolicitation{}.AppendBinary(begin(nil))
	c.take(finish(append(rs, sllao(checkOther)...), taken, addr("ff02::2"), 255), checkOther)
	if len(c.sent) != 1 {
		t.Errorf("%d answers to a router solicitation", len(c.sent))
	}
	if c.r.Knows(taken) {
		t.Error("learnt of a router solicitation")
	}
}
