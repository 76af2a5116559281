package slipradio

import (
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	c, err := ParseURL("slip:///dev/serial/by-id/usb-X?baud=921600&flow=rtscts&dtr=off&channel=15&pan=0x1234&dialect=6lbr&short=7&timeout=3s&retries=0&lifetime=1s&keepalive=1m&ackwait=10ms")
	if err != nil {
		t.Fatal(err)
	}
	if c.Dial == nil || c.Name != "/dev/serial/by-id/usb-X" || c.Dialect != SixLBR || c.Channel != 15 || c.PAN != 0x1234 || c.Short != 7 ||
		c.Timeout != 3*time.Second || c.Lifetime != time.Second || c.Keepalive != time.Minute || c.AckWait != 10*time.Millisecond || c.MaxFrameRetries != -1 {
		t.Errorf("%+v", c)
	}
	for url, name := range map[string]string{
		"slip+tcp://host":                        "host:60001",
		"slip+tcp://[::1]:7?dialect=serialradio": "[::1]:7",
		"slip:/dev/ttyUSB0":                      "/dev/ttyUSB0",
	} {
		if c, err := ParseURL(url); err != nil || c.Name != name || c.Dial == nil || c.Channel != DefaultChannel || c.PAN != DefaultPAN {
			t.Errorf("%s: %+v %v", url, c, err)
		}
	}
	for url, want := range map[string]string{
		"slip://":                             "path of a device",
		"slip://dev/ttyUSB0":                  "three slashes",
		"slip:///dev/":                        "path of a device",
		"slip+tcp://":                         "host and port",
		"slip+tcp://h/x":                      "host and port",
		"slip+tcp://h:0":                      "1 to 65535",
		"slip+tcp://h:1?baud=115200":          "not for TCP",
		"zep://":                              "slip:// or slip+tcp://",
		"slip:///dev/x?chanel=1":              "known are",
		"slip:///dev/x?channel=27":            "11 to 26",
		"slip:///dev/x?channel=11&channel=12": "2 times",
		"slip:///dev/x?pan=0xffff":            "PAN identifier",
		"slip:///dev/x?baud=fast":             "rate in bit/s",
		"slip:///dev/x?dialect=slop":          "serialradio",
		"slip:///dev/x?timeout=5":             "duration",
		"slip:///dev/x?short=0xfffe":          "short address",
		"slip:///dev/x?a=%zz":                 "query",
		"slip:///dev/x#y":                     "nothing else",
		"slip://u@h/":                         "nothing else",
		":":                                   "not a URL",
	} {
		if _, err := ParseURL(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", url, err, want)
		}
	}
}
