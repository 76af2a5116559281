package ethernet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SetKernelAddress gives the kernel an address on the interface, with the on-link route of
// its prefix, or takes it away: of a prefix that we offer on a link which we share with the
// kernel, whose hosts it would otherwise not know to be there. An address that is there
// already, or not any more, is not an error.
func (p *Port) SetKernelAddress(a netip.Prefix, on bool) error {
	index := p.State().Index
	if index == 0 {
		return fmt.Errorf("ethernet %s: there is no interface to give %v to", p.cfg.Name, a)
	}
	h, err := p.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), 128)}}
	if on {
		err = h.AddrAdd(link, addr)
		if errors.Is(err, unix.EEXIST) {
			err = nil
		}
	} else {
		err = h.AddrDel(link, addr)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("ethernet %s: address %v of the kernel: %w", p.cfg.Name, a, err)
	}
	return nil
}
