package dhcp6

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

const (
	solicit   = dhcpv6.MessageTypeSolicit
	advertise = dhcpv6.MessageTypeAdvertise
	request   = dhcpv6.MessageTypeRequest
	confirm   = dhcpv6.MessageTypeConfirm
	renew     = dhcpv6.MessageTypeRenew
	rebind    = dhcpv6.MessageTypeRebind
	reply     = dhcpv6.MessageTypeReply
	release   = dhcpv6.MessageTypeRelease
	decline   = dhcpv6.MessageTypeDecline
	inforeq   = dhcpv6.MessageTypeInformationRequest
)

const second = time.Second

// TestClientTransitions has each way from one state to another: what happens, what state
// follows, and what is sent next.
func TestClientTransitions(t *testing.T) {
	na, pd := Mode{Addresses: true}, Mode{Prefixes: true}
	status := func(code uint16) func(*builder) *builder {
		return func(b *builder) *builder { b.status(code, ""); return b }
	}
	iaStatus := func(b *builder, code uint16) *builder { b.pd(ia{id: 7, status: code}, ""); return b }
	naStatus := func(b *builder, code uint16) *builder { b.na(ia{id: 7, status: code}, ""); return b }
	for _, c := range []struct {
		name  string
		cfg   ClientConfig
		mode  Mode
		do    func(d *desk)
		state string
		next  dhcpv6.MessageType // 0: not looked at
		lease [2]int             // addresses, prefixes
	}{
		{"solicit", ClientConfig{}, na, func(d *desk) { d.start(na); d.next() }, "soliciting", solicit, [2]int{}},
		{"nothing wanted", ClientConfig{}, Mode{}, func(d *desk) { d.start(Mode{}) }, "idle", 0, [2]int{}},
		{"bound", ClientConfig{}, bothModes, func(d *desk) { d.bind(bothModes) }, "bound", renew, [2]int{1, 1}},
		{"advertise waits for others", ClientConfig{}, pd, func(d *desk) {
			d.start(pd)
			d.give(d.full(from(serverID, advertise, d.next()), pd))
		}, "soliciting", request, [2]int{}},
		{"late advertise does not wait", ClientConfig{}, pd, func(d *desk) {
			d.start(pd).next()
			d.give(d.full(from(serverID, advertise, d.next()), pd))
		}, "requesting", request, [2]int{}},
		{"rapid commit", ClientConfig{RapidCommit: true}, pd, func(d *desk) {
			b := d.full(from(serverID, reply, d.start(pd).next()), pd)
			b.option(dhcpv6.OptionRapidCommit, nil)
			d.give(b)
		}, "bound", renew, [2]int{0, 1}},
		{"request refused", ClientConfig{}, pd, func(d *desk) {
			d.start(pd).next()
			d.give(d.full(from(serverID, advertise, d.next()), pd))
			d.give(iaStatus(from(serverID, reply, d.last()), statusNoPrefixAvail))
		}, "soliciting", solicit, [2]int{}},
		{"request: not on link", ClientConfig{}, na, func(d *desk) {
			d.start(na).next()
			d.give(d.full(from(serverID, advertise, d.next()), na))
			d.give(status(statusNotOnLink)(from(serverID, reply, d.last())))
		}, "soliciting", solicit, [2]int{}},
		{"request: not on link in the IA", ClientConfig{}, na, func(d *desk) {
			d.start(na).next()
			d.give(d.full(from(serverID, advertise, d.next()), na))
			d.give(naStatus(from(serverID, reply, d.last()), statusNotOnLink))
		}, "soliciting", solicit, [2]int{}},
		{"renewed", ClientConfig{}, bothModes, func(d *desk) {
			d.bind(bothModes)
			d.give(d.full(from(serverID, reply, d.expect(renew)), bothModes))
		}, "bound", renew, [2]int{1, 1}},
		{"renew: no binding", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.give(iaStatus(from(serverID, reply, d.expect(renew)), statusNoBinding))
		}, "requesting", request, [2]int{0, 1}},
		{"renew: prefix withdrawn", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.give(from(serverID, reply, d.expect(renew)).withPD(0, 0, prefixLease(pd56, 0, 0)))
		}, "soliciting", solicit, [2]int{}},
		{"renew: prefix replaced", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.give(from(serverID, reply, d.expect(renew)).withPD(0, 0, prefixLease(pd56, 0, 0), prefixLease(pd60, 20, 40)))
		}, "bound", renew, [2]int{0, 1}},
		{"renew: IA missing", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.give(from(serverID, reply, d.expect(renew)))
		}, "bound", renew, [2]int{0, 1}},
		{"renew: no address left, prefix kept", ClientConfig{}, bothModes, func(d *desk) {
			d.bind(bothModes)
			d.give(naStatus(from(serverID, reply, d.expect(renew)).withPD(100, 160, prefixLease(pd56, 200, 300)), statusNoAddrsAvail))
		}, "bound", renew, [2]int{1, 1}},
		{"T2 reached", ClientConfig{}, pd, func(d *desk) { d.bind(pd); d.until(epoch.Add(1700 * second)) }, "rebinding", rebind, [2]int{0, 1}},
		{"rebound elsewhere", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			for d.next().typ != rebind {
			}
			d.give(d.full(from(otherID, reply, d.last()), pd))
		}, "bound", renew, [2]int{0, 1}},
		{"ran out", ClientConfig{}, pd, func(d *desk) { d.bind(pd); d.until(epoch.Add(3003 * second)) }, "soliciting", solicit, [2]int{}},
		{"link away", ClientConfig{}, pd, func(d *desk) { d.bind(pd); d.c.LinkChanged(d.now, false) }, "idle", 0, [2]int{0, 1}},
		{"link back: confirm", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, false)
			d.c.LinkChanged(d.now, true)
		}, "confirming", confirm, [2]int{1, 0}},
		{"link back: rebind for prefixes", ClientConfig{}, bothModes, func(d *desk) { d.bind(bothModes); d.c.LinkChanged(d.now, true) },
			"confirming", rebind, [2]int{1, 1}},
		{"confirmed", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, true)
			d.give(status(statusSuccess)(from(otherID, reply, d.expect(confirm))))
		}, "bound", renew, [2]int{1, 0}},
		{"confirmed without status", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, true)
			d.give(from(otherID, reply, d.expect(confirm)))
		}, "bound", renew, [2]int{1, 0}},
		{"not confirmed", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, true)
			d.give(status(statusNotOnLink)(from(otherID, reply, d.expect(confirm))))
			d.until(d.now.Add(2 * second))
		}, "soliciting", solicit, [2]int{}},
		{"not confirmed by one, confirmed by another", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, true)
			m := d.expect(confirm)
			d.give(status(statusNotOnLink)(from(otherID, reply, m)))
			d.state("confirming")
			d.give(status(statusSuccess)(from(serverID, reply, m)))
		}, "bound", renew, [2]int{1, 0}},
		{"confirm not answered", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.LinkChanged(d.now, true)
			d.until(d.now.Add(12 * second))
		}, "bound", renew, [2]int{1, 0}},
		{"rebind after link change: withdrawn", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.c.LinkChanged(d.now, true)
			d.give(from(otherID, reply, d.expect(rebind)).withPD(0, 0, prefixLease(pd56, 0, 0)))
		}, "soliciting", solicit, [2]int{}},
		{"rebind after link change: no binding", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.c.LinkChanged(d.now, true)
			d.give(iaStatus(from(otherID, reply, d.expect(rebind)), statusNoBinding))
		}, "requesting", request, [2]int{0, 1}},
		{"rebind after link change: not answered", ClientConfig{}, pd, func(d *desk) {
			d.bind(pd)
			d.c.LinkChanged(d.now, true)
			d.until(d.now.Add(12 * second))
		}, "bound", renew, [2]int{0, 1}},
		{"released", ClientConfig{}, pd, func(d *desk) { d.bind(pd); d.c.Release(d.now) }, "idle", release, [2]int{}},
		{"declined", ClientConfig{}, na, func(d *desk) { d.bind(na); d.c.Decline(d.now, address) }, "idle", decline, [2]int{}},
		{"declined, answered", ClientConfig{}, na, func(d *desk) {
			d.bind(na)
			d.c.Decline(d.now, address)
			d.give(status(statusSuccess)(from(serverID, reply, d.last())))
		}, "soliciting", solicit, [2]int{}},
		{"declined beside a prefix", ClientConfig{}, bothModes, func(d *desk) {
			d.bind(bothModes)
			d.c.Decline(d.now, address)
			d.give(status(statusSuccess)(from(serverID, reply, d.last())))
		}, "bound", renew, [2]int{0, 1}},
		{"mode grows", ClientConfig{}, pd, func(d *desk) { d.bind(pd); d.c.SetMode(d.now, bothModes) }, "renewing", renew, [2]int{0, 1}},
		{"mode shrinks", ClientConfig{}, bothModes, func(d *desk) { d.bind(bothModes); d.c.SetMode(d.now, pd) }, "renewing", 0, [2]int{0, 1}},
		{"mode off", ClientConfig{}, bothModes, func(d *desk) { d.bind(bothModes); d.c.SetMode(d.now, Mode{}) }, "idle", release, [2]int{}},
		{"information", ClientConfig{}, Mode{Information: true}, func(d *desk) {
			d.start(Mode{Information: true})
			d.give(from(serverID, reply, d.expect(inforeq)))
		}, "informed", inforeq, [2]int{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.cfg, 1)
			c.do(d)
			d.state(c.state)
			l := d.c.Lease()
			if got := [2]int{len(l.Addresses), len(l.Prefixes)}; got != c.lease {
				t.Errorf("leases %v, want %v", got, c.lease)
			}
			if c.next == release || c.next == decline { // sent at once
				if d.last().typ != c.next {
					t.Errorf("sent %s, want %s", d.last().typ, c.next)
				}
			} else if c.next != 0 {
				d.expect(c.next)
			}
		})
	}
}

