package wpan

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"

	"border-router/ieee802154"
)

// Commands and attributes of nl802154 (the kernel's include/net/nl802154.h).
const (
	cmdGetPhy       = 1
	cmdGetInterface = 5
	cmdNewInterface = 7
	cmdDelInterface = 8
	cmdSetChannel   = 9
	cmdSetPAN       = 10
	cmdSetShort     = 11

	attrPhy      = 1
	attrIfindex  = 3
	attrIfname   = 4
	attrIftype   = 5
	attrPage     = 7
	attrChannel  = 8
	attrPAN      = 9
	attrShort    = 10
	attrExtended = 23

	iftypeNode    = 0
	iftypeMonitor = 1
)

// channelRequest is the body of NL802154_CMD_SET_CHANNEL.
func channelRequest(phy uint32, page, channel uint8) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(attrPhy, phy)
	e.Uint8(attrPage, page)
	e.Uint8(attrChannel, channel)
	return e.Encode()
}

// addressRequest is the body of NL802154_CMD_SET_PAN_ID and _SHORT_ADDR, whose values are
// little endian on every machine.
func addressRequest(ifindex int, attr, value uint16) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(attrIfindex, uint32(ifindex))
	e.Bytes(attr, []byte{byte(value), byte(value >> 8)})
	return e.Encode()
}

func indexRequest(attr uint16, index uint32) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(attr, index)
	return e.Encode()
}

var errNotNode = errors.New("the interface is no node (a monitor or coordinator); want one of type node")

// parseInterface reads the answer to NL802154_CMD_GET_INTERFACE into info.
func parseInterface(b []byte, info *Info) error {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return fmt.Errorf("answer of nl802154: %w", err)
	}
	fixed := func(n int) []byte {
		p := d.Bytes()
		if len(p) != n {
			err = fmt.Errorf("answer of nl802154: attribute %d of %d bytes, want %d", d.Type(), len(p), n)
			return make([]byte, n)
		}
		return p
	}
	info.Short, info.PAN = ieee802154.BroadcastShort, ieee802154.BroadcastPAN
	iftype := uint32(iftypeNode)
	havePhy := false
	for d.Next() {
		switch d.Type() {
		case attrPhy:
			info.Phy, havePhy = binary.NativeEndian.Uint32(fixed(4)), true
		case attrIftype:
			iftype = binary.NativeEndian.Uint32(fixed(4))
		case attrPAN:
			info.PAN = binary.LittleEndian.Uint16(fixed(2))
		case attrShort:
			info.Short = binary.LittleEndian.Uint16(fixed(2))
		case attrExtended:
			info.EUI64 = binary.LittleEndian.Uint64(fixed(8))
		}
	}
	switch {
	case d.Err() != nil:
		return fmt.Errorf("answer of nl802154: %w", d.Err())
	case err != nil:
		return err
	case !havePhy:
		return errors.New("answer of nl802154 names no phy")
	case iftype != iftypeNode:
		return errNotNode
	}
	return nil
}

// parsePhy reads channel and page from the answer to NL802154_CMD_GET_WPAN_PHY.
func parsePhy(b []byte, info *Info) error {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return fmt.Errorf("answer of nl802154: %w", err)
	}
	for d.Next() {
		p := d.Bytes()
		switch {
		case d.Type() == attrPage && len(p) == 1:
			info.Page = p[0]
		case d.Type() == attrChannel && len(p) == 1:
			info.Channel = p[0]
		}
	}
	if d.Err() != nil {
		return fmt.Errorf("answer of nl802154: %w", d.Err())
	}
	return nil
}
