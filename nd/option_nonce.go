package nd

// ParseNonce returns the nonce in a Nonce option (RFC 3971 section 5.3.2), at least 6 bytes;
// it aliases the option. Duplicate address detection uses it to know its own solicitation
// when the link loops it back (RFC 7527 section 4.1).
func ParseNonce(o Option) (nonce []byte, ok bool) {
	if o.Type != OptionNonce || len(o.Data) < 6 {
		return nil, false
	}
	return o.Data, true
}
