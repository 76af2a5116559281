package dhcp6

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Bounds of a message that is taken. What is beyond the first of them in a list is left
// out; beyond the number of options or bytes, the message is dropped.
const (
	MaxMessage = 4096 // bytes of a message with all relay headers around it

	maxOptions = 128 // in a message, with those inside others
	maxIAs     = 8   // of each kind
	maxLeases  = 16  // addresses or prefixes of one IA
	maxServers = 8   // addresses of DNS, SNTP or NTP servers
	maxDomains = 8   // of a search list
	maxName    = 255 // bytes of a domain name on the wire (RFC 1035 section 2.3.4)
)

// Statuses (RFC 8415 section 21.13).
const (
	statusSuccess       = 0
	statusUnspecFail    = 1
	statusNoAddrsAvail  = 2
	statusNoBinding     = 3
	statusNotOnLink     = 4
	statusUseMulticast  = 5
	statusNoPrefixAvail = 6
)

// infinity is the lifetime or time that never ends (RFC 8415 section 7.7).
const infinity = 0xffffffff

// maxElapsed is the largest Elapsed Time (RFC 8415 section 21.9).
const maxElapsed = 0xffff * 10 * time.Millisecond

// A message is a client or server message, with what this package reads of its options.
type message struct {
	typ            dhcpv6.MessageType
	xid            dhcpv6.TransactionID
	client, server DUID

	nas, pds    []ia
	oro         []dhcpv6.OptionCode
	hasORO      bool
	rapid       bool
	preference  uint8
	status      uint16
	hasStatus   bool
	dns         []netip.Addr
	domains     []string
	sntp        []netip.Addr
	ntp         []netip.Addr
	ntpNames    []string
	refresh     uint32 // seconds
	hasRefresh  bool
	solMaxRT    uint32 // seconds, 0: not there
	infMaxRT    uint32
	auth        []byte // the data of the Authentication option
	reconfigure uint8  // message type to answer a Reconfigure with
	accept      bool   // Reconfigure Accept
}

// An ia is an IA_NA or IA_PD option.
type ia struct {
	id     uint32
	t1, t2 uint32 // seconds
	status uint16
	leases []leased
}

// A leased is an IA Address (a /128) or an IA Prefix option.
type leased struct {
	prefix           netip.Prefix
	preferred, valid uint32 // seconds
	exclude          netip.Prefix
	status           uint16
}

// wants reports whether the client asked for an option. A message without an Option
// Request asks for everything.
func (m *message) wants(code dhcpv6.OptionCode) bool {
	return !m.hasORO || slices.Contains(m.oro, code)
}

// parse decodes a message that is not a relay's. The error is a [Drop]; nothing aliases b.
func parse(b []byte) (*message, error) {
	if len(b) < dhcpv6.MessageHeaderSize {
		return nil, DropTruncated
	}
	if len(b) > MaxMessage {
		return nil, DropTooLong
	}
	m := &message{typ: dhcpv6.MessageType(b[0])}
	if m.typ == dhcpv6.MessageTypeRelayForward || m.typ == dhcpv6.MessageTypeRelayReply {
		return nil, DropType
	}
	copy(m.xid[:], b[1:4])
	p := parser{left: maxOptions}
	opts, err := p.options(bytes.Clone(b[4:]), p.top)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		m.add(o)
	}
	return m, nil
}

// A parser checks each option before the library decodes it: that one takes a message of
// any depth and length, and gives up a message for an option that nobody needs.
type parser struct{ left int }

func (p *parser) options(b []byte, f dhcpv6.OptionParser) (dhcpv6.Options, error) {
	var opts dhcpv6.Options
	if err := opts.FromBytesWithParser(b, f); err != nil {
		var d Drop
		if errors.As(err, &d) {
			return nil, d
		}
		return nil, DropOptions
	}
	return opts, nil
}

func (p *parser) count() error {
	if p.left--; p.left < 0 {
		return DropTooMany
	}
	return nil
}

