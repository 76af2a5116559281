package node

import (
	"net/netip"
	"time"

	"border-router/ipv6"
	"border-router/mld"
)

// groups is multicast listener discovery of a device: the host's side alone. It is the
// [router.Multicast] of the mesh port, onto which a host forwards nothing.
type groups struct{ *mld.Listener }

func (groups) Wants(time.Time, netip.Addr, netip.Addr) bool { return false }

func (groups) Listeners(_ netip.Addr, list []ipv6.LinkAddr) ([]ipv6.LinkAddr, bool) {
	return list, true
}

// deviceRobustness is how often a change is reported: air is lossy, and nobody asks again
// soon.
const deviceRobustness = 3

// newGroups gives the device its listener.
func (d *Device) newGroups() {
	ll := netip.Addr{}
	if !d.cfg.Classic {
		ll = ipv6.LinkLocal(ipv6.EUI64(d.cfg.EUI64)) // needs no duplicate address detection
	}
	d.groups = groups{mld.NewListener(mld.ListenerConfig{
		Source: ll, Robustness: deviceRobustness, Rand: d.cfg.Rand, Logger: d.log, Name: d.cfg.Name,
		Limits: mld.Limits{Groups: 32, Sources: 8},
	}, d.Link)}
	d.Link.SetMulticast(d.groups)
}

// Join makes the device listen to a group: its packets come to the host stack, which must
// have joined as well, and routers are told (RFC 9777). The error is an [mld.Drop].
func (d *Device) Join(now time.Time, group netip.Addr) error {
	if err := d.groups.Join(now, group); err != nil {
		return err
	}
	d.Router.JoinGroup(group)
	return nil
}

// Leave undoes a [Device.Join].
func (d *Device) Leave(now time.Time, group netip.Addr) {
	d.groups.Leave(now, group)
	for _, g := range d.groups.Snapshot().Groups {
		if g.Group == group {
			return // joined more often
		}
	}
	d.Router.LeaveGroup(group)
}

// Groups returns the groups that the device listens to.
func (d *Device) Groups() (list []netip.Addr) {
	for _, g := range d.groups.Snapshot().Groups {
		list = append(list, g.Group)
	}
	return list
}
