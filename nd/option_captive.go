package nd

import "bytes"

// OptionCaptivePortal is the type of the Captive-Portal option (RFC 8910 section 2.3).
const OptionCaptivePortal uint8 = 37

// ParseCaptivePortal returns the URI in a Captive-Portal option, without its padding. It
// aliases the option.
func ParseCaptivePortal(o Option) (uri []byte, ok bool) {
	if o.Type != OptionCaptivePortal {
		return nil, false
	}
	uri = bytes.TrimRight(o.Data, "\x00")
	return uri, len(uri) > 0
}

// AppendCaptivePortal appends a Captive-Portal option to b. [DropOptions] comes back for a
// URI that is empty or longer than 2038 bytes.
func AppendCaptivePortal(b []byte, uri string) ([]byte, error) {
	n := (len(uri) + 2 + 7) / 8
	if uri == "" || n > 255 {
		return b, DropOptions
	}
	b = append(append(b, OptionCaptivePortal, uint8(n)), uri...)
	for range 8*n - 2 - len(uri) {
		b = append(b, 0)
	}
	return b, nil
}