// TestRetransmission: the times of each message are within the bounds of RFC 8415 section
// 15, over many seeds.
func TestRetransmission(t *testing.T) {
	na, pd, info := Mode{Addresses: true}, Mode{Prefixes: true}, Mode{Information: true}
	within := func(t *testing.T, what string, got time.Duration, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s after %v, want %v to %v", what, got, low, high)
		}
	}
	for _, c := range []struct {
		name     string
		mode     Mode
		do       func(d *desk)
		typ      dhcpv6.MessageType
		irt, mrt time.Duration
		positive bool
		n        int           // transmissions to look at, all there are where last is set
		mrd      time.Duration // end of the exchange, from the first transmission
		last     bool
	}{
		{"solicit", pd, func(d *desk) { d.start(pd) }, solicit, solTimeout, solMaxRT, true, 20, 0, false},
		{"request", pd, func(d *desk) {
			b := d.full(from(serverID, advertise, d.start(pd).next()), pd)
			b.option(dhcpv6.OptionPreference, []byte{255})
			d.give(b)
		}, request, reqTimeout, reqMaxRT, false, reqMaxRC, 0, true},
		{"renew", pd, func(d *desk) { d.bind(pd) }, renew, renTimeout, renMaxRT, false, 7, 600 * second, false},
		{"confirm", na, func(d *desk) { d.bind(na); d.c.LinkChanged(d.now, true) }, confirm, cnfTimeout, cnfMaxRT, false, 4, cnfMaxRD, false},
		{"information", info, func(d *desk) { d.start(info) }, inforeq, infTimeout, infMaxRT, false, 20, 0, false},
		{"release", pd, func(d *desk) { d.bind(pd); d.c.Release(d.now) }, release, relTimeout, 0, false, relMaxRC, 0, true},
		{"decline", na, func(d *desk) { d.bind(na); d.c.Decline(d.now, address) }, decline, decTimeout, 0, false, decMaxRC, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(50) {
				d := newDesk(t, ClientConfig{}, seed)
				c.do(d)
				var at []time.Time
				for len(at) < c.n {
					for i := range d.sent {
						m, err := parse(d.sent[i].b)
						if err != nil {
							t.Fatal(err)
						}
						if m.typ == c.typ && len(at) < c.n {
							at = append(at, d.sent[i].at)
						}
					}
					d.sent = d.sent[:0]
					if len(at) < c.n {
						if due := d.c.Deadline(); c.mrd > 0 && due.Sub(epoch) > 2*time.Hour {
							break
						}
						d.next()
					}
				}
				var rt time.Duration
				for i := 1; i < len(at); i++ {
					got := at[i].Sub(at[i-1])
					if c.mrd > 0 && at[i].Sub(at[0]) >= c.mrd {
						t.Errorf("transmission %d %v after the first, beyond MRD", i, at[i].Sub(at[0]))
					}
					low, high := c.irt*9/10, c.irt*11/10
					if i > 1 {
						low, high = rt*19/10, rt*21/10
					}
					if c.positive && i == 1 {
						low = c.irt + 1
					}
					if c.mrt > 0 && high > c.mrt {
						if low > c.mrt {
							low = c.mrt * 9 / 10
						}
						low, high = min(low, c.mrt*9/10), c.mrt*11/10
					}
					within(t, c.typ.String(), got, low-1, high+1)
					rt = got
				}
				if c.last { // what comes after the last is something else
					for range 30 {
						if at := d.c.Deadline(); at.IsZero() || at.Sub(d.now) > 30*time.Minute {
							break
						}
						before := len(d.sent)
						d.until(d.c.Deadline())
						if len(d.sent) > before && d.last().typ == c.typ {
							t.Fatalf("more than %d transmissions", c.n)
						}
					}
				}
			}
		})
	}
}

