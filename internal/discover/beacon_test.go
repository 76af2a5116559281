package discover

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"border-router/ieee802154"
)

func TestBeaconRequest(t *testing.T) {
	// IEEE Std 802.15.4-2015 section 7.5.8: no source, destination ffff in PAN ffff.
	if got := hex.EncodeToString(beaconRequest(nil, 0x2a)); got != "03082affffffff07" {
		t.Errorf("got %s", got)
	}
}

func TestParseBeacon(t *testing.T) {
	rssi := int8(-60)
	thread := append([]byte{3, 0x91}, append([]byte("OpenThread\x00\x00\x00\x00\x00\x00"), 1, 2, 3, 4, 5, 6, 7, 8)...)
	zigbee := []byte{0, 0x22, 0x84, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xff, 0xff, 0}
	base := Beacon{Channel: 15, PAN: "0xface", Coordinator: ieee802154.Extended(7).String(), RSSI: &rssi, LQI: 200, Associate: true, PANCoordinator: true, Count: 1}
	with := func(network string, payload []byte) Beacon {
		b := base
		b.Network, b.Payload = network, hex.EncodeToString(payload)
		return b
	}
	for _, tt := range []struct {
		name    string
		payload []byte
		want    Beacon
	}{
		{"empty", nil, with("", nil)},
		{"thread", thread, with("Thread OpenThread", thread)},
		{"zigbee", zigbee, with("Zigbee 0102030405060708", zigbee)},
		{"other", []byte{9, 9}, with("", []byte{9, 9})},
	} {
		rx := ieee802154.RxFrame{Data: beaconFrame(t, 1, 0xface, 7, tt.payload), RSSI: rssi, LQI: 200, Channel: 15}
		got, ok := parseBeacon(&rx)
		if !ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
		for n := range rx.Data {
			short := ieee802154.RxFrame{Data: rx.Data[:n], RSSI: ieee802154.RSSIUnknown}
			if b, ok := parseBeacon(&short); ok && b.RSSI != nil {
				t.Errorf("%s: unknown signal is %d", tt.name, *b.RSSI)
			}
		}
	}
	if _, ok := parseBeacon(&ieee802154.RxFrame{Data: beaconRequest(nil, 1)}); ok {
		t.Error("a request is taken for a beacon")
	}
}

func TestSuggest(t *testing.T) {
	e := func(v int8) *int8 { return &v }
	for _, tt := range []struct {
		name     string
		channels []ChannelReport
		want     uint8
		why      string
	}{
		{"quietest", []ChannelReport{{Channel: 11, Energy: e(-95)}, {Channel: 15, Energy: e(-60)}, {Channel: 25, Energy: e(-70)}}, 11, "quiet (-95"},
		{"near", []ChannelReport{{Channel: 11, Energy: e(-95)}, {Channel: 15, Energy: e(-91)}, {Channel: 26, Energy: e(-96)}}, 15, "quiet"},
		{"a PAN on the quietest", []ChannelReport{{Channel: 15, Energy: e(-95), PANs: []string{"x"}}, {Channel: 20, Energy: e(-80)}}, 20, "no PAN"},
		{"loud", []ChannelReport{{Channel: 15, Energy: e(-40)}, {Channel: 20, Energy: e(-50)}}, 20, "no other is quieter"},
		{"PANs everywhere", []ChannelReport{{Channel: 15, PANs: []string{"x", "y"}}, {Channel: 26, PANs: []string{"x"}}}, 26, "fewest"},
		{"no energy", []ChannelReport{{Channel: 26}, {Channel: 11, Frames: 3}, {Channel: 12}}, 12, "no PAN was heard there"},
		{"energy of some", []ChannelReport{{Channel: 25}, {Channel: 12, Energy: e(-90)}}, 12, "quiet"},
	} {
		got, why := suggest(tt.channels)
		if got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %d (%s), want %d (%s)", tt.name, got, why, tt.want, tt.why)
		}
	}
}

// FuzzHear holds that whatever comes from a line, nothing panics, and that noise before an
// answer costs at most that one answer.
func FuzzHear(f *testing.F) {
	f.Add([]byte("\r\nERROR\r\n"))
	f.Add([]byte{0xc0, '!', 'M', 0, 0, 0, 0, 0, 0, 0, 1, 0xc0})
	f.Add([]byte{0x7e, 0x80, 6, 0, 0x70, 0xee, 0x74, 0x7e})
	f.Add(questions())
	f.Fuzz(func(t *testing.T, b []byte) {
		var e ears
		if e.hear(b) != "" {
			return
		}
		answer := []byte{0xc0, '!', 'M', 2, 0, 0x5e, 0x10, 0, 0, 0, 1, 0xc0}
		first, second := e.hear(answer), e.hear(answer)
		if first == "" && second != Slip {
			t.Errorf("after % x the answer was not heard: %q", b, second)
		}
	})
}

// FuzzBeacon holds that any frame is a beacon with a PAN or none.
func FuzzBeacon(f *testing.F) {
	f.Add(beaconFrame(f, 1, 0xface, 7, []byte{3, 0x91}))
	f.Add(beaconRequest(nil, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := parseBeacon(&ieee802154.RxFrame{Data: b})
		if ok && (got.PAN == "" || got.Coordinator == "") {
			t.Errorf("%+v", got)
		}
		var l listener
		l.begin(11)
		l.hear(&ieee802154.RxFrame{Data: b})
		if l.report(11).Frames != 1 {
			t.Error("not counted")
		}
	})
}
