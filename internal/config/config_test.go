package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// uncommented returns the reference file with every default in force.
func uncommented() string {
	return regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(Reference(), "$1")
}

func TestReference(t *testing.T) {
	c := Default()
	if err := c.Parse("reference", []byte(Reference())); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Error("the reference file as it is changes a default")
	}

	// Onto an empty Config, so that a key that is missing shows.
	c = new(Config)
	if err := c.Parse("reference", []byte(uncommented())); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("the reference file with nothing commented out says\n%s\nwant the defaults\n%s", c.TOML(), Default().TOML())
	}
	if err := c.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}

	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	NewFlags(fs, Default)
	order := 0
	for _, f := range Default().Fields() {
		if len(f.Doc) < 15 || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: the reference file explains it as %q, want a sentence", f.Key, f.Doc)
		}
		flag := fs.Lookup(f.Flag)
		if flag == nil {
			t.Errorf("%s has no flag --%s", f.Key, f.Flag)
			continue
		}
		if flag.Usage == "" || strings.HasSuffix(flag.Usage, ".") {
			t.Errorf("--%s: usage %q", f.Flag, flag.Usage)
		}
		name := f.Key[strings.LastIndexByte(f.Key, '.')+1:]
		at := strings.Index(Reference()[order:], "\n#"+name+" = ")
		if at < 0 {
			t.Errorf("%s stands in the reference file in another order than in Config", f.Key)
			continue
		}
		order += at
	}
}

// TestFields has every leaf of Config be a field, so that none is without a key.
func TestFields(t *testing.T) {
	n := 0
	var count func(reflect.Type)
	count = func(rt reflect.Type) {
		for i := range rt.NumField() {
			f := rt.Field(i)
			if f.Tag.Get("toml") == "" {
				t.Errorf("%s.%s has no key", rt.Name(), f.Name)
			}
			if f.Type.Kind() == reflect.Struct && !reflect.PointerTo(f.Type).Implements(textType) {
				count(f.Type)
				continue
			}
			n++
		}
	}
	count(reflect.TypeFor[Config]())
	if got := len(Default().Fields()); got != n {
		t.Errorf("%d fields, want %d", got, n)
	}
}

func TestTOMLRoundTrip(t *testing.T) {
	c := Default()
	c.Radios = []Radio{"zep://?channel=11", "zep://[::1]:17755?channel=12"}
	c.Uplink = Uplink{Kind: UplinkUser}
	c.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd12::/56")}
	c.StateDir = "/with \"quotes\"\\\n\x01and é"
	c.ND.RDNSS = []netip.Addr{netip.MustParseAddr("2001:db8::53")}
	c.ND.DNSSL = []Domain{"home.arpa"}
	c.ND.ValidLifetime = Infinite
	c.ND.Contexts = []Context{{ID: 1, Prefix: netip.MustParsePrefix("2001:db8::/32"), Compress: true}, {ID: 15, Prefix: netip.MustParsePrefix("2001:db8::1/128")}}
	c.Log = Log{LevelDebug, FormatJSON}
	c.MAC.AckWait = 864 * time.Microsecond
	got := new(Config)
	if err := got.Parse("x", []byte(c.TOML())); err != nil {
		t.Fatalf("%v in\n%s", err, c.TOML())
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got\n%s\nwant\n%s", got.TOML(), c.TOML())
	}
}

