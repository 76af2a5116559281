package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const testKey = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"

func TestSecurity(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte("c0:c1:c2:c3:c4:c5:c6:c7:c8:c9:ca:cb:cc:cd:ce:cf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	if err := c.Parse("x", []byte("[security]\nkey = 'file:"+name+"'\nlevel = 7\nmin_level = 1\nkey_id_mode = 2\nkey_source = '0xa1b2c3d4'\n"+
		"devices = ['02:00:5e:10:00:00:00:01,short=0x0001,key="+testKey+"', '02:00:5e:10:00:00:00:02']\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s := &c.Security
	want := [16]byte{0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf}
	if s.Key.Bytes() != want || len(s.Devices) != 2 || s.Devices[0].Key.Bytes() != want || s.Devices[0].Short != 1 || s.Devices[1].Key.Set() {
		t.Errorf("%+v", s)
	}
	again := Default()
	if err := again.Parse("x", []byte(c.TOML())); err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%v\n%s", err, c.TOML())
	}
	// A redacted configuration shows no key and no place of one.
	r := c.Redacted()
	if text := r.TOML(); strings.Contains(text, "c0c1") || strings.Contains(text, name) || !strings.Contains(text, `key = "hidden"`) {
		t.Errorf("redacted:\n%s", text)
	}
	if !strings.Contains(c.TOML(), testKey) {
		t.Error("the copy has changed the original")
	}
	if s.Key.String() == "" || strings.Contains(s.Devices[0].Key.String(), "c0") {
		t.Errorf("String shows %q", s.Devices[0].Key)
	}
}

func TestSecurityErrors(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"key", "key = 'c0c1'", "want a key of 16 bytes"},
		{"no file", "key = 'file:/nonexistent/key'", "no such file"},
		{"level", "level = 8", "from 1 to 7"},
		{"source", "key_source = '12'", "want a key source"},
		{"device", "devices = ['02']", "want EUI64"},
		{"device field", "devices = ['02:00:5e:10:00:00:00:01,name=x']", "want EUI64"},
		{"device key", "devices = ['02:00:5e:10:00:00:00:01,key=x']", "want a key of 16 bytes"},
		{"without key", "devices = ['02:00:5e:10:00:00:00:01']", "want security.key as well"},
		{"device twice", "key = '" + testKey + "'\ndevices = ['02:00:5e:10:00:00:00:01', '0200:5e10:0000:0001']", "stands there twice"},
		{"short twice", "key = '" + testKey + "'\ndevices = ['02:00:5e:10:00:00:00:01,short=0x0001', '02:00:5e:10:00:00:00:02,short=0x0001']", "short=0x0001 stands there twice"},
		{"too many", "key = '" + testKey + "'\nmax_devices = 1\ndevices = ['02:00:5e:10:00:00:00:01', '02:00:5e:10:00:00:00:02']", "want at most security.max_devices"},
		{"long source", "key = '" + testKey + "'\nkey_id_mode = 2\nkey_source = '0x1122334455667788'", "want 4 bytes"},
	} {
		c := Default()
		err := c.Parse("x", []byte("[security]\n"+tt.in))
		if err == nil {
			err = c.Check()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
