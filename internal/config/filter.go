package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"border-router/ipv6"
	"border-router/router"
)

// A FilterRule is one rule of the packet filter, in the words
//
//	ACTION [in PORT,...] [out PORT,...] [from PREFIX,...] [to PREFIX,...]
//	       [proto tcp|udp|icmpv6|NUMBER] [sport N|N-M,...] [dport N|N-M,...] [type N,...] [name TEXT]
//
// with the actions accept, drop and reject. PORT is a port of the router by its name or
// kind (mesh, lan, host). "drop in lan proto tcp dport 22-23" is a rule.
type FilterRule router.Rule

// UnmarshalText reads a rule.
func (f *FilterRule) UnmarshalText(b []byte) error {
	const want = `want ACTION and conditions, such as "drop in lan proto tcp dport 22-23 to fd00::/8"`
	words := strings.Fields(string(b))
	if len(words)%2 != 1 {
		return errors.New(want)
	}
	var r FilterRule
	var a FilterAction
	if err := a.UnmarshalText([]byte(words[0])); err != nil {
		return fmt.Errorf("%q: %w", words[0], err)
	}
	r.Action = router.Action(a)
	seen := map[string]bool{}
	for i := 1; i < len(words); i += 2 {
		key, value := words[i], words[i+1]
		if seen[key] {
			return fmt.Errorf("%q stands there twice; give its values with commas", key)
		}
		seen[key] = true
		if err := r.set(key, value); err != nil {
			return fmt.Errorf("%s %s: %w", key, value, err)
		}
	}
	// The router knows what fits together.
	if err := router.New(router.Config{}).SetRules([]router.Rule{router.Rule(r)}, router.Accept); err != nil {
		_, text, _ := strings.Cut(err.Error(), ": ")
		return errors.New(text)
	}
	*f = r
	return nil
}

func (f *FilterRule) set(key, value string) (err error) {
	list := strings.Split(value, ",")
	switch key {
	case "name":
		f.Name = value
	case "in":
		f.In = list
	case "out":
		f.Out = list
	case "from":
		f.Src, err = parsePrefixes(list)
	case "to":
		f.Dst, err = parsePrefixes(list)
	case "proto":
		f.Protocol, err = parseProtocol(value)
	case "sport":
		f.SrcPorts, err = parsePorts(list)
	case "dport":
		f.DstPorts, err = parsePorts(list)
	case "type":
		for _, s := range list {
			n, err := strconv.ParseUint(s, 10, 8)
			if err != nil {
				return errors.New("want ICMPv6 types from 0 to 255")
			}
			f.ICMP = append(f.ICMP, uint8(n))
		}
	default:
		return errors.New("want in, out, from, to, proto, sport, dport, type or name")
	}
	return err
}

func parsePrefixes(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); e == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, 128), nil
		}
		if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() {
			return nil, errors.New("want IPv6 prefixes or addresses")
		}
		out = append(out, p)
	}
	return out, nil
}

var protocols = map[string]uint8{"tcp": ipv6.ProtoTCP, "udp": ipv6.ProtoUDP, "icmpv6": ipv6.ProtoICMPv6}

func parseProtocol(s string) (uint8, error) {
	if n, ok := protocols[s]; ok {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n == 0 {
		return 0, errors.New("want tcp, udp, icmpv6 or a protocol number from 1 to 255")
	}
	return uint8(n), nil
}

func parsePorts(list []string) (out []router.PortRange, err error) {
	for _, s := range list {
		first, last, ranged := strings.Cut(s, "-")
		if !ranged {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil {
			return nil, errors.New("want port numbers from 0 to 65535, or ranges such as 8000-8080")
		}
		out = append(out, router.PortRange{First: uint16(a), Last: uint16(b)})
	}
	return out, nil
}

// String returns the rule as UnmarshalText reads it.
func (f FilterRule) String() string {
	words := []string{router.Action(f.Action).String()}
	add := func(key string, values []string) {
		if len(values) > 0 {
			words = append(words, key, strings.Join(values, ","))
		}
	}
	add("in", f.In)
	add("out", f.Out)
	add("from", texts(f.Src))
	add("to", texts(f.Dst))
	if f.Protocol != 0 {
		name := strconv.Itoa(int(f.Protocol))
		for s, n := range protocols {
			if n == f.Protocol {
				name = s
			}
		}
		add("proto", []string{name})
	}
	add("sport", portTexts(f.SrcPorts))
	add("dport", portTexts(f.DstPorts))
	types := make([]string, len(f.ICMP))
	for i, n := range f.ICMP {
		types[i] = strconv.Itoa(int(n))
	}
	add("type", types)
	if f.Name != "" {
		add("name", []string{f.Name})
	}
	return strings.Join(words, " ")
}

func texts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func portTexts(list []router.PortRange) (out []string) {
	for _, r := range list {
		s := strconv.Itoa(int(r.First))
		if r.Last != r.First {
			s += "-" + strconv.Itoa(int(r.Last))
		}
		out = append(out, s)
	}
	return out
}

// MarshalText returns the rule as UnmarshalText reads it.
func (f FilterRule) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// A FilterAction is what happens to packets: accept, drop or reject.
type FilterAction router.Action

var filterActions = []router.Action{router.Accept, router.Discard, router.Reject}

// String returns the name.
func (a FilterAction) String() string { return router.Action(a).String() }

// MarshalText returns the name.
func (a FilterAction) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the name.
func (a *FilterAction) UnmarshalText(b []byte) error {
	i := slices.IndexFunc(filterActions, func(x router.Action) bool { return x.String() == string(b) })
	if i < 0 {
		return errors.New(`want "accept", "drop" or "reject"`)
	}
	*a = FilterAction(filterActions[i])
	return nil
}
