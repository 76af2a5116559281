package discover

import (
	"bytes"
	"fmt"

	"border-router/ieee802154"
)

// A Beacon is the answer of a coordinator to a beacon request.
type Beacon struct {
	Channel        uint8  `json:"channel"`
	PAN            string `json:"pan"`
	Coordinator    string `json:"coordinator"` // its address
	RSSI           *int8  `json:"rssi"`        // dBm; nil: the radio does not tell
	LQI            uint8  `json:"lqi"`
	Associate      bool   `json:"association_permit"`
	PANCoordinator bool   `json:"pan_coordinator"`
	Network        string `json:"network,omitempty"` // what the payload tells: Thread, Zigbee, ...
	Payload        string `json:"payload,omitempty"` // hexadecimal
	Count          int    `json:"count"`             // how many came
}

// beaconRequest appends a beacon request (section 7.5.8) to b: a command without source to
// everybody in every PAN.
func beaconRequest(b []byte, seq uint8) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeCommand, Seq: seq, DstPAN: ieee802154.BroadcastPAN,
		Dst: ieee802154.Short(ieee802154.BroadcastShort), Payload: []byte{byte(ieee802154.CommandBeaconRequest)}}
	b, err := f.AppendBinary(b)
	if err != nil {
		panic(err) // a frame that is always the same
	}
	return b
}

// parseBeacon returns the beacon in a frame; ok is false for any other frame.
func parseBeacon(rx *ieee802154.RxFrame) (out Beacon, ok bool) {
	var f ieee802154.Frame
	if f.Parse(rx.Data) != nil || f.Type != ieee802154.TypeBeacon {
		return out, false
	}
	pan, ok := f.SourcePAN()
	if !ok || f.Src.Mode == ieee802154.AddrNone {
		return out, false
	}
	out = Beacon{Channel: rx.Channel, PAN: panText(pan), Coordinator: f.Src.String(), LQI: rx.LQI, Count: 1}
	if rx.RSSI != ieee802154.RSSIUnknown {
		v := rx.RSSI
		out.RSSI = &v
	}
	var b ieee802154.Beacon
	if f.Version == ieee802154.Version2015 || f.Encrypted() || b.Parse(f.Payload) != nil {
		return out, true // an enhanced or secured one: there is a PAN, and no more is known
	}
	out.Associate, out.PANCoordinator = b.AssociationPermit(), b.PANCoordinator()
	out.Payload = fmt.Sprintf("%x", b.Payload)
	out.Network = network(b.Payload)
	return out, true
}

// network says whose network a beacon's payload is of, by its protocol identifier.
func network(p []byte) string {
	switch {
	case len(p) >= 2+16+8 && p[0] == 3: // Thread: version and flags, name, extended PAN identifier
		name, _, _ := bytes.Cut(p[2:18], []byte{0})
		return "Thread " + printable(string(name))
	case len(p) >= 15 && p[0] == 0: // Zigbee: layer, extended PAN identifier, ...
		return fmt.Sprintf("Zigbee %016x", reverse64(p[3:11]))
	}
	return ""
}

func reverse64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}
