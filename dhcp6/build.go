package dhcp6

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A builder puts a message together.
type builder struct{ dhcpv6.Message }

func newMessage(typ dhcpv6.MessageType, xid dhcpv6.TransactionID) *builder {
	return &builder{dhcpv6.Message{MessageType: typ, TransactionID: xid}}
}

// option adds an option with these bytes.
func (b *builder) option(code dhcpv6.OptionCode, data []byte) {
	b.AddOption(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: data})
}

func (b *builder) duid(code dhcpv6.OptionCode, d DUID) {
	if d != "" {
		b.option(code, []byte(d))
	}
}

func (b *builder) u32(code dhcpv6.OptionCode, v uint32) {
	b.option(code, binary.BigEndian.AppendUint32(nil, v))
}

func (b *builder) elapsed(d time.Duration) {
	b.AddOption(dhcpv6.OptElapsedTime(min(max(d, 0), maxElapsed)))
}

func (b *builder) status(code uint16, text string) { b.AddOption(statusOption(code, text)) }

func statusOption(code uint16, text string) dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionStatusCode,
		OptionData: append(binary.BigEndian.AppendUint16(nil, code), text...)}
}

func (b *builder) addrs(code dhcpv6.OptionCode, list []netip.Addr) {
	var data []byte
	for _, a := range list {
		data = append(data, a.AsSlice()...)
	}
	if len(data) > 0 {
		b.option(code, data)
	}
}

func (b *builder) domains(list []string) {
	var data []byte
	for _, d := range list {
		data, _ = appendDomain(data, d)
	}
	if len(data) > 0 {
		b.option(dhcpv6.OptionDomainSearchList, data)
	}
}

// ntp adds the servers in one option each, as RFC 5908 section 4 has it.
func (b *builder) ntp(list []netip.Addr, names []string) {
	for _, a := range list {
		b.option(dhcpv6.OptionNTPServer, append([]byte{0, 1, 0, 16}, a.AsSlice()...))
	}
	for _, n := range names {
		if d, ok := appendDomain(nil, n); ok {
			b.option(dhcpv6.OptionNTPServer, append([]byte{0, 3, 0, byte(len(d))}, d...))
		}
	}
}

// na and pd add an IA. A status other than success goes inside it.
func (b *builder) na(x ia, text string) {
	o := &dhcpv6.OptIANA{T1: duration(x.t1), T2: duration(x.t2)}
	binary.BigEndian.PutUint32(o.IaId[:], x.id)
	for _, l := range x.leases {
		a := &dhcpv6.OptIAAddress{IPv6Addr: net.IP(l.prefix.Addr().AsSlice()), PreferredLifetime: duration(l.preferred), ValidLifetime: duration(l.valid)}
		o.Options.Add(a)
	}
	if x.status != statusSuccess {
		o.Options.Add(statusOption(x.status, text))
	}
	b.AddOption(o)
}

func (b *builder) pd(x ia, text string) {
	o := &dhcpv6.OptIAPD{T1: duration(x.t1), T2: duration(x.t2)}
	binary.BigEndian.PutUint32(o.IaId[:], x.id)
	for _, l := range x.leases {
		p := &dhcpv6.OptIAPrefix{PreferredLifetime: duration(l.preferred), ValidLifetime: duration(l.valid),
			Prefix: &net.IPNet{IP: net.IP(l.prefix.Addr().AsSlice()), Mask: net.CIDRMask(l.prefix.Bits(), 128)}}
		if l.exclude.IsValid() {
			p.Options.Add(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionPDExclude, OptionData: appendExclude(nil, l.prefix, l.exclude)})
		}
		o.Options.Add(p)
	}
	if x.status != statusSuccess {
		o.Options.Add(statusOption(x.status, text))
	}
	b.AddOption(o)
}

func duration(s uint32) time.Duration { return time.Duration(s) * time.Second }