// TestFirstDelays: the first message of an interface waits up to a second, at random.
func TestFirstDelays(t *testing.T) {
	for _, m := range []Mode{{Prefixes: true}, {Information: true}} {
		var low, high time.Duration = time.Hour, 0
		for seed := range uint64(200) {
			d := newDesk(t, ClientConfig{}, seed)
			d.start(m).next()
			w := d.now.Sub(epoch)
			low, high = min(low, w), max(high, w)
		}
		if high > solMaxDelay || high < 900*time.Millisecond || low > 100*time.Millisecond {
			t.Errorf("%+v: delays from %v to %v", m, low, high)
		}
	}
}

// TestTimes has T1 and T2 as section 14.2 gives them, in seconds after the Reply.
func TestTimes(t *testing.T) {
	const inf = infinity
	for _, c := range []struct {
		name             string
		t1, t2           uint32
		leases           []leased
		wantT1, wantT2   uint32
		wantPref, wantOK uint32 // lifetimes of the first
	}{
		{"given", 100, 160, []leased{prefixLease(pd56, 200, 300)}, 100, 160, 200, 300},
		{"both left to us", 0, 0, []leased{prefixLease(pd56, 200, 300)}, 100, 160, 200, 300},
		{"shortest of two", 0, 0, []leased{prefixLease(pd56, 200, 300), prefixLease(pd60, 100, 300)}, 50, 80, 200, 300},
		{"T1 left", 0, 60, []leased{prefixLease(pd56, 200, 300)}, 60, 60, 200, 300},
		{"T2 left", 170, 0, []leased{prefixLease(pd56, 200, 300)}, 170, 170, 200, 300},
		{"for good", 0, 0, []leased{prefixLease(pd56, inf, inf)}, inf, inf, inf, inf},
		{"never renewed", inf, inf, []leased{prefixLease(pd56, 200, 300)}, inf, inf, 200, 300},
		{"deprecated from the start", 0, 0, []leased{prefixLease(pd56, 0, 300)}, 150, 240, 0, 300},
		{"very short", 0, 0, []leased{prefixLease(pd56, 1, 1)}, 1, 1, 1, 1},
		{"beyond the lifetime", 500, 800, []leased{prefixLease(pd56, 200, 300)}, 100, 160, 200, 300},
		{"not to be extended", 300, 300, []leased{prefixLease(pd56, 200, 300)}, 300, 300, 200, 300},
		{"the largest", 0, 0, []leased{prefixLease(pd56, inf-1, inf-1)}, inf/2 - 0, 0xcccccccb, inf - 1, inf - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, ClientConfig{}, 3)
			m := Mode{Prefixes: true}
			d.start(m).next()
			d.give(d.full(from(serverID, advertise, d.next()), m))
			d.give(from(serverID, reply, d.last()).withPD(c.t1, c.t2, c.leases...))
			d.state("bound")
			l := d.c.Lease()
			at := func(s uint32) time.Time { return after(d.now, s) }
			if !l.T1.Equal(at(c.wantT1)) || !l.T2.Equal(at(c.wantT2)) {
				t.Errorf("T1 %v T2 %v, want %d %d", l.T1.Sub(d.now), l.T2.Sub(d.now), c.wantT1, c.wantT2)
			}
			if p := l.Prefixes[0]; !p.Preferred.Equal(at(c.wantPref)) || !p.Valid.Equal(at(c.wantOK)) {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestInvalidLeases: what makes no sense is left out and counted.
func TestInvalidLeases(t *testing.T) {
	for _, c := range []struct {
		name string
		b    func(b *builder) *builder
	}{
		{"preferred longer than valid", func(b *builder) *builder { return b.withPD(0, 0, prefixLease(pd56, 301, 300)) }},
		{"T1 after T2", func(b *builder) *builder { return b.withPD(200, 100, prefixLease(pd56, 300, 300)) }},
		{"link-local prefix", func(b *builder) *builder {
			return b.withPD(0, 0, prefixLease(netip.MustParsePrefix("fe80::/16"), 300, 300))
		}},
		{"multicast prefix", func(b *builder) *builder {
			return b.withPD(0, 0, prefixLease(netip.MustParsePrefix("ff02::/32"), 300, 300))
		}},
		{"prefix of everything", func(b *builder) *builder {
			return b.withPD(0, 0, prefixLease(netip.MustParsePrefix("::/0"), 300, 300))
		}},
		{"IA with a failure", func(b *builder) *builder {
			b.pd(ia{id: 7, status: statusNoPrefixAvail, leases: []leased{prefixLease(pd56, 300, 300)}}, "")
			return b
		}},
		{"another IA", func(b *builder) *builder {
			b.pd(ia{id: 8, leases: []leased{prefixLease(pd56, 300, 300)}}, "")
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, ClientConfig{RapidCommit: true}, 3)
			d.start(Mode{Prefixes: true})
			if err := d.deliver(c.b(from(serverID, advertise, d.next()))); err != DropNothing {
				t.Errorf("advertise: %v", err)
			}
			b := c.b(from(serverID, reply, d.last()))
			b.option(dhcpv6.OptionRapidCommit, nil)
			d.give(b)
			if l := d.c.Lease(); !l.empty() {
				t.Errorf("leased %+v", l)
			}
		})
	}
}

// TestSelection: which Advertise is taken.
func TestSelection(t *testing.T) {
	type ad struct {
		server     DUID
		preference byte
		na, pd     bool
	}
	for _, c := range []struct {
		name string
		ads  []ad
		want DUID
	}{
		{"the first of equals", []ad{{serverID, 0, true, true}, {otherID, 0, true, true}}, serverID},
		{"preference", []ad{{serverID, 1, true, true}, {otherID, 2, true, true}}, otherID},
		{"more leases before preference", []ad{{serverID, 9, true, false}, {otherID, 2, true, true}}, otherID},
		{"none without leases", []ad{{serverID, 9, false, false}, {otherID, 2, false, true}}, otherID},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, ClientConfig{}, 3)
			s := d.start(bothModes).next()
			for _, a := range c.ads {
				b := from(a.server, advertise, s)
				b.option(dhcpv6.OptionPreference, []byte{a.preference})
				d.full(b, Mode{Addresses: a.na, Prefixes: a.pd})
				if err := d.deliver(b); (err != nil) != (!a.na && !a.pd) {
					t.Fatal(err)
				}
			}
			if m := d.expect(request); m.server != c.want {
				t.Errorf("requested of %s, want %s", m.server, c.want)
			}
		})
	}
}

