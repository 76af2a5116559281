package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// icmpv6 is the protocol of raw sockets that send router advertisements.
const icmpv6 = 58

// senders are programs whose purpose is to send router advertisements.
var senders = []struct{ name, what, fix string }{
	{"radvd", "", "leave the interfaces of border-router out of /etc/radvd.conf, or: sudo systemctl disable --now radvd"},
	{"otbr-agent", "the border router of OpenThread: it wants the dongle and routes for a mesh, too", "sudo systemctl disable --now otbr-agent"},
	{"wpantund", "it wants the dongle, too", "sudo systemctl disable --now wpantund"},
	{"cetic_6lbr", "another 6LoWPAN border router: it wants the dongle, too", "sudo systemctl disable --now 6lbr"},
	{"corerad", "", "leave the interfaces of border-router out of its configuration, or: sudo systemctl disable --now corerad"},
	{"odhcpd", "", "uci set dhcp.lan.ra=disabled && /etc/init.d/odhcpd restart, where it serves the mesh's interface"},
}

// advertisers finds other senders of router advertisements: by process, and as evidence by
// its raw ICMPv6 socket.
func (e *examination) advertisers() {
	raw := map[int]bool{}
	for _, inode := range e.sys.inodes("raw6", icmpv6) {
		if pid := e.sys.socketOwner(inode); pid > 0 {
			raw[pid] = true
		}
	}
	found := false
	add := func(pid int, name, what, fix string) {
		found = true
		s := fmt.Sprintf("%s runs (pid %d)", name, pid)
		if raw[pid] {
			s += " and has a raw ICMPv6 socket"
		}
		if what != "" {
			s += "; " + what
		}
		e.add(Warn, "router advertisements", fix, "%s: hosts may be told of two routers, or of prefixes that are not the mesh's", s)
	}
	for _, s := range senders {
		for _, pid := range e.sys.find(s.name) {
			if s.what == "" && !e.sys.here(pid) {
				continue // it advertises elsewhere
			}
			add(pid, s.name, s.what, s.fix)
		}
	}
	if pids := e.sys.find("systemd-networkd"); len(pids) > 0 && e.sys.here(pids[0]) {
		for _, file := range e.sendRA() {
			add(pids[0], "systemd-networkd", file+" has IPv6SendRA=yes", "set IPv6SendRA=no in "+file+" and: sudo networkctl reload")
		}
	}
	for _, pid := range e.sys.find("dnsmasq") {
		if how := e.dnsmasqRA(pid); how != "" && e.sys.here(pid) {
			add(pid, "dnsmasq", how, "take it out where it is for the mesh's interface, and: sudo systemctl restart dnsmasq")
		}
	}
	if !found {
		e.ok("router advertisements", "no other program is known to send them here")
	}
}

// sendRA returns the files of systemd-networkd that have it send router advertisements.
func (e *examination) sendRA() []string {
	var out []string
	seen := map[string]bool{} // a file in /etc hides one of the same name
	for _, dir := range []string{"etc", "run", "usr/local/lib", "usr/lib"} {
		files, _ := filepath.Glob(e.sys.path(dir, "systemd/network/*.network")) // the pattern is right
		for _, f := range files {
			b, err := os.ReadFile(f)
			if base := filepath.Base(f); err != nil || seen[base] {
				continue
			} else {
				seen[base] = true
			}
			for line := range strings.Lines(string(b)) {
				k, v, _ := strings.Cut(line, "=")
				switch strings.TrimSpace(k) {
				case "IPv6SendRA", "IPv6PrefixDelegation": // its name before version 247
				default:
					continue
				}
				switch strings.ToLower(strings.TrimSpace(v)) {
				case "yes", "true", "on", "1", "static", "dhcpv6":
					out = append(out, "/"+strings.TrimPrefix(strings.TrimPrefix(f, e.sys.path()), "/"))
				}
			}
		}
	}
	return out
}

// dnsmasqRA says what has dnsmasq send router advertisements, "" where nothing does.
func (e *examination) dnsmasqRA(pid int) string {
	cmd, _ := e.sys.text("proc", strconv.Itoa(pid), "cmdline")
	for a := range strings.SplitSeq(cmd, "\x00") {
		if a == "--enable-ra" || strings.HasPrefix(a, "--dhcp-range") && raRange(a) {
			return a + " is on its command line"
		}
	}
	files, _ := filepath.Glob(e.sys.path("etc/dnsmasq.d/*")) // the pattern is right
	for _, f := range append(files, e.sys.path("etc/dnsmasq.conf")) {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if line == "enable-ra" || strings.HasPrefix(line, "dhcp-range") && raRange(line) {
				return line + " stands in /" + strings.TrimPrefix(strings.TrimPrefix(f, e.sys.path()), "/")
			}
		}
	}
	return ""
}

// raRange reports whether a dhcp-range asks for router advertisements (dnsmasq(8)).
func raRange(s string) bool {
	_, list, _ := strings.Cut(s, "=")
	for m := range strings.SplitSeq(list, ",") {
		switch strings.TrimSpace(m) {
		case "ra-only", "slaac", "ra-names", "ra-stateless", "ra-advrouter":
			return true
		}
	}
	return false
}

// modemManager warns of the program that opens each new serial port and speaks to it as to
// a modem.
func (e *examination) modemManager() {
	const name = "ModemManager"
	pids := e.sys.find(name)
	ports := e.serialPorts()
	switch {
	case len(pids) == 0:
		e.ok(name, "not running")
		return
	case len(ports) == 0:
		e.ok(name, "running; no serial radio is used")
		return
	}
	for _, p := range ports {
		if e.ignoredByModemManager(p) {
			e.ok(name, "running; it leaves %s alone", p)
			continue
		}
		e.add(Warn, name, "sudo systemctl disable --now ModemManager, or, where a modem is used: "+e.ignoreRule(p),
			"running (pid %d): it opens %s when it is plugged in and speaks to it as to a modem", pids[0], p)
	}
}

// ignoreRule is the command for a udev rule that keeps ModemManager away from a port.
func (e *examination) ignoreRule(path string) string {
	match := `KERNEL=="` + filepath.Base(path) + `"`
	for _, p := range e.sys.Ports() {
		if (p.Path == path || p.ByID == path) && p.Vendor != "" {
			match = fmt.Sprintf(`ATTRS{idVendor}=="%s", ATTRS{idProduct}=="%s"`, p.Vendor, p.Product)
		}
	}
	return `echo '` + match + `, ENV{ID_MM_DEVICE_IGNORE}="1"' | sudo tee /etc/udev/rules.d/60-border-router.rules && sudo udevadm control --reload && sudo udevadm trigger`
}

// ignoredByModemManager reports whether udev has told it to leave a port alone.
func (e *examination) ignoredByModemManager(path string) bool {
	var st unix.Stat_t
	if unix.Stat(e.sys.path(path), &st) != nil {
		return false
	}
	db, _ := e.sys.text("run/udev/data", fmt.Sprintf("c%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))) // none: udev does not run
	for line := range strings.Lines(db) {
		switch strings.TrimSpace(line) {
		case "E:ID_MM_DEVICE_IGNORE=1", "E:ID_MM_PORT_IGNORE=1":
			return true
		}
	}
	return false
}

// serialPorts returns the paths of the ports that the configuration names, and with auto all
// that there are.
func (e *examination) serialPorts() []string {
	var out []string
	for _, r := range e.cfg.Radios {
		if p := portOf(string(r)); p != "" {
			out = append(out, p)
		} else if r.IsAuto() {
			for _, p := range e.sys.Ports() {
				out = append(out, p.Name())
			}
		}
	}
	return out
}
