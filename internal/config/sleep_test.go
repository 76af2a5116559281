package config

import (
	"strings"
	"testing"

	"border-router/ipv6"
)

func TestSleepPeer(t *testing.T) {
	const eui = "02:12:4b:00:14:b5:d9:13"
	for text, want := range map[string]SleepPeer{
		eui + "=always":          {Addr: ipv6.EUI64(0x0212_4b00_14b5_d913), Always: true},
		eui + "=never":           {Addr: ipv6.EUI64(0x0212_4b00_14b5_d913)},
		"02124b0014b5d913=never": {Addr: ipv6.EUI64(0x0212_4b00_14b5_d913)},
	} {
		var p, again SleepPeer
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p {
			t.Errorf("%s: %+v, %v", p, again, err)
		}
	}
	for _, text := range []string{"", eui, eui + "=", eui + "=sometimes", "0x0001=always", "always", "=always"} {
		var p SleepPeer
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "EUI64=always") {
			t.Errorf("%q: %v", text, err)
		}
	}
	c := Default()
	file := "[lowpan]\nsleep = [\"" + eui + "=always\", \"" + eui + "=never\"]\n"
	err := c.Parse("x", []byte(file))
	if err == nil {
		err = c.Check()
	}
	if err == nil || !strings.Contains(err.Error(), "stands there twice") {
		t.Errorf("twice: %v", err)
	}
}
