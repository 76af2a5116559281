package nd

import (
	"encoding/binary"
	"strings"
)

// MaxDomains is how many names [ParseDNSSL] returns at most.
const MaxDomains = 8

// maxDomain is how many bytes a name has at most as text: with the length of its first label
// and the root, 255 octets (RFC 1035 section 2.3.4).
const maxDomain = 253

// isLabel reports whether b is a label that can be written as text: names end up in
// configuration, logs and other messages, where a dot, a space or a control character in a
// label would make another name or another line of it.
func isLabel(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '.' || c == '\\' {
			return false
		}
	}
	return true
}

// ParseDNSSL decodes a DNS Search List option (RFC 8106 section 5.2): a lifetime in seconds
// and domain names without the trailing dot. It reports false for an option to be ignored:
// one without a name, or with one that is malformed or cannot be written as text. The names are new strings.
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
			if n > 63 || n+1 > len(d) || !isLabel(d[1:n+1]) {
				return 0, nil, false
			}
			if len(name) > 0 {
				name = append(name, '.')
			}
			if name = append(name, d[1:n+1]...); len(name) > maxDomain {
				return 0, nil, false
			}
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
		if d == "" || len(d) > maxDomain {
			return b[:start], DropOptions
		}
		for d != "" {
			label, rest, _ := strings.Cut(d, ".")
			if label == "" || len(label) > 63 || !isLabel([]byte(label)) {
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
