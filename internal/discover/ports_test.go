package discover

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// tree makes files in a new directory: "path" with text, or "path -> target" for a link.
func tree(t *testing.T, files map[string]string, links map[string]string) System {
	t.Helper()
	root := t.TempDir()
	make := func(path string) string {
		p := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for path, text := range files {
		if err := os.WriteFile(make(path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, to := range links {
		if err := os.Symlink(to, make(path)); err != nil {
			t.Fatal(err)
		}
	}
	return System{Root: root}
}

func TestPorts(t *testing.T) {
	const usb = "sys/devices/pci0000:00/usb1/1-1/"
	s := tree(t, map[string]string{
		usb + "idVendor": "1915\n", usb + "idProduct": "521f\n", usb + "manufacturer": "Nordic\x1b[31m Semiconductor\n",
		usb + "product": "OpenThread RCP\n", usb + "serial": "E1F2\n",
		usb + "1-1:1.0/bInterfaceNumber":        "00\n",
		usb + "1-1:1.0/tty/ttyACM0/dev":         "166:0\n",
		"sys/devices/platform/uart/tty/x":       "",
		"sys/class/tty/ttyS0/dev":               "4:64\n",
		"sys/class/tty/ttyS1/dev":               "4:65\n",
		"sys/class/tty/ttyUSB3/dev":             "188:3\n", // not in /dev
		"sys/class/tty/ttyUSB10/dev":            "188:10\n",
		"sys/class/tty/tty1/dev":                "4:1\n",
		"sys/class/tty/console/active":          "tty0 ttyAMA0\n",
		"dev/ttyACM0":                           "",
		"dev/ttyAMA0":                           "",
		"dev/ttyS0":                             "",
		"dev/ttyS1":                             "",
		"dev/tty1":                              "",
		"dev/ttyUSB10":                          "",
		"sys/class/net/wpan0/type":              "804\n",
		"sys/class/net/mon0/type":               "805\n",
		"sys/class/net/eth0/type":               "1\n",
		"sys/class/tty/ttyAMA0/unrelated":       "",
		"dev/serial/by-path/platform-uart-port": "",
	}, map[string]string{
		"sys/class/tty/ttyACM0/device":                                       "../../../devices/pci0000:00/usb1/1-1/1-1:1.0",
		"sys/class/tty/ttyAMA0/device":                                       "../../../devices/platform/uart",
		"dev/serial/by-id/usb-Nordic_Semiconductor_OpenThread_RCP_E1F2-if00": "../../ttyACM0",
		"dev/serial0": "ttyS0",
	})
	want := []Port{
		{Path: "/dev/ttyS0"},
		{Path: "/dev/ttyACM0", ByID: "/dev/serial/by-id/usb-Nordic_Semiconductor_OpenThread_RCP_E1F2-if00", Vendor: "1915", Product: "521f",
			Maker: "Nordic[31m Semiconductor", Model: "OpenThread RCP", Serial: "E1F2", Interface: "00"},
		{Path: "/dev/ttyAMA0", Console: true},
		{Path: "/dev/ttyUSB10"},
	}
	if got := s.Ports(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got := s.port(want[1].ByID); got != want[1] {
		t.Errorf("by id: %+v", got)
	}
	if got := want[1].String(); got != "Nordic[31m Semiconductor OpenThread RCP (1915:521f)" {
		t.Errorf("described as %q", got)
	}
	if got := s.Interfaces(); !reflect.DeepEqual(got, []string{"wpan0"}) {
		t.Errorf("interfaces %q", got)
	}
	if got := (System{Root: t.TempDir()}).Ports(); got != nil {
		t.Errorf("of an empty machine: %+v", got)
	}
	p := Prober{System: s}
	for _, r := range p.List() {
		if want := map[bool]State{true: StateConsole, false: StateNotProbed}[r.Target == "/dev/ttyAMA0"]; r.State != want {
			t.Errorf("%s: %s", r.Target, r.State)
		}
	}
}
