package config

import (
	"errors"
	"strings"

	"border-router/ipv6"
)

// A SleepPeer says of a neighbor whether it sleeps, which is not learnt then:
// "EUI64=always" or "EUI64=never".
type SleepPeer struct {
	Addr   ipv6.LinkAddr // EUI-64
	Always bool          // else never
}

// String returns the form that UnmarshalText reads.
func (p SleepPeer) String() string {
	if p.Always {
		return p.Addr.String() + "=always"
	}
	return p.Addr.String() + "=never"
}

// MarshalText returns the form that UnmarshalText reads.
func (p SleepPeer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads EUI64=always or EUI64=never.
func (p *SleepPeer) UnmarshalText(b []byte) error {
	addr, mode, _ := strings.Cut(string(b), "=")
	a, err := ipv6.ParseLinkAddr(addr)
	if err != nil || a.Len() != 8 || mode != "always" && mode != "never" {
		return errors.New(`want EUI64=always or EUI64=never, such as "02:12:4b:00:14:b5:d9:13=always"`)
	}
	*p = SleepPeer{Addr: a, Always: mode == "always"}
	return nil
}