func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	const text = "radios = ['zep://?channel=11', 'zep://?channel=12']\n[nd]\nrouter_lifetime = '50m'\nhop_limit = 30\nperiodic_ra = true\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(args ...string) *Config {
		t.Helper()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		f := NewFlags(fs, Default)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		c, err := f.Load()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load(); !reflect.DeepEqual(c, Default()) {
		t.Error("nothing said is not the default")
	}
	c := load("--nd-router-lifetime", "20m", "--config", file)
	if c.ND.RouterLifetime != 20*time.Minute {
		t.Errorf("the flag does not win over the file: %s", c.ND.RouterLifetime)
	}
	if c.ND.HopLimit != 30 || len(c.Radios) != 2 || !c.ND.PeriodicRA {
		t.Errorf("the file does not win over the default: %+v", c)
	}
	if c.ND.ReachableTime != 0 || c.ND.ValidLifetime != 30*24*time.Hour {
		t.Error("what nobody mentions is not the default")
	}
	c = load("--radio", "zep://?channel=13", "--config="+file, "--radio", "zep://?channel=14", "--nd-periodic-ra=false", "--nd-rdnss", "2001:db8::1", "--nd-rdnss", "2001:db8::2")
	if want := []Radio{"zep://?channel=13", "zep://?channel=14"}; !reflect.DeepEqual(c.Radios, want) {
		t.Errorf("radios %q, want %q", c.Radios, want)
	}
	if c.ND.PeriodicRA || len(c.ND.RDNSS) != 2 {
		t.Errorf("periodic %v, rdnss %v", c.ND.PeriodicRA, c.ND.RDNSS)
	}
	if c = load("--config="+file, "--nd-periodic-ra"); !c.ND.PeriodicRA {
		t.Error("a switch without a value is not on")
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"syntax", "[nd]\nx = \n", `x.toml:2: expected value but found '\n' instead`},
		{"twice", "uplink = 'user:'\nuplink = 'user:'", `x.toml:2: Key 'uplink' has already been defined.`},
		{"near key", "\nuplinkk = 4", `x.toml:2: unknown key "uplinkk"; did you mean "uplink"?`},
		{"near key in a section", "[nd]\nrouter_lifetme = '5m'", `x.toml:2: unknown key "nd.router_lifetme"; did you mean "nd.router_lifetime"?`},
		{"wrong section", "[nd]\nlevel = 'info'", `x.toml:2: unknown key "nd.level"; did you mean "log.level"?`},
		{"no section", "level = 'info'", `x.toml:1: unknown key "level"; did you mean "log.level"?`},
		{"nothing near", "quux = 1", "x.toml:1: unknown key \"quux\"; `border-router config --default` shows every key"},
		{"section", "[lopan]\nx = 1\n[lopan.y]\nz = 2", `x.toml:1: unknown section "lopan"; did you mean "lowpan"?`},
		{"dotted name", "'nd.hop_limit' = 1", `x.toml:1: unknown key "nd.hop_limit"; did you mean "nd.hop_limit" without quotes?`},
		{"section as a value", "nd = 4", `x.toml:1: nd = 4: want one section, [nd]`},
		{"sections in a list", "[[nd]]\nhop_limit = 4", `x.toml:1: nd = {...}: want one section, [nd]`},
		{"too deep", "[nd.hop_limit]\nx = 1", `x.toml:1: nd.hop_limit = {...}: want a whole number from 1 to 255`},
		{"list", "radios = 'zep://'", `x.toml:1: radios = "zep://": want a list in brackets, such as ["zep://"]`},
		{"list entry", "radios = ['zep://', 'foo://']", `x.toml:1: radios = ["zep://", "foo://"]: entry 2 is "foo://": unknown scheme "foo", there are slip, slip+tcp, spinel, spinel+tcp, wpan, zep: want the URL of a radio, such as "zep://?channel=26&pan=0x0023" or "spinel:///dev/ttyACM0", or "auto"`},
		{"list entry is a path", "radios = ['/dev/ttyACM0']", `x.toml:1: radios = ["/dev/ttyACM0"]: entry 1 is "/dev/ttyACM0": want a URL: "spinel:///dev/ttyACM0" or "slip:///dev/ttyACM0", of which "border-router radios" tells the right one, or "auto"`},
		{"text", "socket = 5", `x.toml:1: socket = 5: want text in quotes`},
		{"uplink", "uplink = 'eth0'", `x.toml:1: uplink = "eth0": want "tun://NAME", "ethernet://NAME" or "tap://NAME?bridge=BRIDGE" with a device name of 1 to 15 characters, or "user:"`},
		{"uplink name", "uplink = 'tun://0123456789abcdef'", `x.toml:1: uplink = "tun://0123456789abcdef": want "tun://NAME", "ethernet://NAME" or "tap://NAME?bridge=BRIDGE" with a device name of 1 to 15 characters, or "user:"`},
		{"number", "uplink_mtu = 1000", `x.toml:1: uplink_mtu = 1000: want a whole number from 1280 to 2047`},
		{"number in quotes", "uplink_mtu = '1280'", `x.toml:1: uplink_mtu = "1280": want a whole number from 1280 to 2047, without quotes`},
		{"fraction", "uplink_mtu = 1280.5", `x.toml:1: uplink_mtu = 1280.5: want a whole number from 1280 to 2047`},
		{"bool", "[mac]\npace = 'yes'", `x.toml:2: mac.pace = "yes": want true or false, without quotes`},
		{"bool as a number", "[mac]\npace = 1", `x.toml:2: mac.pace = 1: want true or false`},
		{"duration", "[nd]\nra_interval = '10 minutes'", `x.toml:2: nd.ra_interval = "10 minutes": want a duration from 4s to 30m`},
		{"duration without unit", "[nd]\nra_interval = 600", `x.toml:2: nd.ra_interval = 600: want a duration from 4s to 30m, in quotes and with a unit, such as "30s"`},
		{"lifetime", "[nd]\nvalid_lifetime = '5s'", `x.toml:2: nd.valid_lifetime = "5s": want "infinite" or a duration of at least 1m`},
		{"address", "[nd]\nrdnss = ['1.2.3']", `x.toml:2: nd.rdnss = ["1.2.3"]: entry 1 is "1.2.3": want an IPv6 address, such as "2001:db8::1"`},
		{"prefix", "prefixes = ['fd00::']", `x.toml:1: prefixes = ["fd00::"]: entry 1 is "fd00::": want an IPv6 prefix, such as "fd12:3456:789a::/48"`},
		{"context", "[nd]\ncontexts = ['16=fd00::/64']", `x.toml:2: nd.contexts = ["16=fd00::/64"]: entry 1 is "16=fd00::/64": want ID=PREFIX with an ID from 1 to 15 and an IPv6 prefix, such as "1=2001:db8:1::/64", and ",decompress" behind it where nodes may not compress with it yet`},
		{"context bits", "[nd]\ncontexts = ['1=fd00::1/64']", `x.toml:2: nd.contexts = ["1=fd00::1/64"]: entry 1 is "1=fd00::1/64": bits are set beyond the prefix length, want "fd00::/64"`},
		{"domain", "[nd]\ndnssl = ['a..b']", `x.toml:2: nd.dnssl = ["a..b"]: entry 1 is "a..b": want a domain name, such as "home.arpa"`},
		{"on_link", "[nd]\non_link = 'yes'", `x.toml:2: nd.on_link = "yes": want "auto", "never" or "always"`},
		{"level", "[log]\nlevel = 'loud'", `x.toml:2: log.level = "loud": want "debug", "info", "warn" or "error"`},
		{"format", "[log]\nformat = 'xml'", `x.toml:2: log.format = "xml": want "text" or "json"`},
		{"all of them", "a_b_c_d = 1\nuplink_mtu = 1\n", "x.toml:1: unknown key \"a_b_c_d\"; `border-router config --default` shows every key\nx.toml:2: uplink_mtu = 1: want a whole number from 1280 to 2047"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Default().Parse("x.toml", []byte(tt.in))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no radio", "radios = []", `radios = []: want at least one, such as "zep://?channel=26&pan=0x0023"`},
		{"radio twice", "radios = ['zep://', 'zep://']", `radios: "zep://" stands there twice`},
		{"prefix", "prefixes = ['2001:db8::/32']", `prefixes: want a unicast IPv6 prefix from /48 to /64 with no bits set beyond its length, such as "fd12:3456:789a::/48"`},
		{"no room", "radios = ['zep://?channel=11', 'zep://?channel=12']\nprefixes = ['fd00::/64']", `prefixes: fd00::/64 has room for 1 subnets, not for 2 radios; want a shorter prefix, or one /64 for each radio`},
		{"prefixes", "prefixes = ['fd00::/64', 'fd01::/64']", `prefixes: want one, or one for each of the 1 radios, not 2`},
		{"prefix length", "radios = ['zep://?channel=11', 'zep://?channel=12']\nprefixes = ['fd00::/64', 'fd01::/56']", `prefixes: fd01::/56: want a /64 where each radio has its own`},
		{"lifetimes", "[nd]\nvalid_lifetime = '1h'\n", `nd.preferred_lifetime = "7d": want at most nd.valid_lifetime, which is "1h"`},
		{"interval", "[nd]\nrouter_lifetime = '1m'\nperiodic_ra = true\n", `nd.ra_interval = "10m": want at most nd.router_lifetime, which is "1m"`},
		{"context twice", "[nd]\ncontexts = ['1=fd00::/64', '1=fd01::/64']", `nd.contexts: context 1 stands there twice`},
		{"rdnss", "[nd]\nrdnss = ['192.0.2.1']", `nd.rdnss: 192.0.2.1: want a unicast IPv6 address`},
		{"rdnss count", "[nd]\nrdnss = ['fd00::1', 'fd00::2', 'fd00::3', 'fd00::4', 'fd00::5']", `nd.rdnss: want at most 4 addresses, not 5`},
		{"per source", "[lowpan]\nreassemblies = 2", `lowpan.reassemblies_per_source = 4: want at most lowpan.reassemblies, which is 2`},
		{"codel", "[lowpan]\nqueue_target = '5s'", `lowpan.queue_target = "5s": want at most lowpan.queue_interval, which is "2s"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			if err := c.Parse("x", []byte(tt.in)); err != nil {
				t.Fatal(err)
			}
			if err := c.Check(); err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestSubnets(t *testing.T) {
	p := netip.MustParsePrefix
	three := []Radio{"zep://?channel=11", "zep://?channel=12", "zep://?channel=13"}
	for _, tt := range []struct {
		name      string
		prefixes  []netip.Prefix
		generated netip.Prefix
		want      []netip.Prefix
	}{
		{"generated", nil, p("fd12:3456:789a::/48"), []netip.Prefix{p("fd12:3456:789a::/64"), p("fd12:3456:789a:1::/64"), p("fd12:3456:789a:2::/64")}},
		{"/62", []netip.Prefix{p("2001:db8:0:4::/62")}, netip.Prefix{}, []netip.Prefix{p("2001:db8:0:4::/64"), p("2001:db8:0:5::/64"), p("2001:db8:0:6::/64")}},
		{"each its own", []netip.Prefix{p("fd01::/64"), p("fd02::/64"), p("fd00::/64")}, netip.Prefix{}, []netip.Prefix{p("fd01::/64"), p("fd02::/64"), p("fd00::/64")}},
	} {
		c := Default()
		c.Radios, c.Prefixes = three, tt.prefixes
		got, err := c.Subnets(tt.generated)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0s": 0, "100ms": 100 * time.Millisecond, "1m30s": 90 * time.Second, "10000m": 10000 * time.Minute,
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "infinite": Infinite, "1h": time.Hour, "864us": 864 * time.Microsecond,
	} {
		d, err := ParseDuration(in)
		if err != nil || d != want {
			t.Errorf("%s: got %s, %v", in, d, err)
		}
		if back, err := ParseDuration(FormatDuration(d)); err != nil || back != d {
			t.Errorf("%s is written %s and read as %s, %v", in, FormatDuration(d), back, err)
		}
	}
	for _, in := range []string{"", "5", "-1s", "1x", "d", "-1d", "1d1", "99999d", "1e3s", "forever"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q is read as %s", in, d)
		}
	}
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 90 * time.Minute: "1h30m", 20 * time.Second: "20s", 100 * time.Minute: "1h40m",
		24*time.Hour + time.Second: "1d1s", 30 * 24 * time.Hour: "30d", 10 * time.Minute: "10m",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestVar(t *testing.T) {
	n, s := DefaultNode(), DefaultSim()
	for _, tt := range []struct {
		v        any
		bounds   string
		in, want string // want as it is written, or the error
	}{
		{&n.EUI64, "", "02005e1000000001", "02:00:5e:10:00:00:00:01"},
		{&n.EUI64, "", "0x02005e1000000001", "02:00:5e:10:00:00:00:01"},
		{&n.EUI64, "", "", ""},
		{&n.EUI64, "", "03:00:5e:10:00:00:00:01", `want the EUI-64 of a device: 8 bytes in hexadecimal, such as "02:00:5e:10:00:00:00:01", the first one even`},
		{&n.Short, "", "0x00Ff", "0x00ff"},
		{&n.Short, "", "none", "none"},
		{&n.Short, "", "", ""},
		{&n.Short, "", "0xfffe", `want a short address from "0x0001" to "0xfffd", or "none"`},
		{&n.Short, "", "12", `want a short address from "0x0001" to "0xfffd", or "none"`},
		{&n.ND, "", "4861", "4861"},
		{&n.ND, "", "1970", "want 6775 (registers its addresses) or 4861 (plain neighbor discovery, as lwIP)"},
		{&n.Life, "1m..65535m", "30s", "want a duration from 1m to 65535m"},
		{&s.Loss, "", "20%", "20"},
		{&s.Loss, "", "0.5", "0.5"},
		{&s.Loss, "", "101", "want a percentage from 0 to 100"},
		{&s.Loss, "", "NaN", "want a percentage from 0 to 100"},
		{&s.Nodes, "0..10000", "0x10", "16"},
		{&s.Nodes, "0..10000", "10001", "want a whole number from 0 to 10000"},
		{&s.Seed, "", "18446744073709551615", "18446744073709551615"},
		{&s.Seed, "", "-1", "want a whole number, not negative"},
		{&s.Speed, "0.01..1000", "2.5", "2.5"},
		{&s.Speed, "0.01..1000", "NaN", "want a number from 0.01 to 1000"},
		{&s.Plain, "", "maybe", "want true or false"},
		{&s.Delay, "", "x", `want a duration, such as "30m" or "1d12h"`},
	} {
		v := Var(tt.v, tt.bounds)
		got := ""
		if err := v.Set(tt.in); err != nil {
			got = err.Error()
		} else {
			got = v.String()
		}
		if got != tt.want {
			t.Errorf("%T %q: got %q, want %q", tt.v, tt.in, got, tt.want)
		}
	}
	if s.Loss.Fraction() != 0.005 {
		t.Error(s.Loss.Fraction())
	}
}

func TestPaths(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	t.Setenv("XDG_STATE_HOME", "/home/x/state")
	c := Default()
	if err := c.Resolve(); err != nil {
		t.Fatal(err)
	}
	socket, state := "/run/user/7/border-router.sock", "/home/x/state/border-router"
	if os.Geteuid() == 0 {
		socket, state = SystemSocket, systemState
	}
	if c.Socket != socket || c.StateDir != state {
		t.Errorf("got %s and %s, want %s and %s", c.Socket, c.StateDir, socket, state)
	}
	c.Socket, c.StateDir = "/a", NoState
	if err := c.Resolve(); err != nil || c.Socket != "/a" || c.StateDir != NoState {
		t.Errorf("what was said is changed to %s, %s (%v)", c.Socket, c.StateDir, err)
	}
}

func TestValues(t *testing.T) {
	v := Default().Values()
	nd, _ := v["nd"].(map[string]any)
	if nd["router_lifetime"] != "30m" || v["uplink_mtu"] != int64(1280) || nd["periodic_ra"] != false {
		t.Errorf("got %v", v)
	}
}

// FuzzParse: nothing panics; an error names the file; what is accepted is written as a
// file that reads as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Reference()))
	f.Add([]byte(uncommented()))
	f.Add([]byte("radios = ['zep://?channel=11']\nprefixes = ['fd00::/48']\n[nd]\ncontexts = ['1=fd00::/64,decompress']\n"))
	f.Add([]byte("[[nd]]\na.b.c = { x = [ [ 1 ] ] }\n'' = 1979-05-27\nnd.\"\" = 1e9"))
	f.Add([]byte("[nd]\nvalid_lifetime = 'infinite'\nrouter_lifetime = '1d'\n[mac]\nretries = 0x7"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Default()
		if err := c.Parse("x.toml", b); err != nil {
			if !strings.HasPrefix(err.Error(), "x.toml:") {
				t.Fatalf("%q: the error does not name the place: %v", b, err)
			}
			return
		}
		got := new(Config)
		if err := got.Parse("y.toml", []byte(c.TOML())); err != nil {
			t.Fatalf("%q is written as\n%s\nwhich is refused: %v", b, c.TOML(), err)
		}
		if got.TOML() != c.TOML() {
			t.Fatalf("%q is read as\n%s\nand then as\n%s", b, c.TOML(), got.TOML())
		}
		_ = c.Check()
	})
}
