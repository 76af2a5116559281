package wpan

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// little skips what is written for little-endian machines only.
func little(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the messages of this test are those of a little-endian machine")
	}
}

func TestRequests(t *testing.T) {
	little(t)
	b, err := channelRequest(1, 0, 26)
	if want := unhex(t, "0800 0100 01000000  0500 0700 00000000  0500 0800 1a000000"); err != nil || !bytes.Equal(b, want) {
		t.Errorf("SET_CHANNEL %x %v, want %x", b, err, want)
	}
	b, err = addressRequest(3, attrPAN, 0xabcd)
	if want := unhex(t, "0800 0300 03000000  0600 0900 cdab0000"); err != nil || !bytes.Equal(b, want) {
		t.Errorf("SET_PAN_ID %x %v, want %x", b, err, want)
	}
	b, err = indexRequest(attrIfindex, 3)
	if want := unhex(t, "0800 0300 03000000"); err != nil || !bytes.Equal(b, want) {
		t.Errorf("GET_INTERFACE %x %v, want %x", b, err, want)
	}
}

func TestAnswers(t *testing.T) {
	little(t)
	const (
		phy  = "0800 0100 01000000"
		name = "0a00 0400 7770616e3100 0000"
		node = "0800 0500 00000000"
		ext  = "0c00 1700 27bec4e067436076"
		pan  = "0600 0900 cdab 0000"
	)
	var info Info
	if err := parseInterface(unhex(t, phy+name+node+ext+"0600 0a00 ffff 0000"+pan), &info); err != nil ||
		info.Phy != 1 || info.EUI64 != 0x76604367e0c4be27 || info.Short != 0xffff || info.PAN != 0xabcd {
		t.Errorf("%+v %v", info, err)
	}
	if err := parsePhy(unhex(t, phy+"0500 0700 00 000000 0500 0800 14 000000"), &info); err != nil || info.Channel != 20 {
		t.Errorf("%+v %v", info, err)
	}
	if err := parseInterface(unhex(t, phy+"0800 0500 01000000"), &info); !errors.Is(err, errNotNode) {
		t.Errorf("monitor: %v", err)
	}
	for name, b := range map[string]string{
		"no phy":      node,
		"cut":         phy + "0800 05",
		"short value": phy + "0500 0900 cd 000000",
	} {
		if err := parseInterface(unhex(t, b), &info); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := parsePhy([]byte{9, 0, 1}, &info); err == nil {
		t.Error("phy cut: no error")
	}
}

// FuzzAnswers: no answer makes the parsers panic, and what they take names a phy.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 1, 0, 0, 0})
	f.Add([]byte{5, 0, 9, 0, 0xcd, 0, 0, 0, 8, 0, 1, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var info Info
		if parseInterface(b, &info) == nil && len(b) < 8 {
			t.Fatal("no phy, no error")
		}
		_ = parsePhy(b, &info)
	})
}
