package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"border-router/ieee802154"
	"border-router/internal/config"
	"border-router/internal/discover"
	"border-router/internal/dongle"
	"border-router/internal/netnstest"
	"border-router/internal/state"
)

// files makes a machine of files.
func files(t *testing.T, m map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range m {
		p := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// good is a machine on which all is well.
func good() map[string]string {
	conf := "proc/sys/net/ipv6/conf/"
	return map[string]string{
		"proc/self/status": "Name:\tx\nCapEff:\t000001ffffffffff\n", "dev/net/tun": "",
		conf + "all/disable_ipv6": "0\n", conf + "all/forwarding": "1\n",
		conf + "eth0/forwarding": "1\n", conf + "eth0/accept_ra": "2\n", conf + "eth0/accept_ra_rt_info_max_plen": "64\n",
		"proc/net/ipv6_route": raDefault,
		"var/x":               "", "run/border-router/x": "",
	}
}

// raDefault is a default route that was learnt from a router advertisement, as the kernel
// writes it.
const raDefault = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000003 00000000 00450003     eth0\n"

// noRadio is a radio that is always well: a client of nobody in particular.
func testConfig(t *testing.T, radios ...config.Radio) *config.Config {
	t.Helper()
	c := config.Default()
	if c.Radios = radios; radios == nil {
		c.Radios = []config.Radio{"zep://127.0.0.1:0"}
	}
	c.StateDir, c.Socket = "/var/lib/border-router", "/run/border-router/control.sock"
	return c
}

func look(t *testing.T, root string, c *config.Config, change func(*Options)) *Report {
	t.Helper()
	o := Options{
		Config: c, Prober: discover.Prober{System: discover.System{Root: root}},
		Interfaces: func() ([]net.Interface, error) { return nil, nil },
		Clock:      func() (time.Time, bool, error) { return epoch.AddDate(1, 0, 0), true, nil },
	}
	if change != nil {
		change(&o)
	}
	return Run(t.Context(), o)
}

// expect finds the check, with its status and parts of what it says and how it is mended.
func (r *Report) expect(t *testing.T, s Status, name, what, fix string) {
	t.Helper()
	for _, c := range r.Checks {
		if strings.HasPrefix(c.Name, name) && c.Status == s && strings.Contains(c.What, what) && strings.Contains(c.Fix, fix) {
			return
		}
	}
	t.Errorf("no %s of %q with %q and %q among", s, name, what, fix)
	for _, c := range r.Checks {
		t.Logf("  %+v", c)
	}
}

func TestWell(t *testing.T) {
	r := look(t, files(t, good()), testConfig(t), nil)
	if r.Warnings != 0 || r.Failures != 0 {
		t.Errorf("%+v", r)
	}
	if r.expect(t, OK, "accept_ra", "right for eth0", ""); len(r.Checks) < 12 {
		t.Errorf("%d checks", len(r.Checks))
	}
	c := testConfig(t)
	c.Uplink, c.StateDir = config.Uplink{Kind: config.UplinkUser}, config.NoState
	r = look(t, files(t, map[string]string{"run/border-router/x": ""}), c, nil)
	if r.Warnings != 0 || r.Failures != 0 {
		t.Errorf("with the user's stack: %+v", r)
	}
}

// TestMachines changes one thing on a machine that is well.
func TestMachines(t *testing.T) {
	const conf = "proc/sys/net/ipv6/conf/"
	for _, tt := range []struct {
		name   string
		change map[string]string // "-": the file is not there
		status Status
		check  string
		what   string
		fix    string
	}{
		{"no capability", map[string]string{"proc/self/status": "CapEff:\t0000000000000000\n"}, Fail, "capabilities", "missing: CAP_NET_ADMIN", "setcap cap_net_admin+ep"},
		{"no /proc", map[string]string{"proc/self/status": "-"}, Warn, "capabilities", "not known", "mount"},
		{"no TUN", map[string]string{"dev/net/tun": "-"}, Fail, "TUN device", "no such file", "modprobe tun"},
		{"no IPv6", map[string]string{conf + "all/disable_ipv6": "-"}, Fail, "IPv6 of the kernel", "without IPv6", "ipv6.disable=1"},
		{"IPv6 off", map[string]string{conf + "all/disable_ipv6": "1\n"}, Fail, "IPv6 of the kernel", "disabled", "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0"},
		{"no forwarding", map[string]string{conf + "all/forwarding": "0\n"}, Warn, "forwarding", "is off", "sudo sysctl -w net.ipv6.conf.all.forwarding=1"},
		{"no forwarding, RA", map[string]string{conf + "all/forwarding": "0\n", conf + "eth0/forwarding": "0\n", conf + "eth0/accept_ra": "1\n"}, Warn, "forwarding",
			"is off", "net.ipv6.conf.eth0.accept_ra=2 && sudo sysctl -w net.ipv6.conf.all.forwarding=1"},
		{"no forwarding there", map[string]string{conf + "eth0/forwarding": "0\n"}, Warn, "forwarding", "eth0 does not forward", "net.ipv6.conf.eth0.forwarding=1"},
		{"accept_ra", map[string]string{conf + "eth0/accept_ra": "1\n"}, Warn, "accept_ra", "its default route came from one", "sudo sysctl -w net.ipv6.conf.eth0.accept_ra=2"},
		{"accept_ra, IPv4 route", map[string]string{conf + "eth0/accept_ra": "1\n", "proc/net/ipv6_route": "", "proc/net/route": "Iface Destination Gateway Flags\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"},
			Warn, "accept_ra", "no prefix", "net.ipv6.conf.eth0.accept_ra=2"},
		{"accept_ra of a VLAN", map[string]string{conf + "eth0.7/accept_ra": "1\n", conf + "eth0.7/forwarding": "1\n", "proc/net/ipv6_route": strings.Replace(raDefault, "eth0", "eth0.7", 1)},
			Warn, "accept_ra", "eth0.7", "sudo sysctl -w net.ipv6.conf.eth0/7.accept_ra=2"},
		{"accept_ra by a program", map[string]string{conf + "eth0/accept_ra": "0\n", conf + "eth0/accept_ra_rt_info_max_plen": "0\n"}, OK, "routes by RA", "by a program", ""},
		{"no LAN", map[string]string{"proc/net/ipv6_route": ""}, Warn, "accept_ra", "no interface leads to a LAN", "ip link"},
		{"rt_info", map[string]string{conf + "eth0/accept_ra_rt_info_max_plen": "0\n"}, Warn, "routes by RA", "= 0)", "sudo sysctl -w net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=64"},
		{"rt_info 48", map[string]string{conf + "eth0/accept_ra_rt_info_max_plen": "48\n"}, Warn, "routes by RA", "= 48)", "=64"},
		{"no rt_info", map[string]string{conf + "eth0/accept_ra_rt_info_max_plen": "-"}, Warn, "routes by RA", "takes no routes", "CONFIG_IPV6_ROUTE_INFO"},
		{"radvd", map[string]string{"proc/77/comm": "radvd\n"}, Warn, "router advertisements", "radvd runs (pid 77):", "disable --now radvd"},
		{"otbr-agent", map[string]string{"proc/78/comm": "otbr-agent\n"}, Warn, "router advertisements", "OpenThread", "disable --now otbr-agent"},
		{"dnsmasq", map[string]string{"proc/80/comm": "dnsmasq\n", "proc/80/cmdline": "dnsmasq\x00--enable-ra\x00"}, Warn, "router advertisements", "--enable-ra is on its command line", "restart dnsmasq"},
		{"dnsmasq file", map[string]string{"proc/80/comm": "dnsmasq\n", "etc/dnsmasq.d/lan": "# x\ndhcp-range = ::,constructor:eth0,slaac\n"}, Warn, "router advertisements", "stands in /etc/dnsmasq.d/lan", ""},
		{"dnsmasq without", map[string]string{"proc/80/comm": "dnsmasq\n", "etc/dnsmasq.conf": "dhcp-range=192.168.1.10,192.168.1.20\n"}, OK, "router advertisements", "no other", ""},
		{"ModemManager", map[string]string{"proc/81/comm": "ModemManager\n"}, OK, "ModemManager", "no serial radio", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := good()
			for path, text := range tt.change {
				if text == "-" {
					delete(m, path)
				} else {
					m[path] = text
				}
			}
			look(t, files(t, m), testConfig(t), nil).expect(t, tt.status, tt.check, tt.what, tt.fix)
		})
	}
}

func TestNetworkd(t *testing.T) {
	m := good()
	m["proc/79/comm"] = "systemd-network\n" // as the kernel cuts it
	m["etc/systemd/network/10-lan.network"] = "[Match]\nName=eth0\n[Network]\nIPv6SendRA = yes\n"
	m["usr/lib/systemd/network/10-lan.network"] = "[Network]\nIPv6SendRA=yes\n" // hidden by that of /etc
	m["etc/systemd/network/20-wan.network"] = "[Network]\nIPv6SendRA=no\n"
	r := look(t, files(t, m), testConfig(t), nil)
	r.expect(t, Warn, "router advertisements", "/etc/systemd/network/10-lan.network has IPv6SendRA=yes", "networkctl reload")
	if r.Warnings != 1 {
		t.Errorf("%d warnings", r.Warnings)
	}
}

// TestElsewhere: programs in the network namespaces of containers advertise to others, but may
// want the dongle all the same.
func TestElsewhere(t *testing.T) {
	m := good()
	m["proc/77/comm"], m["proc/78/comm"], m["proc/79/comm"] = "radvd\n", "radvd\n", "otbr-agent\n"
	root := files(t, m)
	for of, ns := range map[string]string{"thread-self": "net:[1]", "77": "net:[2]", "78": "net:[1]", "79": "net:[2]"} {
		dir := filepath.Join(root, "proc", of, "ns")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(ns, filepath.Join(dir, "net")); err != nil {
			t.Fatal(err)
		}
	}
	r := look(t, root, testConfig(t), nil)
	r.expect(t, Warn, "router advertisements", "radvd runs (pid 78)", "")
	r.expect(t, Warn, "router advertisements", "otbr-agent runs (pid 79)", "")
	if r.Warnings != 2 {
		t.Errorf("%d warnings: %+v", r.Warnings, r.Checks)
	}
}

// TestRawSocket tells which program has the raw ICMPv6 socket.
func TestRawSocket(t *testing.T) {
	m := good()
	m["proc/77/comm"] = "radvd\n"
	m["proc/net/raw6"] = "  sl  local_address\n   58: 00000000000000000000000000000000:003A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n"
	root := files(t, m)
	if err := os.MkdirAll(filepath.Join(root, "proc/77/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(root, "proc/77/fd/5")); err != nil {
		t.Fatal(err)
	}
	look(t, root, testConfig(t), nil).expect(t, Warn, "router advertisements", "radvd runs (pid 77) and has a raw ICMPv6 socket", "")
}

// TestClientPort tells who has the port for asking for a prefix beside the kernel, where
// that is asked for.
func TestClientPort(t *testing.T) {
	const name = "DHCPv6 client port"
	c := testConfig(t)
	c.LAN.Interface = "eth0"
	m := good()
	for _, x := range look(t, files(t, m), c, nil).Checks {
		if x.Name == name {
			t.Errorf("no prefix is asked for: %+v", x)
		}
	}
	c.DHCP.Delegation = config.SwitchOn
	look(t, files(t, m), c, nil).expect(t, OK, name, "UDP 546 is free", "")

	m["proc/77/comm"] = "dhclient\n"
	m["proc/net/udp6"] = "  sl  local_address\n   58: 00000000000000000000000000000000:0222 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n"
	root := files(t, m)
	look(t, root, c, nil).expect(t, Warn, name, "in use by another program", "leave DHCPv6 on eth0")
	if err := os.MkdirAll(filepath.Join(root, "proc/77/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(root, "proc/77/fd/5")); err != nil {
		t.Fatal(err)
	}
	look(t, root, c, nil).expect(t, Warn, name, "in use by dhclient", `dhcp.delegation = "off"`)

	e := examination{Options: Options{Prober: discover.Prober{System: discover.System{Root: root}}}, sys: machine{discover.System{Root: root}}, cfg: c, running: 77}
	e.dhcpClientPort()
	e.report.expect(t, OK, name, "in use by the running router", "")
}

func TestClock(t *testing.T) {
	at := func(now time.Time, sync bool, err error) func(*Options) {
		return func(o *Options) {
			o.Clock = func() (time.Time, bool, error) { return now, sync, err }
		}
	}
	root := files(t, good())
	look(t, root, testConfig(t), at(time.Unix(0, 0), true, nil)).expect(t, Warn, "clock", "1970-01-01", "timedatectl set-ntp true")
	look(t, root, testConfig(t), at(epoch.Add(time.Hour), false, nil)).expect(t, Warn, "clock", "not synchronised", "timedatectl")
	look(t, root, testConfig(t), at(epoch.Add(time.Hour), false, errors.New("no"))).expect(t, OK, "clock", "not known", "")
	if now, _, err := systemClock(); err != nil || time.Since(now) > time.Minute {
		t.Errorf("of the system: %v, %v", now, err)
	}
}

func TestConfiguration(t *testing.T) {
	root := files(t, good())
	r := look(t, root, nil, func(o *Options) { o.ConfigErr, o.NoProbe = errors.New("x.toml:3: want a list"), true })
	r.expect(t, Fail, "configuration", "x.toml:3: want a list", "config --default")
	r.expect(t, OK, "forwarding", "on", "") // the rest is checked
	look(t, root, testConfig(t), func(o *Options) { o.ConfigFile = "/etc/br.toml" }).expect(t, OK, "configuration", "/etc/br.toml is valid", "")
}

func TestTUNName(t *testing.T) {
	root := files(t, good())
	with := func(flags net.Flags) func(*Options) {
		return func(o *Options) {
			o.Interfaces = func() ([]net.Interface, error) { return []net.Interface{{Name: "lowpan0", Flags: flags}}, nil }
		}
	}
	look(t, root, testConfig(t), with(net.FlagPointToPoint)).expect(t, OK, "TUN device", "is there and free", "")
	look(t, root, testConfig(t), with(net.FlagPointToPoint|net.FlagRunning)).expect(t, Fail, "TUN device", "in use by another program", "tun://OTHER")
	look(t, root, testConfig(t), with(net.FlagBroadcast)).expect(t, Fail, "TUN device", "not a TUN", "tun://OTHER")
}

func TestState(t *testing.T) {
	root := files(t, good())
	c := testConfig(t)
	look(t, root, c, nil).expect(t, OK, "state directory", "will be made", "")

	dir := filepath.Join(root, c.StateDir)
	s, err := state.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The lock of a process of ours, which is not a router that runs.
	r := look(t, root, c, nil)
	r.expect(t, Fail, "state directory", "is in use by", "--state-dir")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look(t, root, c, nil).expect(t, OK, "state directory", "its file can be read", "")

	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	look(t, root, c, nil).expect(t, Warn, "state directory", "everybody may write", "chmod 0700")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(dir, state.File)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"noise": []byte(strings.Repeat("noise", 9000)), "cut": b[:len(b)/2], "empty pages": append(append([]byte{}, b[:8192]...), make([]byte, len(b)-8192)...)} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		look(t, root, c, nil).expect(t, Warn, "state directory", "damaged", state.File)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look(t, root, c, nil).expect(t, OK, "state directory", "nothing is kept there yet", "")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look(t, root, c, nil).expect(t, Fail, "state directory", "is not a directory", "--state-dir")
}

// TestMain is another process where it is told to be one: it listens as a router does and has
// a file locked.
func TestMain(m *testing.M) {
	socket, file := os.Getenv("TEST_SOCKET"), os.Getenv("TEST_LOCK")
	if socket == "" {
		os.Exit(m.Run())
	}
	db, err := bbolt.Open(file, 0o600, nil)
	if err == nil {
		var l net.Listener
		if l, err = net.Listen("unix", socket); err == nil {
			for {
				if c, err := l.Accept(); err == nil {
					c.Close()
				}
			}
		}
	}
	fmt.Fprintln(os.Stderr, err, db)
	os.Exit(1)
}

// TestRunning counts what a running router has as free.
func TestRunning(t *testing.T) {
	m := good()
	m["proc/self/status"] = "CapEff:\t0\n"
	delete(m, "dev/net/tun")
	root := files(t, m)
	c := testConfig(t)
	dir := filepath.Join(root, c.StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(root, c.Socket)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_SOCKET="+socket, "TEST_LOCK="+filepath.Join(dir, state.File))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the other process does not listen")
		}
	}
	r := look(t, root, c, nil)
	pid := strconv.Itoa(cmd.Process.Pid)
	r.expect(t, OK, "management socket", "a router is running (pid "+pid+")", "")
	r.expect(t, OK, "capabilities", "the running router does", "")
	r.expect(t, OK, "TUN device", "the running router may", "")
	r.expect(t, OK, "state directory", "in use by the running router", "")
	if r.Failures != 0 {
		t.Errorf("%+v", r)
	}

	// With a socket of its own the state of the other is in the way.
	c.Socket = "/run/border-router/other.sock"
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/locks"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	r = look(t, root, c, nil)
	r.expect(t, Fail, "state directory", "is in use by pid "+pid, "kill "+pid)
	r.expect(t, Fail, "capabilities", "missing: CAP_NET_ADMIN", "setcap")

	e := examination{running: 42}
	if !e.ours([]discover.Holder{{PID: 42}}) || e.ours([]discover.Holder{{PID: 42}, {PID: 43}}) || e.ours(nil) {
		t.Error("what is ours is not told from what is not")
	}
}

func TestSocketDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: to give up its rights")
	}
	c := testConfig(t)
	c.Socket, c.StateDir = "/proc/sys/x/control.sock", "/proc/sys/state" // where nobody makes files
	c.Uplink = config.Uplink{Kind: config.UplinkUser}
	o := Options{Config: c, NoProbe: true}
	r := Run(context.Background(), o)
	r.expect(t, Fail, "state directory", "cannot be made", "sudo mkdir -p")
	r.expect(t, Fail, "management socket", "cannot be made", "--socket PATH")
}

// TestNamespace reads the settings of the network namespace it runs in.
func TestNamespace(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	a.LinkTo(b, "up0", "down0")
	for k, v := range map[string]string{"all.forwarding": "1", "up0.accept_ra": "1", "up0.accept_ra_rt_info_max_plen": "0"} {
		a.Sysctl("net.ipv6.conf."+k, v)
	}
	a.AddAddress("up0", netip.MustParsePrefix("2001:db8::2/64"))
	a.AddRoute(netip.MustParsePrefix("::/0"), netip.MustParseAddr("2001:db8::1"), "up0")
	c := testConfig(t)
	c.StateDir = t.TempDir()
	c.Socket = filepath.Join(t.TempDir(), "s")
	run := func() (r *Report) {
		a.Do(func() { r = Run(t.Context(), Options{Config: c}) })
		return r
	}
	r := run()
	r.expect(t, OK, "forwarding", "on", "")
	r.expect(t, Warn, "accept_ra", "up0 forwards", "sudo sysctl -w net.ipv6.conf.up0.accept_ra=2")
	a.Sysctl("net.ipv6.conf.up0.accept_ra", "2") // what it says
	r = run()
	r.expect(t, OK, "accept_ra", "right for up0", "")
	r.expect(t, Warn, "routes by RA", "up0", "sudo sysctl -w net.ipv6.conf.up0.accept_ra_rt_info_max_plen=64")
	a.Sysctl("net.ipv6.conf.up0.accept_ra_rt_info_max_plen", "64")
	a.Sysctl("net.ipv6.conf.all.forwarding", "0")
	r = run()
	r.expect(t, OK, "routes by RA", "up0", "")
	r.expect(t, Warn, "forwarding", "is off", "sudo sysctl -w net.ipv6.conf.all.forwarding=1")
	a.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
	run().expect(t, Fail, "IPv6 of the kernel", "disabled", "net.ipv6.conf.all.disable_ipv6=0")
}

