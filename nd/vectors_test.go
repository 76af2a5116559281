package nd

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"border-router/ipv6"
)

type vector struct {
	ID     string         `json:"id"`
	Hex    string         `json:"ipv6_hex"`
	Expect string         `json:"expect"`
	Fields map[string]any `json:"fields"`
}

func vectors(t testing.TB, name string) (list []vector) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return list
}

func (v vector) packet(t testing.TB) ipv6.Packet {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ipv6.Parse(b)
	if err != nil && v.Expect == "" {
		t.Fatalf("%s: %v", v.ID, err)
	}
	return p
}

// dissected decodes an ICMPv6 message into fields named as Wireshark's display filters
// name them, and encodes it again.
func dissected(t *testing.T, b []byte) (f map[string][]string, again []byte) {
	t.Helper()
	f = make(map[string][]string)
	add := func(k string, v any) { f[k] = append(f[k], fmt.Sprint(v)) }
	bit := func(k string, v bool) {
		if v {
			add(k, 1)
		} else {
			add(k, 0)
		}
	}
	var opts Options
	switch b[0] {
	case typeRouterSolicitation:
		m, err := ParseRouterSolicitation(b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ = m.AppendBinary(nil)
		opts = m.Options
	case typeRouterAdvertisement:
		m, err := ParseRouterAdvertisement(b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ = m.AppendBinary(nil)
		opts = m.Options
		add("icmpv6.nd.ra.cur_hop_limit", m.CurHopLimit)
		bit("icmpv6.nd.ra.flag.m", m.Managed)
		bit("icmpv6.nd.ra.flag.o", m.Other)
		bit("icmpv6.nd.ra.flag.h", m.HomeAgent)
		add("icmpv6.nd.ra.flag.prf", m.Preference)
		bit("icmpv6.nd.ra.flag.p", m.Proxy)
		add("icmpv6.nd.ra.router_lifetime", m.RouterLifetime)
		add("icmpv6.nd.ra.reachable_time", m.ReachableTime)
		add("icmpv6.nd.ra.retrans_timer", m.RetransTimer)
	case typeNeighborSolicitation:
		m, err := ParseNeighborSolicitation(b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ = m.AppendBinary(nil)
		opts = m.Options
		add("icmpv6.nd.ns.target_address", m.Target)
	case typeNeighborAdvertisement:
		m, err := ParseNeighborAdvertisement(b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ = m.AppendBinary(nil)
		opts = m.Options
		bit("icmpv6.nd.na.flag.r", m.Router)
		bit("icmpv6.nd.na.flag.s", m.Solicited)
		bit("icmpv6.nd.na.flag.o", m.Override)
		add("icmpv6.nd.na.target_address", m.Target)
	case typeDAR, typeDAC:
		m, err := ParseDuplicateAddress(b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ = m.AppendBinary(nil)
		add("icmpv6.6lowpannd.da.status", uint8(m.Status))
		add("icmpv6.6lowpannd.da.rsv", m.TID)
		add("icmpv6.6lowpannd.da.lifetime", m.Lifetime)
		add("icmpv6.6lowpannd.da.eui64", colons(m.ROVR.Append(nil)))
		add("icmpv6.6lowpannd.da.reg_addr", m.Addr)
	default:
		t.Fatalf("type %d", b[0])
	}
	for o, rest := opts.Next(); o.Type != 0; o, rest = rest.Next() {
		add("icmpv6.opt.type", o.Type)
		add("icmpv6.opt.length", o.Len())
		var out []byte
		switch o.Type {
		case OptionSourceLinkAddr, OptionTargetLinkAddr:
			a, ok := ParseLinkAddr(o, 8)
			if !ok || a.Len() == 2 && (o.Data[2]|o.Data[3]) != 0 {
				a, ok = ParseLinkAddr(o, 6)
			}
			if ok && !(a.Len() == 2) {
				k := map[uint8]string{OptionSourceLinkAddr: "icmpv6.opt.src_linkaddr", OptionTargetLinkAddr: "icmpv6.opt.target_linkaddr"}[o.Type]
				if a.Len() == 8 {
					add(k+"_eui64", a)
				} else {
					add(k, a)
				}
				out = AppendLinkAddr(nil, o.Type, a)
			}
		case OptionPrefix:
			p, ok := ParsePrefixInfo(o)
			if !ok {
				t.Fatal("PIO")
			}
			add("icmpv6.opt.prefix.length", p.Prefix.Bits())
			bit("icmpv6.opt.prefix.flag.l", p.OnLink)
			bit("icmpv6.opt.prefix.flag.a", p.Autonomous)
			bit("icmpv6.opt.prefix.flag.r", p.RouterAddr)
			add("icmpv6.opt.prefix.valid_lifetime", p.Valid)
			add("icmpv6.opt.prefix.preferred_lifetime", p.Preferred)
			add("icmpv6.opt.prefix", p.Prefix.Addr())
			out, _ = p.AppendBinary(nil)
		case OptionMTU:
			v, _ := ParseMTU(o)
			add("icmpv6.opt.mtu", v)
			out = AppendMTU(nil, v)
		case OptionRDNSS:
			v, ok := ParseRDNSS(o)
			if !ok {
				t.Fatal("RDNSS")
			}
			add("icmpv6.opt.rdnss.lifetime", v.Lifetime)
			for _, s := range v.Servers[:v.N] {
				add("icmpv6.opt.rdnss", s)
			}
			out = AppendRDNSS(nil, v.Lifetime, v.Servers[:v.N])
		case OptionDNSSL:
			if life, names, ok := ParseDNSSL(o); ok {
				add("icmpv6.opt.dnssl.lifetime", life)
				for _, n := range names {
					add("icmpv6.opt.dnssl", n)
				}
				if out, _ = AppendDNSSL(nil, life, names); len(out) < len(o.Data)+2 {
					out = append(out, make([]byte, len(o.Data)+2-len(out))...) // more padding than needed
					out[1] = uint8(o.Len())
				}
			}
		case OptionRoute:
			v, ok := ParseRouteInfo(o)
			if !ok {
				t.Fatal("RIO")
			}
			add("icmpv6.opt.prefix.length", v.Prefix.Bits())
			add("icmpv6.opt.route_info.flag.route_preference", v.Preference)
			add("icmpv6.opt.route_lifetime", v.Lifetime)
			if v.Prefix.Bits() > 0 {
				add("icmpv6.opt.prefix", v.Prefix.Addr())
			}
			if out, _ = v.AppendBinary(nil); len(out) < len(o.Data)+2 {
				out = nil // a longer form than needed
			}
		case OptionContext:
			v, ok := ParseContextInfo(o)
			if !ok {
				t.Fatal("6CO")
			}
			add("icmpv6.opt.6co.context_length", v.Prefix.Bits())
			bit("icmpv6.opt.6co.flag.c", v.Compress)
			add("icmpv6.opt.6co.flag.cid", v.ID)
			add("icmpv6.opt.6co.valid_lifetime", v.Lifetime)
			add("icmpv6.opt.6co.context_prefix", v.Prefix.Addr())
			out, _ = v.AppendBinary(nil)
		case OptionBorderRouter:
			v, ok := ParseBorderRouterInfo(o)
			if !ok {
				t.Fatal("ABRO")
			}
			add("icmpv6.opt.abro.version_low", v.Version&0xffff)
			add("icmpv6.opt.abro.version_high", v.Version>>16)
			add("icmpv6.opt.abro.valid_lifetime", v.Lifetime)
			add("icmpv6.opt.abro.6lbr_address", v.Addr)
			out, _ = v.AppendBinary(nil)
		case OptionCapability:
			v, ok := ParseCapability(o)
			if !ok {
				t.Fatal("6CIO")
			}
			add("icmpv6.opt.6cio.flag_g", fmt.Sprintf("0x%04x", uint64(v&CapabilityGHC>>32)))
			out, _ = v.AppendBinary(nil)
		case OptionRegistration:
			v, ok := ParseRegistration(o)
			if !ok {
				t.Fatal("ARO")
			}
			add("icmpv6.opt.aro.status", uint8(v.Status))
			add("icmpv6.opt.aro.registration_lifetime", v.Lifetime)
			add("icmpv6.opt.aro.eui64", colons(v.ROVR.Append(nil)[:8]))
			out, _ = v.AppendBinary(nil)
		case OptionPREF64:
			v, ok := ParsePREF64(o)
			if !ok {
				t.Fatal("PREF64")
			}
			add("icmpv6.opt.pref64.scaled_lifetime", v.Lifetime.Seconds()/8)
			add("icmpv6.opt.pref64.plc", slices.Index(pref64Bits[:], v.Prefix.Bits()))
			add("icmpv6.opt.pref64.prefix", v.Prefix.Addr())
			out, _ = v.AppendBinary(nil)
		case OptionCaptivePortal:
			v, ok := ParseCaptivePortal(o)
			if !ok {
				t.Fatal("captive portal")
			}
			add("icmpv6.opt.captive_portal", string(v))
			out, _ = AppendCaptivePortal(nil, string(v))
		case OptionNonce:
			v, ok := ParseNonce(o)
			if !ok {
				t.Fatal("nonce")
			}
			add("icmpv6.opt.nonce", colons(v))
		}
		raw, err := o.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil && string(out) != string(raw) {
			t.Errorf("option %d: appended %x, want %x", o.Type, out, raw)
		}
	}
	return f, again
}

func colons(b []byte) string {
	s := make([]string, len(b))
	for i, c := range b {
		s[i] = fmt.Sprintf("%02x", c)
	}
	return strings.Join(s, ":")
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t, "nd.jsonl") {
		t.Run(v.ID, func(t *testing.T) {
			b := icmp(v.packet(t))
			f, again := dissected(t, b)
			for k, got := range f {
				want, ok := v.Fields[k]
				if !ok {
					if k == "icmpv6.opt.dnssl" || strings.HasSuffix(k, "linkaddr") {
						continue
					}
					t.Errorf("%s: got %v, not in the vector", k, got)
					continue
				}
				w, isList := want.([]any)
				if !isList {
					w = []any{want}
				}
				if len(w) != len(got) {
					// Wireshark uses one name for several options
					if k == "icmpv6.opt.prefix" || strings.HasSuffix(k, "linkaddr") {
						continue
					}
					t.Errorf("%s: got %v, want %v", k, got, w)
					continue
				}
				for i := range w {
					if !sameValue(fmt.Sprint(w[i]), got[i]) {
						t.Errorf("%s: got %v, want %v", k, got, w)
					}
				}
			}
			b = append([]byte(nil), b...)
			b[2], b[3] = 0, 0
			if len(again) == len(b) && b[0] == typeRouterAdvertisement {
				again[5] |= b[5] & 3
			}
			if string(again) != string(b) {
				t.Errorf("appended %x\nwant     %x", again, b)
			}
		})
	}
}

func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	if err1 == nil && err2 == nil {
		return x == y
	}
	i, err1 := strconv.ParseUint(a, 0, 64)
	j, err2 := strconv.ParseUint(b, 0, 64)
	return err1 == nil && err2 == nil && i == j
}

func TestMalformed(t *testing.T) {
	for _, v := range vectors(t, "malformed.jsonl") {
		t.Run(v.ID, func(t *testing.T) {
			p := v.packet(t)
			if p == nil {
				return
			}
			w := newWorld(t, RouterConfig{Prefix: mesh})
			h := w.host(1, HostConfig{})
			w.run(5 * minute)
			before := h.nd.Addrs()
			m := ipv6.Meta{LinkSrc: ipv6.EUI64(0x1234), LinkDst: ipv6.BroadcastShort}
			err := w.r.HandlePacket(w.now, p, m)
			hostErr := h.nd.HandlePacket(w.now, p, m)
			lw := newLANWorld(t)
			lan := lw.one(LANConfig{AcceptRouter: true, AcceptRedirects: true, Advertise: true})
			lanErr := lw.inject(lan, p, hostMAC)
			if v.Expect == "reject" && (err == nil || hostErr == nil || lanErr == nil) {
				t.Errorf("router: %v, host: %v, LAN: %v; want a drop", err, hostErr, lanErr)
			}
			if len(h.nd.Addrs()) != len(before) {
				t.Errorf("addresses are %v, were %v", h.nd.Addrs(), before)
			}
		})
	}
}
