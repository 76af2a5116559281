package ethernet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func explainSocket(name string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("ethernet %s: packet sockets need CAP_NET_RAW: run as root, or once: setcap cap_net_raw,cap_net_admin+ep on the program (%w)", name, err)
	}
	return fmt.Errorf("ethernet %s: open packet socket: %w", name, err)
}

func explainTAP(name string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("ethernet %s: %s is missing; modprobe tun, or in a container pass --device %s (%w)", name, clonePath, clonePath, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("ethernet %s: a TAP interface needs CAP_NET_ADMIN: run as root, or prepare it: ip tuntap add %s mode tap user $USER (%w)", name, name, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("ethernet %s: the TAP interface is in use by another process (%w)", name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("ethernet %s: there is an interface of this name that is no TAP interface; choose another after tap:// (%w)", name, err)
	}
	return fmt.Errorf("ethernet %s: open TAP interface: %w", name, err)
}

func nativeUint16(b [2]byte) uint16 { return binary.NativeEndian.Uint16(b[:]) }

func ioctlFprog(fd int, req uint, fp *unix.SockFprog) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(fp)))
	runtime.KeepAlive(fp)
	if e != 0 {
		return e
	}
	return nil
}