type quietAir struct{ closed chan struct{} }

func (a quietAir) Receive([]ieee802154.RxFrame) (int, error) {
	<-a.closed
	return 0, net.ErrClosed
}
func (a quietAir) Transmit([]ieee802154.TxFrame) error { return nil }
func (a quietAir) Close() error                        { close(a.closed); return nil }

func TestSerialRadio(t *testing.T) {
	port, err := dongle.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	air := quietAir{make(chan struct{})}
	d := dongle.NewSpinel(dongle.SpinelConfig{Air: air, EUI64: 0x02005e1000000042})
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Serve(port) }()
	t.Cleanup(func() { port.Close(); air.Close(); d.Close(); <-done })
	c := testConfig(t, config.Radio("spinel://"+port.Path+"?baud=115200"))
	c.Uplink, c.StateDir, c.Socket = config.Uplink{Kind: config.UplinkUser}, config.NoState, filepath.Join(t.TempDir(), "s")
	run := func() *Report { return Run(t.Context(), Options{Config: c}) }
	run().expect(t, OK, "radio spinel://", "EMULATED", "")

	f, err := os.OpenFile(port.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "600")
	cmd.Stdin = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	run().expect(t, Fail, "radio spinel://", "is in use by ", "kill "+strconv.Itoa(cmd.Process.Pid))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	run().expect(t, OK, "radio spinel://", "EMULATED", "")
	c.Radios = []config.Radio{"spinel:///dev/ttyNONE"}
	run().expect(t, Fail, "radio spinel://", "is not there", "plug it in")
}

