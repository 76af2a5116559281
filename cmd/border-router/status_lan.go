package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"border-router/internal/api"
)

// printLAN writes what status knows of the LAN beside its port's counters.
func printLAN(w io.Writer, l *api.LAN) {
	fmt.Fprintf(w, "\nLAN: %s, %s, lladdr %s, %d neighbors", l.Interface, l.State, l.LinkAddr, l.Neighbors)
	if l.Reopened > 0 {
		fmt.Fprintf(w, ", came back %d times", l.Reopened)
	}
	fmt.Fprintln(w)
	if l.Reason != "" {
		fmt.Fprintf(w, "  %s\n", l.Reason)
	}
	name := func(s string) func() string { // only on the first line
		return func() (v string) { v, s = s, ""; return v }
	}
	of := name("addresses")
	for _, a := range l.Addresses {
		fmt.Fprintf(w, "  %-10s %s, %s%s, by %s\n", of(), a.Addr, a.State, lifetime(a.Valid), a.Source)
	}
	of = name("on link")
	for _, p := range l.Prefixes {
		source := "advertised by another router"
		if p.Source == "offered" {
			source = "offered by us"
		}
		fmt.Fprintf(w, "  %-10s %s, %s\n", of(), p.Prefix, source)
	}
	of = name("routes")
	for _, r := range l.Routes {
		selected := ""
		if !r.Selected {
			selected = ", not used"
		}
		prefix := r.Prefix.String()
		if r.Prefix.Bits() == 0 {
			prefix = "default"
		}
		fmt.Fprintf(w, "  %-10s %s by %s, preference %s%s%s\n", of(), prefix, r.NextHop, r.Preference, lifetime(r.Expires), selected)
	}
	of = name("announced")
	for _, a := range l.Advertised {
		ending := ""
		if a.State != "announced" {
			ending = ", " + a.State
		}
		fmt.Fprintf(w, "  %-10s %s %s%s\n", of(), a.Kind, a.Prefix, ending)
	}
	if len(l.DNS) > 0 {
		fmt.Fprintf(w, "  %-10s %s\n", "dns", strings.TrimPrefix(addresses(l.DNS)+", "+strings.Join(l.Search, ", "), ", "))
	}
	if len(l.NAT64) > 0 {
		fmt.Fprintf(w, "  %-10s %v\n", "nat64", l.NAT64)
	}
	querier := "there is no querier"
	if l.MLD.Querier {
		querier = "we are the querier"
	} else if l.MLD.Other.IsValid() {
		querier = "querier " + l.MLD.Other.String()
	}
	fmt.Fprintf(w, "  %-10s %s, %s, for nodes %s\n", "mld", querier, some(len(l.MLD.Groups), "group with listeners", "groups with listeners"), groups(l.MLD.Proxied))
	if d := l.DHCP; d != nil {
		fmt.Fprintf(w, "  %-10s %s", "dhcp", d.State)
		for _, p := range d.Prefixes {
			fmt.Fprintf(w, ", prefix %s%s", p.Prefix, lifetime(p.Valid))
		}
		for _, a := range d.Addresses {
			fmt.Fprintf(w, ", address %s%s", a.Prefix.Addr(), lifetime(a.Valid))
		}
		if d.Renew != nil {
			fmt.Fprintf(w, ", renewed in %s", seconds(*d.Renew))
		}
		if d.Reason != "" {
			fmt.Fprintf(w, ": %s", d.Reason)
		}
		fmt.Fprintln(w)
	}
}

// lifetime writes what is left of one, after a comma; nothing where there is no end.
func lifetime(s *float64) string {
	if s == nil {
		return ""
	}
	return ", " + seconds(*s) + " left"
}

func some(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + more
}

func groups(list []netip.Addr) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.TrimPrefix(addresses(list), ", ")
}

// printFilter writes the rules of the packet filter with their counters.
func printFilter(w io.Writer, f *api.Filter) {
	fmt.Fprintf(w, "\npacket filter: what no rule matches is %s\n", map[string]string{"accept": "accepted", "drop": "dropped", "reject": "rejected"}[f.Default])
	t := table{header: []string{"RULE", "PACKETS", "BYTES", ""}, right: numbers(1, 2)}
	for _, r := range f.Rules {
		t.row(r.Name, strconv.FormatUint(r.Packets, 10), strconv.FormatUint(r.Bytes, 10), r.Rule)
	}
	t.row("-", strconv.FormatUint(f.Unmatched, 10), "-", "not matched")
	t.print(w, "")
}
