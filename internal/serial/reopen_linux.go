package serial

import (
	"cmp"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const byIDDir = "/dev/serial/by-id"

// Open opens the port as [Open] does: by its link where it has been open before and that is
// there, else by the path of the Config.
func (o *Reopener) Open() (*Port, error) {
	c := o.Config
	if o.link != "" {
		if _, err := os.Stat(o.link); err == nil {
			c.Path = o.link
		}
	}
	p, err := Open(c)
	if err != nil {
		return nil, err
	}
	p.name = o.Path
	if l := p.linkIn(cmp.Or(o.dir, byIDDir)); l != "" {
		o.link = l
	}
	return p, nil
}

// linkIn returns the path of a link in dir that leads to the port, or "".
func (p *Port) linkIn(dir string) string {
	var own unix.Stat_t
	if p.control(func(fd int) error { return unix.Fstat(fd, &own) }) != nil {
		return ""
	}
	entries, _ := os.ReadDir(dir) // missing where there is no udev
	for _, e := range entries {
		var st unix.Stat_t
		path := filepath.Join(dir, e.Name())
		if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == own.Rdev {
			return path
		}
	}
	return ""
}