// TestPermission is about a port that the user may not open, which root may always.
func TestPermission(t *testing.T) {
	const nobody = 60999 // a group of nobody
	root := files(t, map[string]string{"dev/ttyACM0": ""})
	port := filepath.Join(root, "dev/ttyACM0")
	e := examination{sys: machine{discover.System{Root: root}}, cfg: testConfig(t)}
	check := func() { e.report = Report{}; e.permission("radio x", "/dev/ttyACM0") }
	if err := os.Chmod(port, 0o600); err != nil {
		t.Fatal(err)
	}
	check()
	e.report.expect(t, Fail, "radio x", "mode 0600: for root alone", "sudo chgrp dialout /dev/ttyACM0 && sudo chmod g+rw /dev/ttyACM0 && sudo usermod -aG dialout ")
	if err := os.Chown(port, 0, nobody); err != nil {
		t.Logf("the rest needs root: %v", err)
		return
	}
	if err := os.Chmod(port, 0o660); err != nil {
		t.Fatal(err)
	}
	check()
	e.report.expect(t, Fail, "radio x", "its group is 60999", "sudo usermod -aG 60999 ")
	e.running = 42
	check()
	e.report.expect(t, OK, "radio x", "the running router may", "")
}

func TestModemManager(t *testing.T) {
	m := good()
	m["proc/81/comm"] = "ModemManager\n"
	m["dev/ttyACM0"] = ""
	m["sys/class/tty/ttyACM0/device/idVendor"] = "1915\n"
	m["sys/class/tty/ttyACM0/device/idProduct"] = "521f\n"
	root := files(t, m)
	c := testConfig(t, "spinel:///dev/ttyACM0")
	noProbe := func(o *Options) { o.NoProbe = true }
	look(t, root, c, noProbe).expect(t, Warn, "ModemManager", "(pid 81)", `ATTRS{idVendor}=="1915", ATTRS{idProduct}=="521f", ENV{ID_MM_DEVICE_IGNORE}="1"`)
	m["run/udev/data/c0:0"] = "I:1\nE:ID_MM_DEVICE_IGNORE=1\n"
	look(t, files(t, m), c, noProbe).expect(t, OK, "ModemManager", "leaves /dev/ttyACM0 alone", "")
}

