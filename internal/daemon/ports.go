package daemon

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"border-router/internal/config"
	"border-router/internal/radios"
	"border-router/internal/state"
)

// A portRecord is what is kept of a radio: its number, which makes the name of its port and
// is the number of its subnet. So both stay when radios are given in another order, when one
// is left out for a while, or when another one joins.
type portRecord struct {
	ID     string `json:"id"`   // the radio's URL without its settings
	Mesh   string `json:"mesh"` // kind, PAN and channel
	Number int    `json:"n"`
	Used   uint32 `json:"used"` // the start (ABRO version) at which it was there last
	Heir   *heir  `json:"heir,omitempty"`
}

// An heir says that the radio has taken the place of another one that was gone: Mesh of the
// record is that one's.
type heir struct {
	Name    string `json:"name"` // of the port
	Mesh    string `json:"mesh"` // as it is of the radio by itself, with these settings
	Channel uint8  `json:"channel"`
	PAN     uint16 `json:"pan"`
}

const (
	portsKey = "ports"
	// maxPorts is how many radios are remembered; those that were away longest go first.
	maxPorts = 64
)

// portID names a radio whatever its settings: where it is plugged in or listens. Several
// that cannot be told apart by that are taken in their order.
func portID(radio config.Radio) string {
	u, err := url.Parse(string(radio))
	if err != nil {
		return string(radio)
	}
	id := u.Scheme + "://" + u.Host + u.Path
	if mode := u.Query().Get("mode"); mode != "" {
		id += "?mode=" + mode
	}
	return id
}

// portMesh names the mesh that a radio is for: another radio of the kind takes its place
// with the same PAN and channel.
func portMesh(radio config.Radio, pan uint16) string {
	channel := ""
	if u, err := url.Parse(string(radio)); err == nil {
		channel = u.Query().Get("channel")
	}
	return fmt.Sprintf("%s/%04x/%s", portName(radio.Scheme()), pan, channel)
}

// keptPorts reads what is kept of radios.
func keptPorts(store *state.Store) (kept []portRecord) {
	if b, ok := store.Get(portsKey); ok && json.Unmarshal(b, &kept) != nil {
		return nil
	}
	return kept
}

// portNames returns the name of the port of each radio, which numberPorts has given numbers.
func portNames(store *state.Store, list []config.Radio, numbers []int) []string {
	kept := keptPorts(store)
	names := make([]string, len(list))
	for i, radio := range list {
		names[i] = fmt.Sprintf("%s%d", portName(radio.Scheme()), numbers[i])
		for _, p := range kept {
			if p.Number == numbers[i] && p.Heir != nil {
				names[i] = p.Heir.Name
			}
		}
	}
	return names
}

// withSettings adds the channel and the PAN to a URL that does not say them.
func withSettings(radio config.Radio, channel uint8, pan uint16) config.Radio {
	u, err := url.Parse(string(radio))
	if err != nil {
		return radio
	}
	q := u.Query()
	for k, v := range map[string]string{"channel": fmt.Sprint(channel), "pan": fmt.Sprintf("0x%04x", pan)} {
		if !q.Has(k) {
			q.Set(k, v)
		}
	}
	u.RawQuery = q.Encode()
	return config.Radio(u.String())
}

// inherit has the radio next take the place of was, which has this number: its port keeps the
// name and the subnet, and so the registrations. next says the channel and PAN of the mesh.
func inherit(store *state.Store, number int, name string, was, next config.Radio, channel uint8, pan uint16) {
	kept := keptPorts(store)
	from, to := portID(was), portID(next)
	mine := func(p portRecord) bool { return p.Number == number && p.ID == from }
	kept = slices.DeleteFunc(kept, func(p portRecord) bool { return p.ID == to && !mine(p) })
	if i := slices.IndexFunc(kept, mine); i >= 0 {
		kept[i].ID = to
		kept[i].Heir = &heir{Name: name, Mesh: portMesh(next, pan), Channel: channel, PAN: pan}
	}
	if b, err := json.Marshal(kept); err == nil {
		store.Put(portsKey, b)
	}
}

