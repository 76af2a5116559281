package nd

import (
	"encoding/binary"
	"net/netip"
)

// MaxServers is how many addresses an [RDNSS] holds; further ones are left out.
const MaxServers = 8

// An RDNSS is a Recursive DNS Server option (RFC 8106 section 5.1).
type RDNSS struct {
	Lifetime uint32 // seconds, [Infinity] for ever, 0 withdraws
	Servers  [MaxServers]netip.Addr
	N        int // how many of Servers are set
}

// ParseRDNSS decodes an RDNSS option. It reports false for an option to be ignored: one
// without a server, or with a part of one.
func ParseRDNSS(o Option) (r RDNSS, ok bool) {
	if o.Type != OptionRDNSS || len(o.Data) < 22 || (len(o.Data)-6)%16 != 0 {
		return r, false
	}
	r.Lifetime = binary.BigEndian.Uint32(o.Data[2:])
	for d := o.Data[6:]; len(d) >= 16 && r.N < MaxServers; d = d[16:] {
		r.Servers[r.N] = netip.AddrFrom16([16]byte(d))
		r.N++
	}
	return r, true
}

// AppendRDNSS appends an RDNSS option, 8 bytes and 16 a server, to b; nothing for no
// server. lifetime is in seconds.
func AppendRDNSS(b []byte, lifetime uint32, servers []netip.Addr) []byte {
	if len(servers) == 0 {
		return b
	}
	servers = servers[:min(len(servers), MaxServers)]
	b = append(b, OptionRDNSS, uint8(1+2*len(servers)), 0, 0)
	b = binary.BigEndian.AppendUint32(b, lifetime)
	for _, s := range servers {
		a := s.As16()
		b = append(b, a[:]...)
	}
	return b
}