// top decodes an option of the message itself.
func (p *parser) top(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	switch code {
	case dhcpv6.OptionClientID, dhcpv6.OptionServerID:
		if !DUID(data).Valid() {
			return nil, DropOptions
		}
	case dhcpv6.OptionIANA:
		if len(data) < 12 {
			return nil, DropOptions
		}
		sub, err := p.options(data[12:], p.inIA)
		o := &dhcpv6.OptIANA{T1: seconds(data[4:]), T2: seconds(data[8:]), Options: dhcpv6.IdentityOptions{Options: sub}}
		copy(o.IaId[:], data)
		return o, err
	case dhcpv6.OptionIAPD:
		if len(data) < 12 {
			return nil, DropOptions
		}
		sub, err := p.options(data[12:], p.inIA)
		o := &dhcpv6.OptIAPD{T1: seconds(data[4:]), T2: seconds(data[8:]), Options: dhcpv6.PDOptions{Options: sub}}
		copy(o.IaId[:], data)
		return o, err
	case dhcpv6.OptionORO:
		if len(data)%2 != 0 {
			return nil, DropOptions
		}
		return dhcpv6.ParseOption(code, data)
	case dhcpv6.OptionStatusCode:
		if len(data) < 2 {
			return nil, DropOptions
		}
		return dhcpv6.ParseOption(code, data)
	}
	return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: data}, nil
}

// inIA decodes an option inside an IA_NA or IA_PD.
func (p *parser) inIA(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	switch code {
	case dhcpv6.OptionIAAddr:
		if len(data) < 24 {
			return nil, DropOptions
		}
		sub, err := p.options(data[24:], p.inLease)
		return &dhcpv6.OptIAAddress{IPv6Addr: data[:16], PreferredLifetime: seconds(data[16:]),
			ValidLifetime: seconds(data[20:]), Options: dhcpv6.AddressOptions{Options: sub}}, err
	case dhcpv6.OptionIAPrefix:
		if len(data) < 25 || data[8] > 128 {
			return nil, DropOptions
		}
		sub, err := p.options(data[25:], p.inLease)
		if err != nil {
			return nil, err
		}
		o := &dhcpv6.OptIAPrefix{}
		if err := o.FromBytes(data[:25]); err != nil {
			return nil, DropOptions
		}
		o.Options = dhcpv6.PrefixOptions{Options: sub}
		return o, nil
	}
	return p.inLease1(code, data)
}

// inLease decodes an option inside an IA Address or IA Prefix.
func (p *parser) inLease(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
	if err := p.count(); err != nil {
		return nil, err
	}
	return p.inLease1(code, data)
}

func (p *parser) inLease1(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
	if code == dhcpv6.OptionStatusCode {
		if len(data) < 2 {
			return nil, DropOptions
		}
		return dhcpv6.ParseOption(code, data)
	}
	return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: data}, nil
}

func seconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}