// TestMaxRT: the option counts in its range only, also in an Advertise that gives nothing.
func TestMaxRT(t *testing.T) {
	for _, c := range []struct {
		v    uint32
		want time.Duration
	}{{59, solMaxRT}, {60, 60 * second}, {86400, 86400 * second}, {86401, solMaxRT}, {0, solMaxRT}} {
		d := newDesk(t, ClientConfig{}, 3)
		b := from(serverID, advertise, d.start(Mode{Prefixes: true}).next())
		b.u32(dhcpv6.OptionSolMaxRT, c.v)
		if err := d.deliver(b); err != DropNothing {
			t.Fatal(err)
		}
		var wait time.Duration
		for range 30 {
			at := d.now
			d.expect(solicit)
			wait = d.now.Sub(at)
		}
		if wait < c.want*9/10 || wait > c.want*11/10 {
			t.Errorf("SOL_MAX_RT %d: solicits %v apart, want %v", c.v, wait, c.want)
		}
	}
}

// TestInformationRefresh: when stateless configuration is asked for again.
func TestInformationRefresh(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(b *builder)
		want time.Duration // 0: never
	}{
		{"not said", func(*builder) {}, 86400 * second},
		{"said", func(b *builder) { b.u32(dhcpv6.OptionInformationRefreshTime, 7200) }, 7200 * second},
		{"too short", func(b *builder) { b.u32(dhcpv6.OptionInformationRefreshTime, 10) }, 600 * second},
		{"never", func(b *builder) { b.u32(dhcpv6.OptionInformationRefreshTime, infinity) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, ClientConfig{}, 3)
			b := from(serverID, reply, d.start(Mode{Information: true}).next())
			b.addrs(dhcpv6.OptionDNSRecursiveNameServer, []netip.Addr{resolver})
			b.domains([]string{"example.com"})
			b.ntp([]netip.Addr{address}, []string{"ntp.example.com"})
			c.set(b)
			d.give(b)
			l := d.leases[len(d.leases)-1]
			if !slices.Equal(l.DNS, []netip.Addr{resolver}) || !slices.Equal(l.Domains, []string{"example.com"}) ||
				!slices.Equal(l.NTP, []netip.Addr{address}) || !slices.Equal(l.NTPNames, []string{"ntp.example.com"}) {
				t.Errorf("told %+v", l)
			}
			if c.want == 0 {
				if at := d.c.Deadline(); !at.IsZero() {
					t.Errorf("asks again at %v", at)
				}
				return
			}
			at := d.now
			d.expect(inforeq)
			if w := d.now.Sub(at); w < c.want || w > c.want+infMaxDelay {
				t.Errorf("asked again after %v, want %v", w, c.want)
			}
		})
	}
}

