package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"border-router/internal/config"
	"border-router/internal/state"
)

// TestNumberPorts starts routers one after the other with the same state.
func TestNumberPorts(t *testing.T) {
	const (
		a     config.Radio = "spinel:///dev/ttyACM0?channel=15&pan=0x0001"
		b     config.Radio = "zep://[::1]:17754?channel=26&pan=0x0002"
		c     config.Radio = "slip+tcp://[::1]:60001?channel=20&pan=0x0003"
		aLoud config.Radio = "spinel:///dev/ttyACM0?channel=15&pan=0x0001&power=10"
		aTune config.Radio = "spinel:///dev/ttyACM0?channel=16&pan=0x0009"
		aNext config.Radio = "spinel:///dev/ttyACM1?channel=15&pan=0x0001"
		other config.Radio = "spinel:///dev/ttyACM1?channel=11&pan=0x0004"
		any1  config.Radio = "zep://127.0.0.1:0?pan=0x0005"
	)
	type start struct {
		radios []config.Radio
		want   []int
	}
	for _, x := range []struct {
		name   string
		room   int
		starts []start
	}{
		{"another order", 4, []start{{[]config.Radio{a, b, c}, []int{0, 1, 2}}, {[]config.Radio{c, a, b}, []int{2, 0, 1}}}},
		{"one absent", 4, []start{{[]config.Radio{a, b}, []int{0, 1}}, {[]config.Radio{b}, []int{1}}, {[]config.Radio{b, c}, []int{1, 2}}, {[]config.Radio{a, b, c}, []int{0, 1, 2}}}},
		{"other settings", 4, []start{{[]config.Radio{a, b}, []int{0, 1}}, {[]config.Radio{b, aLoud}, []int{1, 0}}, {[]config.Radio{b, aTune}, []int{1, 0}}}},
		{"another socket", 4, []start{{[]config.Radio{a, b}, []int{0, 1}}, {[]config.Radio{b, aNext}, []int{1, 0}}}},
		{"not another socket", 4, []start{{[]config.Radio{a, b}, []int{0, 1}}, {[]config.Radio{b, other}, []int{1, 2}}}},
		{"sockets swapped", 4, []start{{[]config.Radio{a, other}, []int{0, 1}}, {[]config.Radio{"spinel:///dev/ttyACM1?channel=15&pan=0x0001", "spinel:///dev/ttyACM0?channel=11&pan=0x0004"}, []int{1, 0}}}},
		{"alike", 4, []start{{[]config.Radio{any1, any1}, []int{0, 1}}, {[]config.Radio{any1, any1}, []int{0, 1}}}},
		{"no room: the one away longest", 2, []start{{[]config.Radio{a, b}, []int{0, 1}}, {[]config.Radio{b}, []int{1}}, {[]config.Radio{c}, []int{0}}, {[]config.Radio{a}, []int{1}}}},
		{"one only", 1, []start{{[]config.Radio{a}, []int{0}}, {[]config.Radio{b}, []int{0}}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			store := state.OpenMemory()
			for i, s := range x.starts {
				got, err := numberPorts(store, s.radios, x.room, uint32(i))
				if err != nil || !slices.Equal(got, s.want) {
					t.Errorf("start %d: %v, want %v, %v", i, got, s.want, err)
				}
			}
		})
	}
	store := state.OpenMemory()
	store.Put(portsKey, []byte("not JSON"))
	if got, err := numberPorts(store, []config.Radio{a}, 1, 0); err != nil || got[0] != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := numberPorts(store, []config.Radio{a, b}, 1, 0); err == nil {
		t.Error("two in the room of one")
	}
	for i := range 3 * maxPorts { // bounded
		if _, err := numberPorts(store, []config.Radio{config.Radio(fmt.Sprintf("zep://127.0.0.1:%d?pan=%d", i+1, i+1))}, 1<<16, uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	if kept, _ := store.Get(portsKey); len(kept) > 128*maxPorts {
		t.Errorf("%d bytes kept", len(kept))
	}
	if s := subnet(netip.MustParsePrefix("fd00:1:2::/48"), 0x1234); s != netip.MustParsePrefix("fd00:1:2:1234::/64") {
		t.Error(s)
	}
}

// TestInherit has a radio take the place of another one, and starts routers after that.
func TestInherit(t *testing.T) {
	const (
		beside config.Radio = "zep://127.0.0.1:0?pan=0x0005"
		old    config.Radio = "spinel:///dev/ttyACM0?baud=460800"
		found  config.Radio = "slip:///dev/ttyUSB0?baud=460800" // as it is found, of Contiki's PAN
		heir   config.Radio = "slip:///dev/ttyUSB0?baud=460800&channel=20&pan=0x0023"
	)
	if got := withSettings(found, 20, 0x23); got != heir {
		t.Errorf("%s, want %s", got, heir)
	}
	if got := withSettings(heir, 11, 1); got != heir {
		t.Errorf("%s, want %s", got, heir)
	}
	type start struct {
		radio  config.Radio
		number int
		name   string
	}
	for _, x := range []struct {
		name   string
		starts []start
	}{
		{"the heir", []start{{heir, 1, "spinel1"}, {heir, 1, "spinel1"}}},
		{"the old one again", []start{{old, 1, "spinel1"}, {heir, 2, "slip2"}}},
		{"for another mesh", []start{{found, 1, "slip1"}, {heir, 1, "slip1"}}},
		{"with other settings", []start{{"slip:///dev/ttyUSB0?channel=20&pan=0x0023&retries=5", 1, "spinel1"}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			store := state.OpenMemory()
			// The heir had been another port of this router.
			for _, list := range [][]config.Radio{{beside, old}, {beside, old, found}} {
				if _, err := numberPorts(store, list, 4, 0); err != nil {
					t.Fatal(err)
				}
			}
			inherit(store, 1, "spinel1", old, heir, 20, 0x23)
			if got := inherited(store, found); got != heir {
				t.Errorf("found again: %s, want %s", got, heir)
			}
			if got := inherited(store, old); got != old {
				t.Errorf("the old one: %s", got)
			}
			for i, s := range x.starts {
				list := []config.Radio{s.radio, beside}
				got, err := numberPorts(store, list, 4, uint32(i+1))
				if err != nil {
					t.Fatal(err)
				}
				if names := portNames(store, list, got); got[0] != s.number || names[0] != s.name || names[1] != "zep0" {
					t.Errorf("start %d: %v %q, want %d %s", i, got, names, s.number, s.name)
				}
			}
		})
	}
}

// TestStartable: a radio with an address of its own cannot take over where frame counters
// would be forgotten; the router would end of it.
func TestStartable(t *testing.T) {
	d := &Daemon{cfg: config.Default(), store: state.OpenMemory()}
	d.cfg.Security.Key = config.NewKey([16]byte{1})
	for radio, ok := range map[config.Radio]bool{"spinel:///dev/ttyACM0": true, "slip:///dev/ttyACM0": false, "usb://": false} {
		if err := d.startable("spinel0", radio); (err == nil) != ok {
			t.Errorf("%s: %v", radio, err)
		}
	}
}
