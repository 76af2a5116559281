package nd

// Option types (IANA "IPv6 Neighbor Discovery Option Formats").
const (
	OptionSourceLinkAddr uint8 = 1  // SLLAO, RFC 4861 section 4.6.1
	OptionTargetLinkAddr uint8 = 2  // TLLAO, RFC 4861 section 4.6.1
	OptionPrefix         uint8 = 3  // PIO, RFC 4861 section 4.6.2
	OptionRedirected     uint8 = 4  // RFC 4861 section 4.6.3
	OptionMTU            uint8 = 5  // RFC 4861 section 4.6.4
	OptionNonce          uint8 = 14 // RFC 3971 section 5.3.2, RFC 7527
	OptionRoute          uint8 = 24 // RIO, RFC 4191 section 2.3
	OptionRDNSS          uint8 = 25 // RFC 8106 section 5.1
	OptionDNSSL          uint8 = 31 // RFC 8106 section 5.2
	OptionRegistration   uint8 = 33 // ARO and EARO, RFC 6775 section 4.1, RFC 8505 section 4.1
	OptionContext        uint8 = 34 // 6CO, RFC 6775 section 4.2
	OptionBorderRouter   uint8 = 35 // ABRO, RFC 6775 section 4.3
	OptionCapability     uint8 = 36 // 6CIO, RFC 7400 section 3.3
)

// An Option is one option of a message, decoded no further: the raw form, in which an
// option of an unknown type is kept and written again.
type Option struct {
	Type uint8
	Data []byte // what follows Type and Length: 8*Length-2 bytes; aliases the message
}

// Len returns the length of the option in units of 8 bytes, as on the wire.
func (o Option) Len() int { return (len(o.Data) + 2) / 8 }

// AppendBinary appends the option to b. [DropOptions] comes back when Data has a length
// that no option can have.
func (o Option) AppendBinary(b []byte) ([]byte, error) {
	n := len(o.Data) + 2
	if n%8 != 0 || n > 255*8 {
		return b, DropOptions
	}
	return append(append(b, o.Type, uint8(n/8)), o.Data...), nil
}

// Options are the options at the end of a message, checked by [ParseOptions]. They alias
// the message, in which they may be walked without an allocation:
//
//	for o, rest := m.Options.Next(); o.Type != 0; o, rest = rest.Next() {
//		...
//	}
type Options []byte

// ParseOptions checks that b consists of whole options. [DropOptions] comes back when one
// has length 0 ("Nodes MUST silently discard an ND packet that contains an option with
// length zero", RFC 4861 section 4.6) or ends beyond b.
func ParseOptions(b []byte) (Options, error) {
	for r := b; len(r) > 0; {
		if len(r) < 8 || r[1] == 0 || int(r[1])*8 > len(r) {
			return nil, DropOptions
		}
		r = r[int(r[1])*8:]
	}
	return Options(b), nil
}

// Next returns the first option and the options after it. At the end the option has type
// 0 and no data. (Type 0 is reserved: such an option is passed over.)
func (o Options) Next() (Option, Options) {
	for len(o) >= 8 {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			break // not checked by ParseOptions
		}
		opt, rest := Option{o[0], o[2:n:n]}, o[n:]
		if opt.Type != 0 {
			return opt, rest
		}
		o = rest
	}
	return Option{}, nil
}

// Find returns the first option of type t.
func (o Options) Find(t uint8) (Option, bool) {
	for opt, rest := o.Next(); opt.Type != 0; opt, rest = rest.Next() {
		if opt.Type == t {
			return opt, true
		}
	}
	return Option{}, false
}
