package netnstest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An NS is a network namespace that lives until the end of the test. Its methods may be
// called from any goroutine; those that fail the test only from the test's own.
type NS struct {
	t  testing.TB
	fd int
}

// New makes a namespace with loopback up. It skips the test, with the reason, where the
// process may not.
func New(t testing.TB) *NS {
	t.Helper()
	fd, err := unshare()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("cannot make a network namespace: %v; run the tests as root", err)
	}
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	hold(t, unix.LOCK_SH)
	t.Cleanup(func() { _ = unix.Close(fd) })
	n := &NS{t: t, fd: fd}
	n.Sysctl("net.ipv6.conf.all.disable_ipv6", "0")
	for _, c := range []string{"all", "default"} {
		n.Sysctl("net.ipv6.conf."+c+".accept_dad", "0")
	}
	n.Sysctl("net.ipv6.conf.default.dad_transmits", "0")
	n.netlink(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

// unshare makes a namespace on a thread of its own and returns a descriptor of it.
func unshare() (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("unshare(CLONE_NEWNET): %w", err)
			return
		}
		fd, err = openThreadNS()
	}()
	<-done
	return fd, err
}

func openThreadNS() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// Do runs f inside the namespace. Sockets that f opens stay inside; goroutines that f
// starts are outside. f may call Do of another namespace, and t.Fatal.
func (n *NS) Do(f func()) {
	n.t.Helper()
	runtime.LockOSThread()
	home, err := openThreadNS()
	if err == nil {
		err = unix.Setns(n.fd, unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		n.t.Fatalf("enter network namespace: %v", err)
	}
	defer func() {
		// A thread that cannot go back stays locked and ends with its goroutine.
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		_ = unix.Close(home)
	}()
	f()
}

// Exec runs a program inside the namespace and returns what it wrote to both outputs.
func (n *NS) Exec(name string, args ...string) (string, error) {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// MustExec is Exec that fails the test on an error.
func (n *NS) MustExec(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Exec(name, args...)
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// waitDelay is how long the outputs of a killed program are still read.
const waitDelay = 2 * time.Second

// Start starts cmd inside the namespace. It is killed at the end of the test if it still
// runs then; the caller may Wait for it.
func (n *NS) Start(cmd *exec.Cmd) error {
	n.t.Helper()
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = waitDelay
	}
	var err error
	n.Do(func() { err = cmd.Start() })
	if err != nil {
		return err
	}
	n.t.Cleanup(func() {
		if cmd.ProcessState == nil && cmd.Process.Kill() == nil {
			_ = cmd.Wait()
		}
	})
	return nil
}

// LinkTo joins n and other by two Ethernet interfaces, here in n and there in other, both
// up.
func (n *NS) LinkTo(other *NS, here, there string) {
	n.t.Helper()
	n.netlink(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: there, PeerNamespace: netlink.NsFd(other.fd)}
		veth.Name = here
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("add veth %s to %s: %w", here, there, err)
		}
		return netlink.LinkSetUp(veth)
	})
	other.netlink(func() error {
		l, err := netlink.LinkByName(there)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
}

// AddAddress adds an address to an interface.
func (n *NS) AddAddress(link string, a netip.Prefix) {
	n.t.Helper()
	n.netlink(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		flags := 0
		if a.Addr().Is6() {
			flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(a), Flags: flags})
	})
}

// AddRoute adds a route. Without a valid via, the destination is on the link itself.
func (n *NS) AddRoute(dst netip.Prefix, via netip.Addr, link string) {
	n.t.Helper()
	n.netlink(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst)}
		if via.IsValid() {
			r.Gw = via.AsSlice()
		}
		return netlink.RouteAdd(r)
	})
}

// Sysctl sets a kernel parameter of the namespace, written as for sysctl(8).
func (n *NS) Sysctl(key, value string) {
	n.t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	n.Do(func() {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			n.t.Fatalf("sysctl -w %s=%s: %v", key, value, err)
		}
	})
}

func (n *NS) netlink(f func() error) {
	n.t.Helper()
	n.Do(func() {
		if err := f(); err != nil {
			n.t.Fatal(err)
		}
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
