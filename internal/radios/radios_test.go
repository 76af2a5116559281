package radios

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	u, err := Parse("zep://[::1]:0?pan=0xabcd&eui64=02:00:5e:10:00:00:00:01&short=0x0007")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Settings{EUI64: 0x02005e1000000001, Short: 7, PAN: 0xabcd}); u.Settings() != want {
		t.Errorf("settings %+v, want %+v", u.Settings(), want)
	}
	r, err := u.Open(Options{EUI64: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Channel() != 26 {
		t.Errorf("channel %d", r.Channel())
	}
	for _, bad := range []string{"", "zep", "usb://x", "zep://?chanel=3"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) succeeded", bad)
		} else if strings.HasPrefix(bad, "usb") && !strings.Contains(err.Error(), "zep") {
			t.Errorf("Parse(%q): %v does not say what there is", bad, err)
		}
	}
}
