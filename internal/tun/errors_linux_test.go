package tun

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"border-router/internal/netnstest"
)

// onThread runs f on a thread of its own, which ends with it: f may change the thread's
// capabilities, user and mounts. It runs in the namespace ns.
func onThread(ns *netnstest.NS, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		ns.Do(f)
	}()
	<-done
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread.
func dropNetAdmin(t *testing.T) {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var c [2]unix.CapUserData
	must(t, unix.Capget(&h, &c[0]))
	c[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	c[0].Permitted &^= 1 << unix.CAP_NET_ADMIN
	must(t, unix.Capset(&h, &c[0]))
}

// ownMounts gives the calling thread a mount namespace of its own.
func ownMounts(t *testing.T) {
	t.Helper()
	must(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
}

func TestOpenErrors(t *testing.T) {
	for _, row := range []struct {
		name    string
		prepare func(t *testing.T, ns *netnstest.NS) // in the test's goroutine
		thread  func(t *testing.T)                   // on the thread that opens
		want    []string                             // parts of the error
	}{
		{"no capability", nil, dropNetAdmin, []string{
			"tun lowpan0: create the interface: operation not permitted (CAP_NET_ADMIN is missing)",
			"run as root", "setcap cap_net_admin+ep $(which border-router)", "--uplink user:"}},
		{"no access to the device", nil, func(t *testing.T) {
			ownMounts(t)
			must(t, unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=0755"))
			must(t, os.WriteFile(clonePath, nil, 0o600))
			_, err := unix.SetfsuidRetUid(65534)
			must(t, err)
		}, []string{"open /dev/net/tun: permission denied", "run as root", "--device /dev/net/tun --cap-add NET_ADMIN"}},
		{"no device", nil, func(t *testing.T) {
			ownMounts(t)
			must(t, unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""))
		}, []string{"open /dev/net/tun: no such file or directory", "modprobe tun", "--device /dev/net/tun"}},
		{"name taken by a process", func(t *testing.T, ns *netnstest.NS) { open(t, ns, config()) }, nil,
			[]string{"tun lowpan0: create the interface: device or resource busy", "stop the other instance", "tun://OTHER"}},
		{"name of another kind", func(t *testing.T, ns *netnstest.NS) {
			ns.LinkTo(netnstest.New(t), "lowpan0", "peer")
		}, nil, []string{"not a TUN", "tun://OTHER"}},
		{"route of another interface", func(t *testing.T, ns *netnstest.NS) {
			ns.LinkTo(netnstest.New(t), "eth7", "peer")
			ns.MustExec("ip", "-6", "route", "add", prefix.String(), "dev", "eth7")
		}, nil, []string{"already has a route for fd00:1::/64 by eth7", "ip -6 route del fd00:1::/64 dev eth7"}},
		{"IPv6 disabled for good", func(_ *testing.T, ns *netnstest.NS) {
			ns.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
		}, func(t *testing.T) {
			ownMounts(t)
			must(t, unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""))
			must(t, unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}, []string{"IPv6 is disabled", "sysctl -w net.ipv6.conf.all.disable_ipv6=0"}},
		{"no privilege to configure", func(_ *testing.T, ns *netnstest.NS) {
			ns.MustExec("ip", "tuntap", "add", "dev", "lowpan0", "mode", "tun")
		}, dropNetAdmin, []string{"tun lowpan0: set MTU 1280: operation not permitted (CAP_NET_ADMIN is missing)", "setcap"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			ns := netnstest.New(t)
			if row.prepare != nil {
				row.prepare(t, ns)
			}
			onThread(ns, func() {
				if row.thread != nil {
					row.thread(t)
				}
				d, err := Open(config())
				if err == nil {
					_ = d.Close()
					t.Error("no error")
					return
				}
				for _, want := range row.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in: %v", want, err)
					}
				}
			})
		})
	}
}

func TestDisabledByDefault(t *testing.T) {
	ns := netnstest.New(t)
	ns.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	open(t, ns, config())
	if out := ns.MustExec("ip", "-6", "addr", "show", "dev", "lowpan0"); !strings.Contains(out, "fd00:1::1") {
		t.Errorf("no address: %s", out)
	}
}

// An interface that an administrator has prepared needs no privilege.
func TestPreparedInterface(t *testing.T) {
	ns := netnstest.New(t)
	ns.MustExec("ip", "tuntap", "add", "dev", "lowpan0", "mode", "tun")
	ns.MustExec("ip", "link", "set", "lowpan0", "mtu", "1280", "addrgenmode", "none", "up")
	ns.MustExec("ip", "addr", "add", own.String(), "dev", "lowpan0", "nodad")
	ns.MustExec("ip", "-6", "route", "add", prefix.String(), "dev", "lowpan0")
	onThread(ns, func() {
		dropNetAdmin(t)
		d, err := Open(config())
		if err != nil {
			t.Error(err)
			return
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if out := ns.MustExec("ip", "-6", "route", "show", "dev", "lowpan0"); !strings.Contains(out, prefix.String()) {
		t.Errorf("the route is gone:\n%s", out)
	}
}
