package slipradio

import (
	"encoding/binary"

	"border-router/ieee802154"
)

// Parameters of !V and ?V, and of GET_PARAM and SET_PARAM.
const (
	paramChannel = 1
	paramPAN     = 2
	paramShort   = 3 // serialradio
	paramRxMode  = 4 // serialradio
)

// maxMAC is the length of the longest MAC frame without FCS.
const maxMAC = ieee802154.MaxFrame - ieee802154.FCSLen

// Statuses of !R, Contiki's MAC_TX_OK and so on.
const (
	statusOK        = 0
	statusCollision = 1
	statusNoAck     = 2
	statusDeferred  = 3
	statusError     = 4
	statusFatal     = 5
	statusQueueFull = 6
)

// A kind says what a frame from the radio is.
type kind uint8

const (
	kindMAC    kind = iota + 1 // a received MAC frame
	kindText                   // text for people
	kindEUI64                  // !M: eui
	kindReport                 // !R: sid, status, ntx
	kindParam                  // !V, !C, !P: param, value
)

// An answer is a frame from a radio of the slip or 6lbr dialect.
type answer struct {
	kind   kind
	sid    uint8
	status uint8
	ntx    uint8 // times on the air
	param  uint16
	value  uint16
	eui    uint64
}

// parseAnswer says what the frame b, not empty, is. Commands begin with ! or ?, debug text
// with a carriage return or is printable in all; everything else is a MAC frame. The error
// is a [Drop].
func parseAnswer(b []byte, sixLBR bool) (a answer, err error) {
	switch {
	case b[0] == '!' && !isFCF(b):
		return parseCommand(b, sixLBR)
	case b[0] == '\r' || isText(b):
		a.kind = kindText
	case b[0] == '?' && !isFCF(b):
		return a, DropCommand // nothing that a radio asks
	case len(b) > maxMAC:
		return a, DropMACLength
	default:
		a.kind = kindMAC
	}
	return a, nil
}

// isFCF reports whether b begins as a MAC frame with a source address rather than as a
// command: the second letter of a command is printable, the addressing modes are not.
func isFCF(b []byte) bool { return len(b) > 9 && b[1] >= 0x80 }

func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

func parseCommand(b []byte, sixLBR bool) (a answer, err error) {
	if len(b) < 2 {
		return a, DropCommand
	}
	p := b[2:]
	switch {
	case b[1] == 'M' && len(p) >= 8:
		a.kind, a.eui = kindEUI64, binary.BigEndian.Uint64(p)
	case b[1] == 'R' && len(p) >= 3:
		a.kind, a.sid, a.status, a.ntx = kindReport, p[0], p[1], p[2]
	case b[1] == 'V' && len(p) >= 4:
		a.kind, a.param, a.value = kindParam, binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	case sixLBR && b[1] == 'C' && len(p) >= 1:
		a.kind, a.param, a.value = kindParam, paramChannel, uint16(p[0])
	case sixLBR && b[1] == 'P' && len(p) >= 2:
		a.kind, a.param, a.value = kindParam, paramPAN, binary.LittleEndian.Uint16(p)
	case isText(b):
		a.kind = kindText
	default:
		return a, DropCommand
	}
	return a, nil
}

// appendSend appends !S for a MAC frame without FCS, framed. No attribute is given: their
// numbers depend on the firmware's build, and one it does not know loses the frame.
func appendSend(b []byte, sid uint8, frame []byte) []byte {
	b = append(b, slipEnd)
	b = appendEscaped(b, []byte{'!', 'S', sid, 0})
	b = appendEscaped(b, frame)
	return append(b, slipEnd)
}

func appendQuery(b []byte, letter byte) []byte { return AppendFrame(b, []byte{'?', letter}) }

// appendSet appends the command that sets a parameter.
func appendSet(b []byte, param, value uint16, sixLBR bool) []byte {
	switch {
	case sixLBR && param == paramChannel:
		return AppendFrame(b, []byte{'!', 'C', byte(value)})
	case sixLBR:
		return AppendFrame(b, []byte{'!', 'P', byte(value), byte(value >> 8)})
	}
	return AppendFrame(b, []byte{'!', 'V', byte(param >> 8), byte(param), byte(value >> 8), byte(value)})
}

// appendGet appends the question for a parameter.
func appendGet(b []byte, param uint16, sixLBR bool) []byte {
	switch {
	case sixLBR && param == paramChannel:
		return appendQuery(b, 'C')
	case sixLBR:
		return appendQuery(b, 'P')
	}
	return AppendFrame(b, []byte{'?', 'V', byte(param >> 8), byte(param)})
}
