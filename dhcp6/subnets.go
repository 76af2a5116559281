package dhcp6

import (
	"net/netip"
	"slices"
)

// A Subnet is the /64 of one port out of a delegated prefix.
type Subnet struct {
	Port   uint16       // the number of the port
	Prefix netip.Prefix // a /64
	From   Prefix       // the delegated prefix that it is part of, with its lifetimes
}

// A Shortage says why a port gets nothing out of a delegated prefix.
type Shortage struct {
	Port   uint16
	From   netip.Prefix
	Reason string // for an operator to read
}

// subnetBits is the length of the prefix of a link with autoconfiguration (RFC 4291
// section 2.5.1).
const subnetBits = 64

// Subnets allots a /64 out of each delegated prefix to each port. A port is known by a
// number that the owner keeps for it: the same numbers get the same subnets of the same
// prefix, whatever ports come and go, as long as there are as many /64s as the largest
// number. Where numbers collide (there are fewer /64s), those ports named first in ports
// win, and the others get what is left or nothing. What is excluded (RFC 6603) is never
// allotted. What the ports leave over must not be routed back: the owner makes the
// delegated prefixes unreachable.
func Subnets(delegated []Prefix, ports []uint16) (subnets []Subnet, short []Shortage) {
	for _, d := range delegated {
		bits := subnetBits - d.Prefix.Bits()
		if bits < 0 || !d.Prefix.Addr().Is6() {
			for _, p := range ports {
				short = append(short, Shortage{p, d.Prefix, "the prefix is longer than /64"})
			}
			continue
		}
		count := uint64(1) << min(bits, 17) // more than there are port numbers
		var taken []uint64
		free := func(i uint64) bool {
			return !slices.Contains(taken, i) && !(d.Exclude.IsValid() && d.Exclude.Overlaps(subnet(d.Prefix, i)))
		}
		// First those that get the subnet of their number, so that no port that stands in
		// loses its own to one that looks for what is left.
		place := make(map[uint16]uint64, len(ports))
		for _, p := range ports {
			if i := uint64(p); i < count && free(i) {
				place[p] = i
				taken = append(taken, i)
			}
		}
		for _, p := range ports {
			i, ok := place[p]
			for n := uint64(0); !ok && n < min(count, uint64(len(ports))+maxExcluded); n++ {
				if i = (uint64(p) + n) % count; free(i) {
					ok = true
					taken = append(taken, i)
				}
			}
			if !ok {
				short = append(short, Shortage{p, d.Prefix, "no /64 is left in the prefix"})
				continue
			}
			subnets = append(subnets, Subnet{p, subnet(d.Prefix, i), d})
		}
	}
	return subnets, short
}

// maxExcluded is how many excluded /64s are looked past for a port: an exclusion is
// usually one.
const maxExcluded = 1 << 16

// subnet returns the /64 number i of a prefix.
func subnet(p netip.Prefix, i uint64) netip.Prefix {
	a := p.Masked().Addr().As16()
	for k := 7; k >= 0 && i > 0; k-- {
		sum := uint64(a[k]) + i&0xff
		a[k] = byte(sum)
		i = i>>8 + sum>>8
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), subnetBits)
}
