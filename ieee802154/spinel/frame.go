package spinel

import (
	"encoding/binary"
	"fmt"
)

// A Command is the second field of a Spinel frame.
type Command uint32

// The commands.
const (
	CmdNoop     Command = 0
	CmdReset    Command = 1
	CmdGet      Command = 2
	CmdSet      Command = 3
	CmdInsert   Command = 4
	CmdRemove   Command = 5
	CmdIs       Command = 6
	CmdInserted Command = 7
	CmdRemoved  Command = 8
)

// A Property is what a command is about.
type Property uint32

// The properties of a radio.
const (
	PropLastStatus       Property = 0x00   // i, then what the request's answer carries
	PropProtocolVersion  Property = 0x01   // i i: 4, 3
	PropNCPVersion       Property = 0x02   // U
	PropInterfaceType    Property = 0x03   // i
	PropCaps             Property = 0x05   // A(i)
	PropHWAddr           Property = 0x08   // E
	PropPHYEnabled       Property = 0x20   // b
	PropChannel          Property = 0x21   // C
	PropChannels         Property = 0x22   // A(C)
	PropFrequency        Property = 0x23   // L, kHz
	PropCCAThreshold     Property = 0x24   // c, dBm
	PropTxPower          Property = 0x25   // c, dBm
	PropRSSI             Property = 0x26   // c, dBm
	PropRxSensitivity    Property = 0x27   // c, dBm
	PropScanState        Property = 0x30   // C: 0 idle, 2 energy
	PropScanMask         Property = 0x31   // A(C)
	PropScanPeriod       Property = 0x32   // S, ms
	PropLAddr            Property = 0x34   // E
	PropSAddr            Property = 0x35   // S
	PropPANID            Property = 0x36   // S
	PropRawStream        Property = 0x37   // b
	PropPromiscuous      Property = 0x38   // C: 0 off, 1 own network, 2 all
	PropEnergyResult     Property = 0x39   // C c: channel, dBm
	PropStreamDebug      Property = 0x70   // D
	PropStreamRaw        Property = 0x71   // see AppendTransmit and ParseReceived
	PropStreamLog        Property = 0x74   // U, then level and time
	PropRCPAPIVersion    Property = 0xb0   // i
	PropRCPMinHostAPI    Property = 0xb1   // i
	PropRadioCaps        Property = 0x120b // i
	PropSrcMatchEnabled  Property = 0x1303 // b
	PropSrcMatchShort    Property = 0x1304 // A(S)
	PropSrcMatchExtended Property = 0x1305 // A(E)
)

// A Status is the value of PropLastStatus.
type Status uint32

// The statuses that a radio gives. 112 to 127 are reset reasons.
const (
	StatusOK             Status = 0
	StatusFailure        Status = 1
	StatusUnimplemented  Status = 2
	StatusBadArgument    Status = 3
	StatusInvalidState   Status = 4
	StatusInternal       Status = 7
	StatusParse          Status = 9
	StatusNoMemory       Status = 11
	StatusBusy           Status = 12
	StatusNoProperty     Status = 13
	StatusDropped        Status = 14
	StatusTooBig         Status = 16
	StatusNoAck          Status = 17
	StatusCCAFailure     Status = 18
	StatusAlready        Status = 19
	StatusNoItem         Status = 20
	StatusBadCommand     Status = 23
	StatusResetPowerOn   Status = 112
	StatusResetCrash     Status = 116
	StatusResetUnknown   Status = 119
	StatusResetWatchdog  Status = 120
	statusResetEnd       Status = 128
	resetStack                  = 2
	capConfigRadio              = 34
	capMACRaw                   = 513
	protocolMajor               = 4
	scanIdle, scanEnergy        = 0, 2
)

var statusText = map[Status]string{
	0: "ok", 1: "failure", 2: "unimplemented", 3: "invalid argument", 4: "invalid state", 5: "invalid command", 6: "invalid interface",
	7: "internal error", 8: "security error", 9: "parse error", 10: "in progress", 11: "no memory", 12: "busy", 13: "property not found",
	14: "dropped", 15: "empty", 16: "too big", 17: "no acknowledgment", 18: "channel busy", 19: "already", 20: "item not found",
	23:  "invalid command for property",
	112: "reset: power-on", 113: "reset: external", 114: "reset: software", 115: "reset: fault", 116: "reset: crash", 117: "reset: assertion",
	118: "reset: other", 119: "reset: unknown", 120: "reset: watchdog",
}

// IsReset reports whether s says that the dongle has started.
func (s Status) IsReset() bool { return s >= StatusResetPowerOn && s < statusResetEnd }

// Error returns the status in words.
func (s Status) Error() string {
	if t, ok := statusText[s]; ok {
		return t
	}
	return fmt.Sprintf("status %d", uint32(s))
}

// A Frame is one Spinel frame.
type Frame struct {
	Interface uint8 // 0 to 3
	TID       uint8 // 0: unsolicited, else 1 to 15: a request and its answer
	Command   Command
	Property  Property // absent in CmdNoop and CmdReset
	Value     []byte   // aliases the input; of CmdReset the kind of reset
}

// ParseFrame reads a frame. The error is a [Drop].
func ParseFrame(b []byte) (f Frame, err error) {
	r := Reader{b: b}
	h := r.Uint8()
	c := r.Packed()
	if r.bad {
		return f, DropTruncated
	}
	if h>>6 != 2 {
		return f, DropHeader
	}
	f.Interface, f.TID, f.Command = h>>4&3, h&15, Command(c)
	if f.Command != CmdNoop && f.Command != CmdReset {
		f.Property = Property(r.Packed())
	}
	if r.bad {
		return f, DropTruncated
	}
	f.Value = r.b
	return f, nil
}

// AppendBinary appends the frame.
func (f *Frame) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, 0x80|f.Interface&3<<4|f.TID&15)
	b = AppendPacked(b, uint32(f.Command))
	if f.Command != CmdNoop && f.Command != CmdReset {
		b = AppendPacked(b, uint32(f.Property))
	}
	return append(b, f.Value...), nil
}

// AppendPacked appends v as a packed integer: 7 bits a byte, the lowest first.
func AppendPacked(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// A Reader takes values off the front of a property's value. After the end it returns zeros,
// and Err the reason.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader returns a Reader of b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns [DropTruncated] once a value was not whole, else nil.
func (r *Reader) Err() error {
	if r.bad {
		return DropTruncated
	}
	return nil
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

func (r *Reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// Uint8 reads a C; also b and c, which are one byte.
func (r *Reader) Uint8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// Uint16 reads an S.
func (r *Reader) Uint16() uint16 {
	if v := r.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

// Uint32 reads an L.
func (r *Reader) Uint32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

// EUI64 reads an E.
func (r *Reader) EUI64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Packed reads an i of at most 32 bits.
func (r *Reader) Packed() uint32 {
	var v uint32
	for shift := 0; shift < 32; shift += 7 {
		c := r.take(1)
		if c == nil {
			return 0
		}
		if shift == 28 && c[0] > 15 {
			break
		}
		v |= uint32(c[0]&0x7f) << shift
		if c[0] < 0x80 {
			return v
		}
	}
	r.bad, r.b = true, nil
	return 0
}

// Data reads a d or a t: bytes with their length before them.
func (r *Reader) Data() []byte { return r.take(int(r.Uint16())) }

// Text reads a U: what stands before a NUL, or all where there is none.
func (r *Reader) Text() string {
	for i, c := range r.b {
		if c == 0 {
			s := string(r.b[:i])
			r.b = r.b[i+1:]
			return s
		}
	}
	s := string(r.b)
	r.b = nil
	return s
}
