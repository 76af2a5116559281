package tun

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// fixPrivilege is the way out of a missing CAP_NET_ADMIN.
const fixPrivilege = "run as root, or once: setcap cap_net_admin+ep $(which border-router), or use --uplink user: which needs no privilege"

func privilegeError(name, doing string, err error) error {
	return fmt.Errorf("tun %s: %s: %w (CAP_NET_ADMIN is missing); %s", name, doing, err, fixPrivilege)
}

func isPrivilege(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// explainOpen explains why the clone device cannot be opened.
func explainOpen(name string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("tun %s: open %s: %w; run: modprobe tun, or give the container the device: --device %s --cap-add NET_ADMIN", name, clonePath, err, clonePath)
	case isPrivilege(err):
		return fmt.Errorf("tun %s: open %s: %w; %s; in a container: --device %s --cap-add NET_ADMIN", name, clonePath, err, fixPrivilege, clonePath)
	}
	return fmt.Errorf("tun %s: open %s: %w", name, clonePath, err)
}

// explainAttach explains why TUNSETIFF failed.
func explainAttach(name string, err error) error {
	const doing = "create the interface"
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tun %s: %s: %w: another process has it open; stop the other instance, or choose another name: tun://OTHER", name, doing, err)
	case errors.Is(err, unix.EINVAL):
		if _, e := net.InterfaceByName(name); e == nil {
			return fmt.Errorf("tun %s: %s: %w: there is an interface of that name which is not a TUN with one queue; choose another name: tun://OTHER", name, doing, err)
		}
	case isPrivilege(err):
		return privilegeError(name, doing, err)
	}
	return fmt.Errorf("tun %s: %s: %w", name, doing, err)
}

func explainNoIPv6(name string) error {
	return fmt.Errorf("tun %s: this kernel runs without IPv6; start it without ipv6.disable=1 on its command line, or load the ipv6 module", name)
}

func explainDisabled(name string, err error) error {
	return fmt.Errorf("tun %s: IPv6 is disabled on the interface (%w); run: sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0, in a container: --sysctl net.ipv6.conf.all.disable_ipv6=0", name, err)
}

func explainGone(name string, err error) error {
	if errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("tun %s: the interface was deleted; restart the router to make it again", name)
	}
	return fmt.Errorf("tun %s: read: %w", name, err)
}

// explain explains an error of rtnetlink.
func (d *Device) explain(doing string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES):
		// "Permission denied" for an address is how the kernel says disable_ipv6.
		if v, e := sysctl(ifSysctl(d.name, "disable_ipv6")); e == nil && v == "1" {
			return explainDisabled(d.name, err)
		}
		return privilegeError(d.name, doing, err)
	case isPrivilege(err):
		return privilegeError(d.name, doing, err)
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return explainNoIPv6(d.name)
	}
	return fmt.Errorf("tun %s: %s: %w", d.name, doing, err)
}
