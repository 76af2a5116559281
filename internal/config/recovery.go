package config

import (
	"errors"

	"border-router/ipv6"
)

// A RecoveryPeer is a neighbor that is sent fragments that can be recovered (RFC 8931): "all"
// of them, or the one with an EUI-64.
type RecoveryPeer struct {
	All  bool
	Addr ipv6.LinkAddr // EUI-64, where not All
}

// String returns "all" or the EUI-64.
func (r RecoveryPeer) String() string {
	if r.All {
		return "all"
	}
	return r.Addr.String()
}

// MarshalText returns "all" or the EUI-64.
func (r RecoveryPeer) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "all" or an EUI-64.
func (r *RecoveryPeer) UnmarshalText(b []byte) error {
	if string(b) == "all" {
		*r = RecoveryPeer{All: true}
		return nil
	}
	a, err := ipv6.ParseLinkAddr(string(b))
	if err != nil || a.Len() != 8 {
		return errors.New(`want "all" or the EUI-64 of a neighbor, such as "02:12:4b:00:14:b5:d9:13"`)
	}
	*r = RecoveryPeer{Addr: a}
	return nil
}