// add takes over what is read of an option. Of an option that may be there once, the
// first counts; one that is wrong in itself counts as not there.
func (m *message) add(o dhcpv6.Option) {
	switch o := o.(type) {
	case *dhcpv6.OptIANA:
		if len(m.nas) < maxIAs {
			x := ia{id: binary.BigEndian.Uint32(o.IaId[:]), t1: secs(o.T1), t2: secs(o.T2)}
			x.add(o.Options.Options, dhcpv6.OptionIAAddr)
			m.nas = append(m.nas, x)
		}
		return
	case *dhcpv6.OptIAPD:
		if len(m.pds) < maxIAs {
			x := ia{id: binary.BigEndian.Uint32(o.IaId[:]), t1: secs(o.T1), t2: secs(o.T2)}
			x.add(o.Options.Options, dhcpv6.OptionIAPrefix)
			m.pds = append(m.pds, x)
		}
		return
	case *dhcpv6.OptStatusCode:
		if !m.hasStatus {
			m.status, m.hasStatus = uint16(o.StatusCode), true
		}
		return
	case *dhcpv6.OptionGeneric:
	default:
		if o.Code() == dhcpv6.OptionORO {
			m.hasORO = true
			for b := o.ToBytes(); len(b) >= 2; b = b[2:] {
				m.oro = append(m.oro, dhcpv6.OptionCode(binary.BigEndian.Uint16(b)))
			}
		}
		return
	}
	data := o.ToBytes()
	switch o.Code() {
	case dhcpv6.OptionClientID:
		if m.client == "" {
			m.client = DUID(data)
		}
	case dhcpv6.OptionServerID:
		if m.server == "" {
			m.server = DUID(data)
		}
	case dhcpv6.OptionPreference:
		if len(data) == 1 {
			m.preference = data[0]
		}
	case dhcpv6.OptionRapidCommit:
		m.rapid = true
	case dhcpv6.OptionReconfAccept:
		m.accept = true
	case dhcpv6.OptionReconfMessage:
		if len(data) == 1 {
			m.reconfigure = data[0]
		}
	case dhcpv6.OptionAuth:
		if m.auth == nil {
			m.auth = data
		}
	case dhcpv6.OptionDNSRecursiveNameServer:
		m.dns = appendAddrs(m.dns, data)
	case dhcpv6.OptionSNTPServerList:
		m.sntp = appendAddrs(m.sntp, data)
	case dhcpv6.OptionDomainSearchList:
		if m.domains == nil {
			m.domains, _ = parseDomains(data)
		}
	case dhcpv6.OptionNTPServer:
		m.addNTP(data)
	case dhcpv6.OptionInformationRefreshTime:
		if len(data) == 4 && !m.hasRefresh {
			m.refresh, m.hasRefresh = binary.BigEndian.Uint32(data), true
		}
	case dhcpv6.OptionSolMaxRT:
		if len(data) == 4 {
			m.solMaxRT = binary.BigEndian.Uint32(data)
		}
	case dhcpv6.OptionInfMaxRT:
		if len(data) == 4 {
			m.infMaxRT = binary.BigEndian.Uint32(data)
		}
	}
}

// add takes over the options of an IA: leases of the kind that belongs into it.
func (x *ia) add(opts dhcpv6.Options, kind dhcpv6.OptionCode) {
	for _, o := range opts {
		if o.Code() != kind {
			if s, ok := o.(*dhcpv6.OptStatusCode); ok {
				x.status = uint16(s.StatusCode)
			}
			continue
		}
		if len(x.leases) == maxLeases {
			continue
		}
		switch o := o.(type) {
		case *dhcpv6.OptIAAddress:
			a, _ := netip.AddrFromSlice(o.IPv6Addr)
			x.leases = append(x.leases, leased{prefix: netip.PrefixFrom(a, 128), preferred: secs(o.PreferredLifetime),
				valid: secs(o.ValidLifetime), status: statusOf(o.Options.Options)})
		case *dhcpv6.OptIAPrefix:
			l := leased{preferred: secs(o.PreferredLifetime), valid: secs(o.ValidLifetime), status: statusOf(o.Options.Options)}
			l.prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			if o.Prefix != nil {
				a, _ := netip.AddrFromSlice(o.Prefix.IP)
				n, _ := o.Prefix.Mask.Size()
				l.prefix = netip.PrefixFrom(a, n).Masked()
			}
			if e, ok := o.Options.GetOne(dhcpv6.OptionPDExclude).(*dhcpv6.OptionGeneric); ok {
				l.exclude = parseExclude(l.prefix, e.OptionData)
			}
			x.leases = append(x.leases, l)
		}
	}
}

func secs(d time.Duration) uint32 { return uint32(d / time.Second) }

func statusOf(opts dhcpv6.Options) uint16 {
	if s, ok := opts.GetOne(dhcpv6.OptionStatusCode).(*dhcpv6.OptStatusCode); ok {
		return uint16(s.StatusCode)
	}
	return statusSuccess
}

