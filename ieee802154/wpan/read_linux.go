package wpan

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Read returns what the kernel tells of an interface, and changes nothing. The errors are
// those of [Open].
func Read(name string) (Info, error) {
	k, err := dialControl()
	if err != nil {
		return Info{}, fmt.Errorf("read %s: %w", name, err)
	}
	defer k.c.Close()
	link, err := netlink.LinkByName(name)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return Info{}, fmt.Errorf("there is no interface %s; `iwpan dev` lists those there are", name)
		}
		return Info{}, fmt.Errorf("find %s: %w", name, explain(err))
	}
	a := link.Attrs()
	if err := noLowpan(name, a.Index); err != nil {
		return Info{}, err
	}
	info, err := k.read(name, a.Index)
	if err != nil {
		return info, fmt.Errorf("read %s: %w", name, err)
	}
	if len(a.HardwareAddr) == 8 {
		info.EUI64 = binary.BigEndian.Uint64(a.HardwareAddr)
	}
	return info, nil
}
