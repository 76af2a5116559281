package dhcp6

import (
	"net/netip"
	"slices"
	"time"
)

// An Address is an address that the server leased.
type Address struct {
	Addr      netip.Addr `json:"addr"`
	Preferred time.Time  `json:"preferred,omitzero"` // until when it is preferred; the zero Time: for good
	Valid     time.Time  `json:"valid,omitzero"`     // until when it may be used; the zero Time: for good
}

// A Prefix is a prefix that the server delegated.
type Prefix struct {
	Prefix    netip.Prefix `json:"prefix"`
	Exclude   netip.Prefix `json:"exclude,omitzero"`   // part of Prefix that is not ours (RFC 6603); zero: none
	Preferred time.Time    `json:"preferred,omitzero"` // until when it is preferred; the zero Time: for good
	Valid     time.Time    `json:"valid,omitzero"`     // until when it may be used; the zero Time: for good
}

// A Lease is what a client got from its server. The slices are the receiver's to keep, not
// to change.
type Lease struct {
	Server    DUID         `json:"server,omitempty"`
	Addresses []Address    `json:"addresses,omitempty"`
	Prefixes  []Prefix     `json:"prefixes,omitempty"`
	DNS       []netip.Addr `json:"dns,omitempty"`
	Domains   []string     `json:"domains,omitempty"` // search list
	SNTP      []netip.Addr `json:"sntp,omitempty"`
	NTP       []netip.Addr `json:"ntp,omitempty"`
	NTPNames  []string     `json:"ntp_names,omitempty"`
	T1        time.Time    `json:"t1,omitzero"` // when it is renewed; the zero Time: never
	T2        time.Time    `json:"t2,omitzero"` // when it is taken to any server; the zero Time: never
}

// A Record is what a client keeps over a restart: the lease, and what goes with it. It
// marshals to JSON. The reconfigure key in it is a secret shared with the server.
type Record struct {
	Lease    Lease  `json:"lease"`
	SolMaxRT uint32 `json:"sol_max_rt,omitempty"` // seconds, 0: default
	InfMaxRT uint32 `json:"inf_max_rt,omitempty"` // seconds, 0: default
	Key      []byte `json:"reconfigure_key,omitempty"`
	Replay   uint64 `json:"replay,omitempty"` // of the last Reconfigure
}

// after returns the time s seconds from now, the zero Time for infinity.
func after(now time.Time, s uint32) time.Time {
	if s == infinity {
		return time.Time{}
	}
	return now.Add(duration(s))
}

// earlier returns the earlier of two times of which the zero Time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later returns the later of two times of which the zero Time is never.
func later(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if a.Before(b) {
		return b
	}
	return a
}

// due reports whether t is at or before now; the zero Time never is.
func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

func (l *Lease) empty() bool { return len(l.Addresses) == 0 && len(l.Prefixes) == 0 }

// clone returns a copy that shares nothing that is changed later.
func (l *Lease) clone() Lease {
	c := *l
	c.Addresses, c.Prefixes = slices.Clone(l.Addresses), slices.Clone(l.Prefixes)
	return c
}

// expire takes out what is no longer valid and reports whether anything was.
func (l *Lease) expire(now time.Time) bool {
	n := len(l.Addresses) + len(l.Prefixes)
	l.Addresses = slices.DeleteFunc(l.Addresses, func(a Address) bool { return due(a.Valid, now) })
	l.Prefixes = slices.DeleteFunc(l.Prefixes, func(p Prefix) bool { return due(p.Valid, now) })
	return len(l.Addresses)+len(l.Prefixes) != n
}

// next returns the first time after now at which something ends to be preferred or valid.
func (l *Lease) next(now time.Time) (t time.Time) {
	for _, a := range l.Addresses {
		if a.Preferred.After(now) {
			t = earlier(t, a.Preferred)
		}
		t = earlier(t, a.Valid)
	}
	for _, p := range l.Prefixes {
		if p.Preferred.After(now) {
			t = earlier(t, p.Preferred)
		}
		t = earlier(t, p.Valid)
	}
	return t
}

// last returns when the last address or prefix ends to be valid.
func (l *Lease) last() time.Time {
	t := time.Unix(0, 0)
	for _, a := range l.Addresses {
		t = later(t, a.Valid)
	}
	for _, p := range l.Prefixes {
		t = later(t, p.Valid)
	}
	return t
}

// usableAddr reports whether a server may lease a: it can be the address of an interface
// beyond the link.
func usableAddr(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.IsLoopback() && !a.Is4In6()
}

// usablePrefix reports whether a server may delegate p.
func usablePrefix(p netip.Prefix) bool {
	return p.Bits() > 0 && usableAddr(p.Addr()) && !netip.MustParsePrefix("ff00::/8").Overlaps(p) &&
		!netip.MustParsePrefix("fe80::/10").Overlaps(p)
}