// appendAddrs appends the unicast addresses of a list option, up to maxServers.
func appendAddrs(list []netip.Addr, data []byte) []netip.Addr {
	if len(data)%16 != 0 {
		return list
	}
	for ; len(data) > 0 && len(list) < maxServers; data = data[16:] {
		a := netip.AddrFrom16([16]byte(data))
		if !a.IsUnspecified() && !a.IsMulticast() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// addNTP takes over the suboptions of an NTP Server option (RFC 5908 section 4).
func (m *message) addNTP(data []byte) {
	for len(data) >= 4 {
		code, n := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
		if data = data[4:]; n > len(data) {
			return
		}
		switch code {
		case 1: // NTP_SUBOPTION_SRV_ADDR
			if n == 16 {
				m.ntp = appendAddrs(m.ntp, data[:16])
			}
		case 3: // NTP_SUBOPTION_SRV_FQDN
			if d, ok := parseDomains(data[:n]); ok && len(d) == 1 && len(m.ntpNames) < maxServers {
				m.ntpNames = append(m.ntpNames, d[0])
			}
		}
		data = data[n:]
	}
}

// parseDomains decodes a list of names (RFC 8415 section 10), which must not be
// compressed. A name with bytes that a shell or resolver file might take for something
// else is not a host's: the list is refused.
func parseDomains(b []byte) (list []string, ok bool) {
	for len(b) > 0 {
		var name []byte
		for size := 1; ; {
			if len(b) == 0 || int(b[0]) > 63 || int(b[0]) >= len(b) {
				return nil, false
			}
			n := int(b[0])
			if n == 0 {
				b = b[1:]
				break
			}
			if size += n + 1; size > maxName {
				return nil, false
			}
			if len(name) > 0 {
				name = append(name, '.')
			}
			for _, c := range b[1 : n+1] {
				if c <= ' ' || c >= 0x7f || c == '.' || c == '\\' {
					return nil, false
				}
				name = append(name, c)
			}
			b = b[n+1:]
		}
		if len(name) > 0 && len(list) < maxDomains {
			list = append(list, string(name))
		}
	}
	return list, true
}

// appendDomain appends a name as labels. ok is false where it is no domain name.
func appendDomain(b []byte, name string) (_ []byte, ok bool) {
	start := len(b)
	for len(name) > 0 {
		label := name
		if i := bytes.IndexByte([]byte(name), '.'); i >= 0 {
			label, name = name[:i], name[i+1:]
		} else {
			name = ""
		}
		if label == "" || len(label) > 63 {
			return b[:start], false
		}
		b = append(append(b, byte(len(label))), label...)
	}
	if len(b) == start || len(b)-start+1 > maxName {
		return b[:start], false
	}
	return append(b, 0), true
}

// parseExclude decodes a Prefix Exclude option (RFC 6603 section 4.2): the bits of the
// excluded prefix after those of the delegated one, left-aligned. The zero Prefix stands
// for none or a wrong one.
func parseExclude(delegated netip.Prefix, data []byte) netip.Prefix {
	if len(data) < 2 {
		return netip.Prefix{}
	}
	n, p := int(data[0]), delegated.Bits()
	if n <= p || n > 128 || len(data)-1 != (n-p-1)/8+1 {
		return netip.Prefix{}
	}
	a := delegated.Addr().As16()
	for i := range n - p {
		if data[1+i/8]>>(7-i%8)&1 != 0 {
			a[(p+i)/8] |= 0x80 >> ((p + i) % 8)
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), n)
}

// appendExclude is the reverse of [parseExclude].
func appendExclude(b []byte, delegated, exclude netip.Prefix) []byte {
	n, p := exclude.Bits(), delegated.Bits()
	a := exclude.Addr().As16()
	b = append(b, byte(n))
	at := len(b)
	b = append(b, make([]byte, (n-p-1)/8+1)...)
	for i := range n - p {
		if a[(p+i)/8]>>(7-(p+i)%8)&1 != 0 {
			b[at+i/8] |= 0x80 >> (i % 8)
		}
	}
	return b
}