// inherited returns the URL of a radio that was found with the settings of the mesh that it
// has inherited, where it has.
func inherited(store *state.Store, radio config.Radio) config.Radio {
	for _, p := range keptPorts(store) {
		if p.ID == portID(radio) && p.Heir != nil {
			return withSettings(radio, p.Heir.Channel, p.Heir.PAN)
		}
	}
	return radio
}

// numberPorts returns the number of each radio, below room, and keeps them. A radio has the
// number that it had before; a new one that of a radio which is not there and was for the
// same mesh, such as a dongle in another socket; else the lowest that no radio has had, or,
// where there is none, that of the one that was away longest.
func numberPorts(store *state.Store, list []config.Radio, room int, start uint32) ([]int, error) {
	kept := slices.DeleteFunc(keptPorts(store), func(p portRecord) bool { return p.Number < 0 || p.Number >= room })
	want := make([]portRecord, len(list))
	for i, radio := range list {
		u, err := radios.Parse(string(radio))
		if err != nil {
			return nil, err
		}
		want[i] = portRecord{ID: portID(radio), Mesh: portMesh(radio, u.Settings().PAN), Number: -1, Used: start}
	}
	claim := func(same func(have, want *portRecord) bool) {
		for i := range want {
			if want[i].Number >= 0 {
				continue
			}
			if k := slices.IndexFunc(kept, func(have portRecord) bool { return same(&have, &want[i]) }); k >= 0 {
				want[i].Number = kept[k].Number
				if h := kept[k].Heir; h != nil && kept[k].ID == want[i].ID && h.Mesh == want[i].Mesh {
					want[i].Heir, want[i].Mesh = h, kept[k].Mesh
				}
				kept = slices.Delete(kept, k, k+1)
			}
		}
	}
	claim(func(have, want *portRecord) bool { return have.ID == want.ID && have.Mesh == want.Mesh })
	claim(func(have, want *portRecord) bool { return have.ID == want.ID })
	claim(func(have, want *portRecord) bool { return have.Mesh == want.Mesh })
	slices.SortStableFunc(kept, func(a, b portRecord) int { return cmp.Compare(b.Used, a.Used) }) // the oldest last
	for i := range want {
		if want[i].Number >= 0 {
			continue
		}
		taken := func(n int) bool {
			has := func(p portRecord) bool { return p.Number == n }
			return slices.ContainsFunc(kept, has) || slices.ContainsFunc(want, has)
		}
		n := 0
		for n < room && taken(n) {
			n++
		}
		if n == room {
			if len(kept) == 0 {
				return nil, fmt.Errorf("no room for %d radios", len(list))
			}
			n = kept[len(kept)-1].Number
			kept = kept[:len(kept)-1]
		}
		want[i].Number = n
	}
	numbers := make([]int, len(want))
	for i := range want {
		numbers[i] = want[i].Number
	}
	all := append(want, kept...)
	b, err := json.Marshal(all[:min(len(all), max(maxPorts, len(want)))])
	if err != nil {
		return nil, err
	}
	store.Put(portsKey, b)
	return numbers, nil
}

// subnet returns the /64 number n of base.
func subnet(base netip.Prefix, n int) netip.Prefix {
	a := base.Addr().As16()
	a[6] |= byte(n >> 8)
	a[7] |= byte(n)
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// subnets returns the number of each radio and its /64.
func (d *Daemon) subnets(start uint32) ([]int, []netip.Prefix, error) {
	base := netip.Prefix{}
	d.source = "configured"
	switch len(d.cfg.Prefixes) {
	case 0:
		d.source, base = "generated", d.ula
	case 1:
		base = d.cfg.Prefixes[0]
	}
	prefixes, err := d.cfg.Subnets(base) // says what is wrong with them
	if err != nil {
		return nil, nil, err
	}
	room := 1 << 16
	if base.IsValid() {
		room = 1 << (64 - base.Bits())
	}
	numbers, err := numberPorts(d.store, d.cfg.Radios, room, start)
	if err != nil {
		return nil, nil, err
	}
	if base.IsValid() { // else each radio was given one
		for i, n := range numbers {
			prefixes[i] = subnet(base, n)
		}
	}
	return numbers, prefixes, nil
}
