package spinel

import (
	"encoding/binary"

	"border-router/ieee802154"
)

// TxOptions are the fields of a transmission after the frame.
type TxOptions struct {
	Channel          uint8
	MaxBackoffs      uint8
	MaxRetries       uint8
	CSMA             bool
	HeaderUpdated    bool // the frame counter is in place: leave it
	Retransmission   bool
	SecurityDone     bool  // encrypted already: leave it
	RxChannelAfterTx uint8 // where the radio listens afterwards
	Power            int8  // dBm; PowerDefault: that of PropTxPower
}

// PowerDefault in [TxOptions] is the power of PropTxPower.
const PowerDefault = 127

// AppendTransmit appends the value of PropStreamRaw that sends psdu, a frame without FCS;
// the radio fills in the FCS.
func AppendTransmit(b, psdu []byte, o *TxOptions) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(psdu)+ieee802154.FCSLen))
	b = append(b, psdu...)
	return append(b, 0, 0,
		o.Channel, o.MaxBackoffs, o.MaxRetries,
		bit(o.CSMA), bit(o.HeaderUpdated), bit(o.Retransmission), bit(o.SecurityDone),
		0, 0, 0, 0, 0, 0, 0, 0, // delay and what it counts from: at once
		o.RxChannelAfterTx, byte(o.Power))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// RxFlags are the flags of a [Received].
type RxFlags uint16

// The flags.
const (
	RxTransmitted RxFlags = 0x01 // a frame that the radio sent
	RxBadFCS      RxFlags = 0x04
	RxDuplicate   RxFlags = 0x08
	RxAckPending  RxFlags = 0x10 // acknowledged with frame-pending set
	RxAckSecured  RxFlags = 0x20
)

// A Received is the value of an unsolicited PropStreamRaw.
type Received struct {
	PSDU    []byte // without FCS; aliases the input
	FCS     bool   // an FCS followed it: false for an empty record
	RSSI    int8   // dBm; ieee802154.RSSIUnknown
	Noise   int8   // dBm; -128: not known
	Flags   RxFlags
	Channel uint8 // 0: not told
	LQI     uint8
	Time    uint64 // us of the dongle's clock
	Error   uint8  // of the radio, 0: none
}

// ParseReceived reads the value of an unsolicited PropStreamRaw, or the record of an
// acknowledgment. All but the frame may be absent, from the end. The error is a [Drop].
func ParseReceived(b []byte) (v Received, err error) {
	r := Reader{b: b}
	psdu := r.Data()
	if r.bad {
		return v, DropTruncated
	}
	v.RSSI, v.Noise = ieee802154.RSSIUnknown, -128
	if n := len(psdu) - ieee802154.FCSLen; n >= 0 {
		v.PSDU, v.FCS = psdu[:n], true
	}
	if r.Len() == 0 {
		return v, nil
	}
	v.RSSI = int8(r.Uint8())
	v.Noise = int8(r.Uint8())
	v.Flags = RxFlags(r.Uint16())
	if r.bad {
		return v, DropTruncated
	}
	if r.Len() == 0 {
		return v, nil
	}
	phy := Reader{b: r.Data()}
	if r.bad {
		return v, DropTruncated
	}
	if phy.Len() >= 2 {
		v.Channel, v.LQI = phy.Uint8(), phy.Uint8()
	}
	if t := phy.take(8); t != nil {
		v.Time = binary.LittleEndian.Uint64(t)
	} else if phy.Len() == 2 { // the first versions had 16 bits
		v.Time = uint64(phy.Uint16())
	}
	if r.Len() > 0 {
		e := Reader{b: r.Data()}
		if e.Len() > 0 {
			v.Error = e.Uint8()
		}
	}
	return v, r.Err()
}

// A TxDone is the answer to a transmission.
type TxDone struct {
	Status  Status
	Pending bool   // the acknowledgment said that more waits for us
	Ack     []byte // the acknowledgment without FCS, where one was asked for; aliases the input
	AckRSSI int8   // dBm
}

// ParseTxDone reads the value of PropLastStatus that answers a transmission. The error is a
// [Drop].
func ParseTxDone(b []byte) (d TxDone, err error) {
	r := Reader{b: b}
	d.Status = Status(r.Packed())
	d.AckRSSI = ieee802154.RSSIUnknown
	if r.bad {
		return d, DropTruncated
	}
	if r.Len() < 2 {
		return d, nil
	}
	d.Pending = r.Uint8() != 0
	r.Uint8() // whether the dongle changed the header
	if r.Len() >= 2 {
		if a, err := ParseReceived(r.b); err == nil && a.FCS {
			d.Ack, d.AckRSSI = a.PSDU, a.RSSI
		}
	}
	return d, nil
}
