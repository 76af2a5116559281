package doctor

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"border-router/internal/discover"
)

// A machine reads what the kernel tells.
type machine struct{ discover.System }

func (m machine) path(elem ...string) string {
	return filepath.Join(append([]string{"/", m.Root}, elem...)...)
}

func (m machine) text(elem ...string) (string, error) {
	b, err := os.ReadFile(m.path(elem...))
	return strings.TrimSpace(string(b)), err
}

// sysctl reads a setting of IPv6, such as "all", "forwarding".
func (m machine) sysctl(iface, key string) (string, error) {
	return m.text("proc/sys/net/ipv6/conf", iface, key)
}

// sysctlCommand sets one; in a name with dots they are slashes (sysctl(8)).
func sysctlCommand(iface, key, value string) string {
	return "sudo sysctl -w net.ipv6.conf." + strings.ReplaceAll(iface, ".", "/") + "." + key + "=" + value
}

// net opens a table of the network namespace of this thread, and of the process where the
// root directory has no threads.
func (m machine) net(table string) string {
	s, err := m.text("proc/thread-self/net", table)
	if err != nil {
		s, _ = m.text("proc/net", table) // what is not there has no lines
	}
	return s
}

// A kernelRoute is a line of the table ipv6_route.
type kernelRoute struct {
	dst    netip.Prefix
	iface  string
	fromRA bool
}

const (
	rtfGateway  = 0x2
	rtfReject   = 0x200
	rtfAddrconf = 0x40000 // learnt from a router advertisement
)

// routes returns the IPv6 routes through a gateway.
func (m machine) routes() []kernelRoute {
	var out []kernelRoute
	for line := range strings.Lines(m.net("ipv6_route")) {
		f := strings.Fields(line)
		if len(f) != 10 {
			continue
		}
		b, err := hex.DecodeString(f[0])
		bits, err2 := strconv.ParseUint(f[1], 16, 8)
		flags, err3 := strconv.ParseUint(f[8], 16, 32)
		if err != nil || err2 != nil || err3 != nil || len(b) != 16 || bits > 128 || flags&rtfGateway == 0 || flags&rtfReject != 0 {
			continue
		}
		out = append(out, kernelRoute{netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), int(bits)), f[9], flags&rtfAddrconf != 0})
	}
	return out
}

// defaultInterfaces returns the interfaces that a default route leads to, of IPv6 or IPv4.
func (m machine) defaultInterfaces() (names []string, fromRA []string) {
	add := func(l *[]string, s string) {
		if !slices.Contains(*l, s) {
			*l = append(*l, s)
		}
	}
	for _, r := range m.routes() {
		if r.dst.Bits() == 0 {
			add(&names, r.iface)
			if r.fromRA {
				add(&fromRA, r.iface)
			}
		}
	}
	for line := range strings.Lines(m.net("route")) { // Iface Destination Gateway Flags ...
		f := strings.Fields(line)
		if len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			add(&names, f[0])
		}
	}
	return names, fromRA
}

// socketOwner returns the process that has the socket with an inode.
func (m machine) socketOwner(inode string) int {
	want := "socket:[" + inode + "]"
	for _, pid := range m.Processes() {
		dir := m.path("proc", strconv.Itoa(pid), "fd")
		fds, _ := os.ReadDir(dir) // of another user: not known
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == want {
				return pid
			}
		}
	}
	return 0
}

// inodes returns the inodes of the sockets in a table of /proc/net with a local port, which
// of a raw socket is the protocol.
func (m machine) inodes(table string, port uint16) []string {
	var out []string
	suffix := ":" + strings.ToUpper(hex.EncodeToString([]byte{byte(port >> 8), byte(port)}))
	for line := range strings.Lines(m.net(table)) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], suffix) {
			out = append(out, f[9])
		}
	}
	return out
}

// udpOwner returns who listens on a UDP port.
func (m machine) udpOwner(port uint16) (discover.Holder, bool) {
	for _, table := range []string{"udp", "udp6"} {
		for _, inode := range m.inodes(table, port) {
			if pid := m.socketOwner(inode); pid > 0 {
				return discover.Holder{PID: pid, Name: m.ProcessName(pid)}, true
			}
		}
	}
	return discover.Holder{}, false
}

// udp6Owners returns who has a UDP port of IPv6, as far as this user may know.
func (m machine) udp6Owners(port uint16) (list []discover.Holder) {
	for _, inode := range m.inodes("udp6", port) {
		if pid := m.socketOwner(inode); pid > 0 {
			list = append(list, discover.Holder{PID: pid, Name: m.ProcessName(pid)})
		}
	}
	return list
}

// udpTaken reports whether somebody listens on a UDP port.
func (m machine) udpTaken(port uint16) bool {
	return len(m.inodes("udp", port))+len(m.inodes("udp6", port)) > 0
}

// here reports whether a process is in the network namespace of this thread, as far as that is
// known; in that of a container, what it sends is for others.
func (m machine) here(pid int) bool {
	own, err := os.Readlink(m.path("proc/thread-self/ns/net"))
	other, err2 := os.Readlink(m.path("proc", strconv.Itoa(pid), "ns/net"))
	return err != nil || err2 != nil || own == other
}

// find returns the processes with a name.
func (m machine) find(name string) []int {
	if len(name) > 15 { // TASK_COMM_LEN
		name = name[:15]
	}
	var out []int
	for _, pid := range m.Processes() {
		if m.ProcessName(pid) == name {
			out = append(out, pid)
		}
	}
	return out
}
