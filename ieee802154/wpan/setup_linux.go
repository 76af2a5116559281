package wpan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/genetlink"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"border-router/ieee802154"
)

var (
	// ErrNoKernel says that the running kernel has no IEEE 802.15.4.
	ErrNoKernel = errors.New("this kernel has no IEEE 802.15.4; try: modprobe ieee802154 mac802154, and the module of the radio (such as at86rf230, cc2520, mrf24j40, mac802154_hwsim)")
	// ErrPrivilege says that the process may not set up interfaces.
	ErrPrivilege = errors.New("needs CAP_NET_ADMIN and CAP_NET_RAW; run as root, or: setcap cap_net_admin,cap_net_raw+ep on the program")
)

// A missingError says that there is no such interface, which there may be later.
type missingError struct{ name string }

func (e missingError) Error() string {
	return fmt.Sprintf("there is no interface %s; `iwpan dev` lists those there are", e.name)
}

// explain adds what to do about an error of the system.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w (%w)", ErrPrivilege, err)
	}
	return err
}

// A control is a connection to nl802154.
type control struct {
	c      *genetlink.Conn
	family uint16
}

func dialControl() (*control, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", explain(err))
	}
	f, err := c.GetFamily("nl802154")
	if err != nil {
		c.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil, ErrNoKernel
		}
		return nil, fmt.Errorf("find nl802154: %w", explain(err))
	}
	return &control{c, f.ID}, nil
}

func (k *control) do(cmd uint8, body []byte) ([]byte, error) {
	flags := mdnetlink.Request
	if cmd != cmdGetPhy && cmd != cmdGetInterface { // those answer
		flags |= mdnetlink.Acknowledge
	}
	msgs, err := k.c.Execute(genetlink.Message{Header: genetlink.Header{Command: cmd}, Data: body}, k.family, flags)
	if err != nil {
		return nil, explain(err)
	}
	for _, m := range msgs {
		if len(m.Data) > 0 {
			return m.Data, nil
		}
	}
	return nil, nil
}

// read asks the kernel what the interface is.
func (k *control) read(name string, index int) (Info, error) {
	info := Info{Interface: name, Index: index}
	body, err := indexRequest(attrIfindex, uint32(index))
	if err != nil {
		return info, err
	}
	b, err := k.do(cmdGetInterface, body)
	if err != nil {
		return info, fmt.Errorf("ask about %s: %w", name, err)
	}
	if err := parseInterface(b, &info); err != nil {
		return info, err
	}
	if body, err = indexRequest(attrPhy, info.Phy); err != nil {
		return info, err
	}
	if b, err = k.do(cmdGetPhy, body); err != nil {
		return info, fmt.Errorf("ask about phy%d: %w", info.Phy, err)
	}
	return info, parsePhy(b, &info)
}

// setUp makes the interface what cfg says and brings it up.
func setUp(cfg *Config) (Info, error) {
	k, err := dialControl()
	if err != nil {
		return Info{}, err
	}
	defer k.c.Close()
	link, err := netlink.LinkByName(cfg.Interface)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return Info{}, missingError{cfg.Interface}
		}
		return Info{}, fmt.Errorf("find %s: %w", cfg.Interface, explain(err))
	}
	a := link.Attrs()
	if a.EncapType == "ieee802.15.4/monitor" {
		return Info{}, errNotNode
	}
	if err := noLowpan(cfg.Interface, a.Index); err != nil {
		return Info{}, err
	}
	info, err := k.read(cfg.Interface, a.Index)
	if err != nil {
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
			return info, fmt.Errorf("%s is no IEEE 802.15.4 interface; `iwpan dev` lists those there are (%w)", cfg.Interface, err)
		}
		return info, err
	}
	if len(a.HardwareAddr) == 8 {
		info.EUI64 = binary.BigEndian.Uint64(a.HardwareAddr)
	}
	pan, short := cfg.PAN, cfg.Short
	if pan == 0 {
		if pan = info.PAN; pan == ieee802154.BroadcastPAN {
			pan = DefaultPAN
		}
	}
	if short == 0 {
		short = info.Short
	}
	up := a.RawFlags&unix.IFF_UP != 0
	other := cfg.eui64 != 0 && cfg.eui64 != info.EUI64
	if up && (pan != info.PAN || short != info.Short || other) { // EBUSY while up
		if err := netlink.LinkSetDown(link); err != nil {
			return info, fmt.Errorf("take %s down: %w", cfg.Interface, explain(err))
		}
		up = false
	}
	set := func(what string, cmd uint8, body []byte, err error) error {
		if err == nil {
			_, err = k.do(cmd, body)
		}
		if err != nil {
			return fmt.Errorf("set %s of %s: %w", what, cfg.Interface, err)
		}
		return nil
	}
	if other {
		// Another device in its place, or the same with a new random address: nodes know ours.
		if err := netlink.LinkSetHardwareAddr(link, binary.BigEndian.AppendUint64(nil, cfg.eui64)); err != nil {
			return info, fmt.Errorf("set extended address %v of %s, which is another radio than before: %w",
				ieee802154.Extended(cfg.eui64), cfg.Interface, explain(err))
		}
		info.EUI64 = cfg.eui64
	}
	if pan != info.PAN {
		body, err := addressRequest(a.Index, attrPAN, pan)
		if err := set(fmt.Sprintf("PAN 0x%04x", pan), cmdSetPAN, body, err); err != nil {
			return info, err
		}
		info.PAN = pan
	}
	if short != info.Short {
		body, err := addressRequest(a.Index, attrShort, short)
		if err := set(fmt.Sprintf("short address 0x%04x", short), cmdSetShort, body, err); err != nil {
			return info, err
		}
		info.Short = short
	}
	if cfg.Channel != 0 && (cfg.Channel != info.Channel || cfg.Page != info.Page) {
		body, err := channelRequest(info.Phy, cfg.Page, cfg.Channel)
		if err := set(fmt.Sprintf("channel %d (page %d)", cfg.Channel, cfg.Page), cmdSetChannel, body, err); err != nil {
			return info, err
		}
		info.Channel, info.Page = cfg.Channel, cfg.Page
	}
	if !up {
		if err := netlink.LinkSetUp(link); err != nil {
			return info, fmt.Errorf("bring %s up: %w", cfg.Interface, explain(err))
		}
	}
	return info, nil
}

// noLowpan makes sure that the kernel's own 6LoWPAN does not run on the interface.
func noLowpan(name string, index int) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", explain(err))
	}
	for _, l := range links {
		if l.Type() == "lowpan" && l.Attrs().ParentIndex == index {
			return fmt.Errorf("the kernel's own 6LoWPAN runs on %s; remove it: ip link delete %s", name, l.Attrs().Name)
		}
	}
	return nil
}
