package wpan

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"border-router/ieee802154"
)

// A Monitor is a kernel radio that hears every frame, whoever it is for, beacons included,
// and sends without waiting for acknowledgments: an [ieee802154.Radio] for a scan. The
// interface that it stands beside is down meanwhile, for the kernel gives beacons to no
// program on that.
type Monitor struct {
	phy           uint32
	channel, page uint8 // of before
	link          netlink.Link
	sock          *socket
	rd            *reader
	tx            *sender
	closed        atomic.Bool
}

var _ ieee802154.Radio = (*Monitor)(nil)

// OpenMonitor opens a monitor on the radio of an interface, which must be down: whatever runs
// on one that is up would be cut off. The errors are those of [Open], and say what to do.
func OpenMonitor(name string) (_ *Monitor, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("monitor beside %s: %w", name, err)
		}
	}()
	info, err := Read(name)
	if err != nil {
		return nil, err
	}
	link, err := netlink.LinkByIndex(info.Index)
	if err != nil {
		return nil, explain(err)
	}
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil, fmt.Errorf("%s is up; end what uses it, and take it down: ip link set %s down", name, name)
	}
	k, err := dialControl()
	if err != nil {
		return nil, err
	}
	defer k.c.Close()
	m := &Monitor{phy: info.Phy, channel: info.Channel, page: info.Page, rd: newReader(), tx: newSender()}
	mon := fmt.Sprintf("scan%d", info.Phy) // one at a time for each radio
	body, err := interfaceRequest(info.Phy, mon, iftypeMonitor)
	if err != nil {
		return nil, err
	}
	if _, err := k.do(cmdNewInterface, body); err != nil {
		switch {
		case errors.Is(err, unix.EINVAL):
			err = fmt.Errorf("the driver of the radio knows no monitor interface (%w)", err)
		case errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENFILE):
			err = fmt.Errorf("%s is there already; end the other scan, or: iwpan dev %s del (%w)", mon, mon, err)
		}
		return nil, err
	}
	if m.link, err = netlink.LinkByName(mon); err != nil {
		return nil, fmt.Errorf("find %s: %w", mon, explain(err))
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if err := netlink.LinkSetUp(m.link); err != nil {
		return nil, fmt.Errorf("bring %s up: %w; nothing else of the radio may be up", mon, explain(err))
	}
	m.sock, err = openSocket(m.link.Attrs().Index, ethPIEEE802154)
	return m, err
}

// Tune puts the radio on a channel of page 0.
func (m *Monitor) Tune(channel uint8) error { return m.tune(0, channel) }

func (m *Monitor) tune(page, channel uint8) error {
	k, err := dialControl()
	if err != nil {
		return err
	}
	defer k.c.Close()
	body, err := channelRequest(m.phy, page, channel)
	if err == nil {
		_, err = k.do(cmdSetChannel, body)
	}
	if err != nil {
		return fmt.Errorf("set channel %d: %w", channel, err)
	}
	return nil
}

// Receive implements [ieee802154.Radio]. It does not know the channel.
func (m *Monitor) Receive(batch []ieee802154.RxFrame) (int, error) {
	for {
		n, err := m.rd.read(m.sock, len(batch))
		switch {
		case err != nil && m.closed.Load():
			return 0, net.ErrClosed
		case err != nil:
			return 0, err
		}
		got := 0
		for i := range n {
			b, outgoing, tooLong := m.rd.frame(i)
			if outgoing || tooLong || len(b) < ieee802154.FCSLen || !ieee802154.CheckFCS(b) {
				continue // of a frame with a wrong FCS nothing can be believed
			}
			f := &batch[got]
			f.Data = append(f.Data[:0], b[:len(b)-ieee802154.FCSLen]...)
			f.RSSI, f.LQI, f.Channel = ieee802154.RSSIUnknown, 0, 0
			got++
		}
		if got > 0 {
			return got, nil
		}
	}
}

// Transmit implements [ieee802154.Radio]. The kernel appends the FCS.
func (m *Monitor) Transmit(batch []ieee802154.TxFrame) error {
	for i := range batch {
		f := &batch[i]
		if f.Status, f.Attempts = ieee802154.TxTooLong, 0; len(f.Data) == 0 || len(f.Data) > maxMAC {
			continue
		}
		m.tx.reset()
		m.tx.add(f.Data)
		if err := m.tx.write(m.sock); err != nil {
			f.Status = ieee802154.TxClosed
			if m.closed.Load() {
				err = net.ErrClosed
			}
			return err
		}
		f.Status, f.Attempts = ieee802154.TxSent, 1
	}
	return nil
}

// Close implements [ieee802154.Radio]: the monitor goes, and the radio is on the channel of
// before.
func (m *Monitor) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	var err error
	if m.sock != nil {
		m.sock.f.Close()
		err = errors.Join(err, m.tune(m.page, m.channel))
	}
	k, dial := dialControl()
	if dial != nil {
		return errors.Join(err, dial)
	}
	defer k.c.Close()
	body, enc := indexRequest(attrIfindex, uint32(m.link.Attrs().Index))
	if enc == nil {
		_, enc = k.do(cmdDelInterface, body)
	}
	return errors.Join(err, enc)
}

// interfaceRequest is the body of NL802154_CMD_NEW_INTERFACE.
func interfaceRequest(phy uint32, name string, iftype uint32) ([]byte, error) {
	e := mdnetlink.NewAttributeEncoder()
	e.Uint32(attrPhy, phy)
	e.String(attrIfname, name)
	e.Uint32(attrIftype, iftype)
	return e.Encode()
}
