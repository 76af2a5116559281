package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"border-router/internal/config"
	"border-router/internal/discover"
	"border-router/internal/radios"
	"border-router/zep"
)

// probeEUI64 is the address of the station that asks whether a hub is there: locally
// administered, and that of no device.
const probeEUI64 = 0x02_00_00_00_00_00_00_00 | 0xd0c7042

// hubWait is how long the refusal of a ZEP hub that does not run may take.
const hubWait = 300 * time.Millisecond

// router finds out whether a router runs with this configuration, and whether one could make
// its management socket.
func (e *examination) router() {
	const name = "management socket"
	path := e.sys.path(e.cfg.Socket)
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		e.running = peerPID(c)
		c.Close()
		if e.running == os.Getpid() || e.running <= 0 {
			e.running = 0
		}
		e.ok(name, "a router is running (pid %d); what it has in use counts as free", e.running)
		return
	} else if errors.Is(err, os.ErrPermission) {
		e.add(Warn, name, "sudo border-router doctor", "%s is of another user, a router may be running: what it has in use cannot be told from what others have", e.cfg.Socket)
		return
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		dir = existing(dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		e.add(Fail, name, "run it as root, or say --socket PATH", "%s cannot be made: %v", e.cfg.Socket, err)
		return
	}
	e.ok(name, "no router is running; %s can be made", e.cfg.Socket)
}

// peerPID returns the process at the other end of a unix socket.
func peerPID(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0
	}
	rc, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = rc.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// portOf returns the path of the serial port of a radio URL, or "".
func portOf(radio string) string {
	u, err := url.Parse(radio)
	if err != nil || u.Scheme != "spinel" && u.Scheme != "slip" {
		return ""
	}
	return u.Path
}

func (e *examination) radio(r config.Radio) {
	name := "radio " + string(r)
	switch {
	case r.IsAuto():
		e.autoRadio(name, r)
	case portOf(string(r)) != "":
		e.serialRadio(name, r)
	case r.Scheme() == "zep":
		e.zepRadio(name, r)
	default:
		e.probe(name, string(r))
	}
}

func (e *examination) autoRadio(name string, r config.Radio) {
	if e.NoProbe {
		e.ok(name, "not looked for")
		return
	}
	query, err := radios.AutoQuery(string(r))
	if err != nil {
		e.add(Fail, name, "", "%v", err)
		return
	}
	f := discover.Finder{Prober: e.Prober}
	for _, other := range e.cfg.Radios {
		if !other.IsAuto() {
			f.Taken = append(f.Taken, string(other))
		}
	}
	found, all, err := f.Find(e.ctx, query)
	switch {
	case err != nil:
		e.add(Fail, name, "say one of them in place of auto", "%v", err)
	case found != nil:
		e.ok(name, "%s: %s", found.Radio.URL, radioText(found.Radio))
	default:
		for _, x := range all {
			if e.ours(x.HeldBy) {
				e.ok(name, "%s is in use by the running router", x.Target)
				return
			}
			if x.State == discover.StateDenied {
				e.permission(name, x.Target)
				return
			}
		}
		e.add(Fail, name, "plug it in; border-router radios looks again", "no radio found, the router would wait for one: %s", discover.Missing(all))
	}
}

func radioText(r *discover.Radio) string {
	s := string(r.Protocol)
	for _, x := range []string{r.Version, r.EUI64} {
		if x != "" {
			s += ", " + x
		}
	}
	return s
}

// ours reports whether all holders are the router that runs.
func (e *examination) ours(hs []discover.Holder) bool {
	return e.running > 0 && len(hs) > 0 && !slices.ContainsFunc(hs, func(h discover.Holder) bool { return h.PID != e.running && h.PID != 0 })
}

func (e *examination) serialRadio(name string, r config.Radio) {
	path := portOf(string(r))
	if _, err := os.Stat(e.sys.path(path)); err != nil {
		fix := "plug it in; ls -l /dev/serial/by-id lists what is there"
		if ports := e.sys.Ports(); len(ports) > 0 {
			fix += "; border-router radios says what they are: " + ports[0].Name()
		}
		e.add(Fail, name, fix, "%s is not there; the router would wait for it", path)
		return
	}
	if hs := e.sys.Holders(path); len(hs) > 0 {
		if e.ours(hs) {
			e.ok(name, "in use by the running router")
			return
		}
		e.add(Fail, name, stopCommand(hs[0]), "%s is in use by %s", path, hs[0])
		return
	}
	if err := unix.Access(e.sys.path(path), unix.R_OK|unix.W_OK); err != nil {
		e.permission(name, path)
		return
	}
	e.probe(name, string(r))
}

