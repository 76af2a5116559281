package nd

import (
	"encoding/binary"
	"strings"
)

// MaxDomains is how many names [ParseDNSSL] returns at most.
const MaxDomains = 8

// ParseDNSSL decodes a DNS Search List option (RFC 8106 section 5.2): a lifetime in seconds
// and domain names without the trailing dot. It reports false for an option to be ignored:
// one without a name, or with a malformed one. The names are new strings.
func ParseDNSSL(o Option) (lifetime uint32, domains []string, ok bool) {
	if o.Type != OptionDNSSL || len(o.Data) < 14 {
		return 0, nil, false
	}
	d := o.Data[6:]
	var name []byte
	for len(d) > 0 && d[0] != 0 {
		name = name[:0]
		for {
			if len(d) == 0 {
				return 0, nil, false
			}
			n := int(d[0])
			if n == 0 {
				d = d[1:]
				break
			}
			// "the compression scheme MUST NOT be used" (RFC 8106 section 5.2)
			if n > 63 || n+1 > len(d) || len(name)+n+1 > 254 {
				return 0, nil, false
			}
			if len(name) > 0 {
				name = append(name, '.')
			}
			name = append(name, d[1:n+1]...)
			d = d[n+1:]
		}
		if len(domains) < MaxDomains {
			domains = append(domains, string(name))
		}
	}
	for _, c := range d {
		if c != 0 {
			return 0, nil, false // padding
		}
	}
	return binary.BigEndian.Uint32(o.Data[2:]), domains, len(domains) > 0
}

// AppendDNSSL appends a DNS Search List option to b; nothing for no domain. lifetime is in
// seconds. [DropOptions] comes back for a name that DNS cannot hold, or too many.
func AppendDNSSL(b []byte, lifetime uint32, domains []string) ([]byte, error) {
	if len(domains) == 0 {
		return b, nil
	}
	start := len(b)
	b = append(b, OptionDNSSL, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, lifetime)
	for _, d := range domains {
		d = strings.TrimSuffix(d, ".")
		if d == "" || len(d) > 253 {
			return b[:start], DropOptions
		}
		for d != "" {
			label, rest, _ := strings.Cut(d, ".")
			if label == "" || len(label) > 63 {
				return b[:start], DropOptions
			}
			b = append(append(b, uint8(len(label))), label...)
			d = rest
		}
		b = append(b, 0)
	}
	for (len(b)-start)%8 != 0 {
		b = append(b, 0)
	}
	n := (len(b) - start) / 8
	if n > 255 {
		return b[:start], DropOptions
	}
	b[start+1] = uint8(n)
	return b, nil
}
