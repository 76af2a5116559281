package serial

import "testing"

// Whatever is set, the configuration stays one that can be opened.
func FuzzSet(f *testing.F) {
	for _, s := range [][2]string{{"baud", "460800"}, {"baud", "250000"}, {"baud", "-1"}, {"baud", "1e6"}, {"flow", "rtscts"}, {"dtr", "off"}, {"parity", "even"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		var c Config
		err := c.Set(key, value)
		if _, known := Keys[key]; !known && err == nil {
			t.Fatalf("key %q was taken", key)
		}
		if err != nil && c != (Config{}) {
			t.Fatalf("%q=%q is refused and leaves %+v", key, value, c)
		}
		if c.Baud < 0 || c.Baud > 12_000_000 || c.DTR > Off {
			t.Fatalf("%+v", c)
		}
	})
}
