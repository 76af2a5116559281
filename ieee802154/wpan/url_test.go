package wpan

import (
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	c, err := ParseURL("wpan://wpan1?channel=15&page=2&pan=0x1234&short=0x0007&lifetime=2s")
	if err != nil || c.Interface != "wpan1" || c.Channel != 15 || c.Page != 2 || c.PAN != 0x1234 || c.Short != 7 || c.Lifetime != 2*time.Second {
		t.Errorf("%+v %v", c, err)
	}
	if c, err := ParseURL("wpan://wpan0"); err != nil || c.Interface != "wpan0" || c.Channel != 0 || c.PAN != 0 || c.Short != 0 {
		t.Errorf("%+v %v", c, err)
	}
	for url, want := range map[string]string{
		":":                             "not a URL",
		"zep://":                        "want wpan://",
		"wpan://":                       "name of an interface",
		"wpan://aaaaaaaaaaaaaaaa":       "name of an interface",
		"wpan://wpan0/x":                "nothing else",
		"wpan://wpan0:1":                "nothing else",
		"wpan://wpan0?x=1":              "known are",
		"wpan://wpan0?channel=27":       "11 to 26",
		"wpan://wpan0?page=32":          "0 to 31",
		"wpan://wpan0?pan=0xffff":       "PAN identifier",
		"wpan://wpan0?pan=1&pan=2":      "2 times",
		"wpan://wpan0?short=0xffff":     "short address",
		"wpan://wpan0?lifetime=1":       "duration",
		"wpan://wpan0?channel=11&a=%zz": "query",
	} {
		if _, err := ParseURL(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", url, err, want)
		}
	}
}
