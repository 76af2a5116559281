package nd

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

func option(t *testing.T, b []byte) Option {
	t.Helper()
	o, err := ParseOptions(b)
	if err != nil {
		t.Fatal(err)
	}
	v, rest := o.Next()
	if len(rest) > 0 {
		t.Fatal("more than one option")
	}
	return v
}

func TestPREF64(t *testing.T) {
	for _, v := range []struct {
		hex string
		p   PREF64
	}{
		{"2602" + "0708" + "0064ff9b0000000000000000", PREF64{netip.MustParsePrefix("64:ff9b::/96"), 1800 * time.Second}},
		{"2602" + "0001" + "20010db80001000200000000", PREF64{netip.MustParsePrefix("2001:db8:1:2::/64"), 0}},
		{"2602" + "000a" + "20010db80001000000000000", PREF64{netip.MustParsePrefix("2001:db8:1::/56"), 8 * time.Second}},
		{"2602" + "fffb" + "20010db80001000000000000", PREF64{netip.MustParsePrefix("2001:db8:1::/48"), 65528 * time.Second}},
		{"2602" + "0014" + "20010db80000000000000000", PREF64{netip.MustParsePrefix("2001:db8::/40"), 16 * time.Second}},
		{"2602" + "0015" + "20010db80000000000000000", PREF64{netip.MustParsePrefix("2001:db8::/32"), 16 * time.Second}},
	} {
		b, _ := hex.DecodeString(v.hex)
		got, ok := ParsePREF64(option(t, b))
		if !ok || got != v.p {
			t.Errorf("%s: %+v, want %+v", v.hex, got, v.p)
		}
		out, err := v.p.AppendBinary(nil)
		if err != nil || !bytes.Equal(out, b) {
			t.Errorf("%+v: %x, want %s, %v", v.p, out, v.hex, err)
		}
	}
	for _, bad := range []string{"2602000600000000000000000000" + "0000", "2602000700000000000000000000" + "0000", "26010000" + "00000000"} {
		b, _ := hex.DecodeString(bad)
		if p, ok := ParsePREF64(option(t, b)); ok {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	if _, err := (PREF64{Prefix: netip.MustParsePrefix("2001:db8::/33")}).AppendBinary(nil); err != DropOptions {
		t.Error(err)
	}
	if _, err := (PREF64{}).AppendBinary(nil); err != DropOptions {
		t.Error(err)
	}
	// Lifetimes are rounded up to 8 s and end at 13 bits (RFC 8781 section 4.1).
	for in, want := range map[time.Duration]time.Duration{time.Second: 8 * time.Second, 100 * time.Hour: 65528 * time.Second, -1: 0} {
		b, _ := PREF64{netip.MustParsePrefix("64:ff9b::/96"), in}.AppendBinary(nil)
		if p, _ := ParsePREF64(option(t, b)); p.Lifetime != want {
			t.Errorf("%v: %v", in, p.Lifetime)
		}
	}
}

func TestCaptivePortal(t *testing.T) {
	uri := "https://portal.example.org/api"
	b, err := AppendCaptivePortal(nil, uri)
	if err != nil || len(b)%8 != 0 {
		t.Fatal(err)
	}
	if got, ok := ParseCaptivePortal(option(t, b)); !ok || string(got) != uri {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", strings.Repeat("x", 2039)} {
		if _, err := AppendCaptivePortal(nil, bad); err != DropOptions {
			t.Error(err)
		}
	}
	if _, ok := ParseCaptivePortal(Option{OptionCaptivePortal, make([]byte, 6)}); ok {
		t.Error("an empty URI")
	}
	if _, ok := ParseCaptivePortal(Option{OptionMTU, []byte("http:/")}); ok {
		t.Error("another option")
	}
}

func TestRedirected(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 500, 1300} {
		p := ipv6.AppendUDP(nil, netip.AddrPortFrom(lanLL, 1), netip.AddrPortFrom(hostLL, 2), 64, make([]byte, n))
		b := AppendRedirected(nil, p, 1000)
		if len(b) > 1000 {
			t.Errorf("%d bytes", len(b))
		}
		got, ok := ParseRedirected(option(t, b))
		if !ok || !bytes.Equal(got[:min(len(p), len(got))], p[:min(len(p), len(got))]) || len(p) < 900 && len(got) != len(p)&^7 {
			t.Errorf("%d bytes of %d", len(got), len(p))
		}
	}
	p := ipv6.AppendUDP(nil, netip.AddrPortFrom(lanLL, 1), netip.AddrPortFrom(hostLL, 2), 64, nil)
	if b := AppendRedirected(make([]byte, 100), p, 140); len(b) != 100 {
		t.Error("less than a header")
	}
	if _, ok := ParseRedirected(Option{OptionRedirected, nil}); ok {
		t.Error("too short")
	}
}