// stopCommand ends the process that is in the way.
func stopCommand(h discover.Holder) string {
	switch h.Name {
	case "ModemManager", "otbr-agent", "wpantund", "border-router":
		return fmt.Sprintf("sudo systemctl stop %s, or: kill %d", h.Name, h.PID)
	case "":
		return "sudo border-router doctor says who"
	}
	return fmt.Sprintf("kill %d", h.PID)
}

// permission says how to be let to a port.
func (e *examination) permission(name, path string) {
	if e.running > 0 {
		e.ok(name, "this user may not open %s; the running router may", path)
		return
	}
	who := "$USER"
	u, err := user.Current()
	if err == nil {
		who = u.Username
	}
	var st unix.Stat_t
	_ = unix.Stat(e.sys.path(path), &st) // zero is the group of root
	const wanted = "dialout"
	group := strconv.Itoa(int(st.Gid))
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	if st.Gid == 0 || st.Mode&0o060 != 0o060 {
		e.add(Fail, name, fmt.Sprintf("sudo chgrp %s %s && sudo chmod g+rw %s && sudo usermod -aG %s %s, then log in anew; or run it as root", wanted, path, path, wanted, who),
			"%s: permission denied (group %s, mode %04o: for root alone)", path, group, st.Mode&0o7777)
		return
	}
	if u != nil {
		if ids, err := u.GroupIds(); err == nil && slices.Contains(ids, strconv.Itoa(int(st.Gid))) {
			e.add(Fail, name, "log in anew, or: newgrp "+group, "%s: this user is in the group %s, but was not when logging in", path, group)
			return
		}
	}
	e.add(Fail, name, fmt.Sprintf("sudo usermod -aG %s %s, then log in anew; of a service: SupplementaryGroups=%s", group, who, group),
		"%s: permission denied (its group is %s)", path, group)
}

// probe opens a radio and says what it is.
func (e *examination) probe(name, target string) {
	if e.NoProbe {
		e.ok(name, "not opened")
		return
	}
	x := e.Prober.ProbeTarget(e.ctx, target)
	switch x.State {
	case discover.StateRadio:
		e.ok(name, "%s", radioText(x.Radio))
	case discover.StateInUse:
		if e.ours(x.HeldBy) {
			e.ok(name, "in use by the running router")
			return
		}
		e.add(Fail, name, "sudo border-router doctor says by whom; stop that program", "%s", x.Detail)
	case discover.StateDenied:
		e.permission(name, portOf(target))
	default:
		if e.running > 0 && !strings.HasPrefix(target, "spinel:") && !strings.HasPrefix(target, "slip:") {
			// A radio on the network has one user at a time, and the kernel's is set up.
			e.ok(name, "not asked: the running router may have it (%s)", x.Detail)
			return
		}
		e.add(Fail, name, "border-router radios says what is there", "%s", x.Detail)
	}
}

// zepRadio opens the sockets that the router would, for a moment.
func (e *examination) zepRadio(name string, r config.Radio) {
	c, err := zep.ParseURL(string(r))
	if err != nil {
		e.add(Fail, name, "", "%v", err)
		return
	}
	if c.Mode == zep.Client {
		c.EUI64 = probeEUI64 // who has none says nothing
	}
	z, err := zep.Open(c)
	if err == nil {
		defer z.Close()
	}
	port := uint16(zep.DefaultPort)
	if len(c.Listen) > 0 {
		port = c.Listen[0].Port()
	} else if c.Mode == zep.Broadcast && len(c.Remote) > 0 {
		port = c.Remote[0].Port()
	}
	switch {
	case err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) && e.sys.udpTaken(port):
		h, known := e.sys.udpOwner(port)
		if e.running > 0 && (!known || h.PID == e.running) {
			e.ok(name, "port %d is in use by the running router", port)
			return
		}
		who := "another program"
		if known {
			who = h.String()
		}
		e.add(Fail, name, fmt.Sprintf("stop it, take another port (zep://[::1]:%d), or join it as a client: zep://[::1]:%d?mode=client", port+1, port), "UDP port %d is in use by %s", port, who)
	case err != nil:
		e.add(Fail, name, "ip address shows the addresses of this machine", "%v", err)
	case c.Mode == zep.Client && e.refused(z):
		e.add(Fail, name, "start the hub first: border-router run or sim, or RIOT's dispatcher", "no hub answers at %v", c.Remote[0])
	case c.Mode == zep.Client:
		e.ok(name, "client of %v", c.Remote[0])
	default:
		e.ok(name, "%v on UDP port %d", c.Mode, port)
	}
}

// refused reports whether the machine of a hub says that none runs.
func (e *examination) refused(z *zep.Radio) bool {
	for end := time.Now().Add(hubWait); time.Now().Before(end); time.Sleep(hubWait / 30) {
		if z.HubStats().Refused > 0 {
			return true
		}
	}
	return false
}