// TestRestart: a lease outlives its client, through JSON.
func TestRestart(t *testing.T) {
	d := newDesk(t, ClientConfig{}, 1).bind(bothModes)
	raw, err := json.Marshal(d.c.Record())
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  dhcpv6.MessageType
		told  int
	}{{500 * second, rebind, 1}, {2999 * second, rebind, 1}, {3001 * second, solicit, 0}} {
		e := newDesk(t, ClientConfig{}, 2)
		e.now = epoch.Add(c.after)
		e.c.Restore(e.now, r)
		if len(e.leases) != c.told {
			t.Errorf("%v: told %d times, want %d", c.after, len(e.leases), c.told)
		}
		e.start(bothModes)
		e.expect(c.want)
	}
}

// TestExpiryToTheSecond: each lifetime ends when it was said to, and is told.
func TestExpiryToTheSecond(t *testing.T) {
	d := newDesk(t, ClientConfig{}, 1).bind(bothModes)
	at := d.now
	d.leases = nil
	d.until(at.Add(2000*second - 1))
	if len(d.leases) != 0 {
		t.Fatalf("told early: %+v", d.leases)
	}
	d.until(at.Add(2000 * second)) // no longer preferred
	if len(d.leases) != 1 || len(d.leases[0].Prefixes) != 1 {
		t.Fatalf("told %+v", d.leases)
	}
	d.until(at.Add(3000*second - 1))
	if len(d.leases) != 1 {
		t.Fatalf("told early: %+v", d.leases)
	}
	d.until(at.Add(3000 * second))
	if l := d.leases[len(d.leases)-1]; !l.empty() {
		t.Fatalf("told %+v", l)
	}
	if s := d.c.Stats(); s.Expired != 2 {
		t.Errorf("expired %d", s.Expired)
	}
}

// TestPersistentRefusal: a server that advertises and then refuses is asked less and less.
func TestPersistentRefusal(t *testing.T) {
	m := Mode{Prefixes: true}
	d := newDesk(t, ClientConfig{}, 1).start(m)
	for d.now.Before(epoch.Add(24 * time.Hour)) {
		switch s := d.next(); s.typ {
		case solicit:
			b := d.full(from(serverID, advertise, s), m)
			b.option(dhcpv6.OptionPreference, []byte{255})
			d.give(b)
			b = from(serverID, reply, d.last())
			b.pd(ia{id: 7, status: statusNoPrefixAvail}, "")
			d.give(b)
		default:
			t.Fatalf("sent %s", s.typ)
		}
	}
	if n := d.c.Stats().Failures; n > 40 || n < 20 {
		t.Errorf("%d tries in a day", n)
	}
}
