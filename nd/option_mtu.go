package nd

import "encoding/binary"

// ParseMTU decodes an MTU option (RFC 4861 section 4.6.4), in bytes.
func ParseMTU(o Option) (mtu uint32, ok bool) {
	if o.Type != OptionMTU || len(o.Data) != 6 {
		return 0, false
	}
	return binary.BigEndian.Uint32(o.Data[2:]), true
}

// AppendMTU appends an MTU option, 8 bytes, to b.
func AppendMTU(b []byte, mtu uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, OptionMTU, 1, 0, 0), mtu)
}
