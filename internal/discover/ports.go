package discover

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A System is where to look. The zero value is this machine.
type System struct {
	Root string // directory in place of /
}

func (s System) path(elem ...string) string {
	return filepath.Join(append([]string{"/", s.Root}, elem...)...)
}

func (s System) text(elem ...string) string {
	b, _ := os.ReadFile(s.path(elem...)) // what is not there is empty
	return strings.TrimSpace(string(b))
}

// A Port is a serial port of the system.
type Port struct {
	Path      string `json:"path"`              // such as /dev/ttyACM0
	ByID      string `json:"by_id,omitempty"`   // a name that stays when it is plugged in again
	Vendor    string `json:"vendor,omitempty"`  // idVendor of USB, 4 hexadecimal digits
	Product   string `json:"product,omitempty"` // idProduct
	Maker     string `json:"maker,omitempty"`   // as the device calls its manufacturer
	Model     string `json:"model,omitempty"`
	Serial    string `json:"serial,omitempty"`
	Interface string `json:"interface,omitempty"` // of a USB device with several
	Console   bool   `json:"console,omitempty"`   // the kernel writes its messages there
}

// Name returns the path that stays: ByID where there is one.
func (p *Port) Name() string { return cmp.Or(p.ByID, p.Path) }

// String describes the device in a few words.
func (p *Port) String() string {
	var l []string
	for _, s := range []string{p.Maker, p.Model} {
		if s != "" {
			l = append(l, s)
		}
	}
	if p.Vendor != "" {
		l = append(l, "("+p.Vendor+":"+p.Product+")")
	}
	return strings.Join(l, " ")
}

// portPrefixes are the names of ports that radios are behind: USB CDC, USB adapters, and
// the UART of a Raspberry Pi.
var portPrefixes = []string{"ttyACM", "ttyUSB", "ttyAMA"}

// Ports lists the serial ports in order of their paths, without touching them. Beside those
// of portPrefixes it has what /dev/serial0 and /dev/serial1 lead to, the UART of the header
// of a Raspberry Pi.
func (s System) Ports() []Port {
	entries, _ := os.ReadDir(s.path("sys/class/tty")) // none: no ports
	byID := s.links("dev/serial/by-id")
	header := map[string]bool{}
	for _, n := range []string{"serial0", "serial1"} {
		if to, err := os.Readlink(s.path("dev", n)); err == nil {
			header[filepath.Base(to)] = true
		}
	}
	consoles := strings.Fields(s.text("sys/class/tty/console/active"))
	var out []Port
	for _, e := range entries {
		name := e.Name()
		if !header[name] && !slices.ContainsFunc(portPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if _, err := os.Stat(s.path("dev", name)); err != nil {
			continue // sysfs is of the machine, /dev of the container
		}
		p := Port{Path: "/dev/" + name, ByID: byID[name], Console: slices.Contains(consoles, name)}
		s.usb(name, &p)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), strings.Compare(a.Path, b.Path))
	})
	return out
}

// links returns the path of the link in dir by the base name of what it leads to.
func (s System) links(dir string) map[string]string {
	out := map[string]string{}
	entries, _ := os.ReadDir(s.path(dir)) // missing where nothing is plugged in
	for _, e := range entries {
		to, err := os.Readlink(s.path(dir, e.Name()))
		if base := filepath.Base(to); err == nil && out[base] == "" {
			out[base] = "/" + filepath.Join(dir, e.Name())
		}
	}
	return out
}

// usb fills in what sysfs tells of the USB device behind a port.
func (s System) usb(name string, p *Port) {
	dir, err := filepath.EvalSymlinks(s.path("sys/class/tty", name, "device"))
	if err != nil {
		return
	}
	read := func(file string) string {
		b, _ := os.ReadFile(filepath.Join(dir, file)) // what is not there is empty
		return printable(string(b))
	}
	top := s.path("sys")
	if t, err := filepath.EvalSymlinks(top); err == nil {
		top = t
	}
	for ; strings.HasPrefix(dir, top+"/"); dir = filepath.Dir(dir) {
		if p.Interface == "" {
			p.Interface = read("bInterfaceNumber")
		}
		if v := read("idVendor"); v != "" {
			p.Vendor, p.Product = v, read("idProduct")
			p.Maker, p.Model, p.Serial = read("manufacturer"), read("product"), read("serial")
			return
		}
	}
	p.Interface = ""
}

// printable makes what a device says of itself safe for a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80])
	}
	return s
}

// port returns what is known of the port at path, which may be a link, and be relative to the
// working directory.
func (s System) port(path string) Port {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	real, err := filepath.EvalSymlinks(s.path(path))
	if err != nil {
		return Port{Path: path}
	}
	for _, p := range s.Ports() {
		if to, err := filepath.EvalSymlinks(s.path(p.Path)); err == nil && to == real {
			return p
		}
	}
	return Port{Path: path}
}
