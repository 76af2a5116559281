package doctor

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
)

// Numbers of the capabilities (capabilities(7)).
const (
	capNetAdmin = 12
	capNetRaw   = 13
)

// capabilities checks what the process may do.
func (e *examination) capabilities() {
	var need []int
	switch {
	case e.uses("wpan"):
		need = []int{capNetAdmin, capNetRaw}
	case e.usesTUN():
		need = []int{capNetAdmin}
	default:
		e.ok("capabilities", "none are needed with the uplink %s", e.cfg.Uplink)
		return
	}
	status, err := e.sys.text("proc/self/status")
	have, found := uint64(0), false
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			have, err = strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			found = err == nil
		}
	}
	if err != nil || !found {
		e.add(Warn, "capabilities", "mount /proc", "not known: /proc/self/status cannot be read")
		return
	}
	name := map[int]string{capNetAdmin: "CAP_NET_ADMIN", capNetRaw: "CAP_NET_RAW"}
	var missing, all []string
	for _, c := range need {
		all = append(all, name[c])
		if have>>c&1 == 0 {
			missing = append(missing, name[c])
		}
	}
	switch {
	case len(missing) == 0:
		e.ok("capabilities", "%s", strings.Join(all, ", "))
	case e.running > 0:
		e.ok("capabilities", "this user has no %s; the running router does", strings.Join(missing, ", "))
	default:
		program, err := os.Executable()
		if err != nil {
			program = "border-router"
		}
		fix := "sudo setcap " + strings.ToLower(strings.Join(all, ",")) + "+ep " + program + ", or run it as root"
		if len(need) == 1 {
			fix += ", or use --uplink user: which needs none"
		}
		e.add(Fail, "capabilities", fix+"; in a container: --cap-add "+strings.Join(stripCap(all), " --cap-add "), "missing: %s", strings.Join(missing, ", "))
	}
}

func stripCap(l []string) []string {
	var out []string
	for _, s := range l {
		out = append(out, strings.TrimPrefix(s, "CAP_"))
	}
	return out
}

// tun checks the clone device, and that the name of the interface is free.
func (e *examination) tun() {
	if !e.usesTUN() {
		return
	}
	const clone = "/dev/net/tun"
	f, err := os.OpenFile(e.sys.path(clone), os.O_RDWR, 0)
	if err == nil {
		f.Close() // nothing comes of an open alone
	}
	switch {
	case e.running > 0 && err != nil:
		e.ok("TUN device", "this user may not open %s; the running router may", clone)
	case errors.Is(err, os.ErrPermission):
		e.add(Fail, "TUN device", "run it as root, or: sudo chmod 0666 "+clone+"; in a container: --device "+clone, "%s cannot be opened: permission denied", clone)
	case err != nil:
		e.add(Fail, "TUN device", "sudo modprobe tun; in a container: --device "+clone+" --cap-add NET_ADMIN; or use --uplink user:", "%s: %v", clone, cause(err))
	default:
		e.tunName()
	}
}

func (e *examination) tunName() {
	name := e.cfg.Uplink.Name
	list, _ := e.Interfaces() // none: the name is free
	for _, i := range list {
		if i.Name != name {
			continue
		}
		switch {
		case e.running > 0:
			e.ok("TUN device", "%s is that of the running router", name)
		case i.Flags&net.FlagPointToPoint == 0:
			e.add(Fail, "TUN device", "choose another name: --uplink tun://OTHER", "there is an interface %s, and it is not a TUN", name)
		case i.Flags&net.FlagRunning != 0:
			e.add(Fail, "TUN device", "stop that program, or choose another name: --uplink tun://OTHER", "%s is in use by another program", name)
		default:
			e.ok("TUN device", "%s is there and free", name)
		}
		return
	}
	e.ok("TUN device", "can be opened; %s is free", name)
}

// cause leaves out what an error of os repeats.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