func TestZEPRadio(t *testing.T) {
	ns := netnstest.New(t)
	c := testConfig(t, "zep://127.0.0.1:17754")
	c.Uplink, c.StateDir, c.Socket = config.Uplink{Kind: config.UplinkUser}, config.NoState, filepath.Join(t.TempDir(), "s")
	run := func() (r *Report) {
		ns.Do(func() { r = Run(t.Context(), Options{Config: c}) })
		return r
	}
	run().expect(t, OK, "radio zep://", "hub on UDP port 17754", "")
	c.Radios = []config.Radio{"zep://127.0.0.1:17754?mode=client"}
	run().expect(t, Fail, "radio zep://", "no hub answers", "start the hub")
	var conn net.PacketConn
	var err error
	ns.Do(func() { conn, err = net.ListenPacket("udp", "127.0.0.1:17754") })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run().expect(t, OK, "radio zep://", "client of", "")
	c.Radios = []config.Radio{"zep://127.0.0.1:17754"}
	own := (discover.System{}).ProcessName(os.Getpid()) // as the test was built
	run().expect(t, Fail, "radio zep://", "in use by "+own+" (pid "+strconv.Itoa(os.Getpid())+")", "mode=client")
	c.Radios = []config.Radio{"zep://192.0.2.1:17754"}
	run().expect(t, Fail, "radio zep://", "192.0.2.1", "ip address")
}
