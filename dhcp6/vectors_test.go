package dhcp6

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

type vector struct {
	ID     string         `json:"id"`
	Hex    string         `json:"ipv6_hex"`
	Fields map[string]any `json:"fields"`
}

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	f, err := os.Open("testdata/dhcp6.jsonl")
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
	if len(list) == 0 || s.Err() != nil {
		t.Fatalf("no vectors: %v", s.Err())
	}
	return list
}

// payload returns the UDP payload.
func (v vector) payload(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil || len(b) < 48 {
		t.Fatalf("%s: %v", v.ID, err)
	}
	return b[48:]
}

// A reading is what was decoded, named as Wireshark's display filters name it.
type reading map[string][]string

func (r reading) add(key string, v any) { r["dhcpv6."+key] = append(r["dhcpv6."+key], fmt.Sprint(v)) }

func colons(b []byte) string {
	var s []string
	for _, v := range b {
		s = append(s, fmt.Sprintf("%02x", v))
	}
	return strings.Join(s, ":")
}

// read decodes a message with the relays around it.
func read(t testing.TB, b []byte, out reading) (encoded []byte) {
	t.Helper()
	if isRelay(b) {
		r, err := parseRelay(b)
		if err != nil && err != DropRelayMessage {
			t.Fatal(err)
		}
		out.add("msgtype", uint8(r.typ))
		out.add("hopcount", r.hops)
		out.add("linkaddr", r.link)
		out.add("peeraddr", r.peer)
		if r.interfaceID != nil {
			out.add("interface_id", colons(r.interfaceID))
		}
		if err == DropRelayMessage {
			return b
		}
		r.inner = read(t, r.inner, out)
		return r.append(nil)
	}
	m, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	out.add("msgtype", uint8(m.typ))
	out.add("xid", fmt.Sprintf("0x%02x%02x%02x", m.xid[0], m.xid[1], m.xid[2]))
	for _, d := range []DUID{m.client, m.server} {
		if d != "" {
			out.add("duid.bytes", colons([]byte(d)))
			out.add("duid.type", d.Type())
		}
	}
	for _, o := range m.oro {
		out.add("requested_option_code", uint16(o))
	}
	for _, x := range append(append([]ia{}, m.nas...), m.pds...) {
		out.add("iaid", fmt.Sprintf("%08x", x.id))
		out.add("iaid.t1", x.t1)
		out.add("iaid.t2", x.t2)
		if x.status != 0 {
			out.add("status_code", x.status)
		}
	}
	for _, x := range m.nas {
		for _, l := range x.leases {
			out.add("iaaddr.ip", l.prefix.Addr())
			out.add("iaaddr.pref_lifetime", l.preferred)
			out.add("iaaddr.valid_lifetime", l.valid)
		}
	}
	for _, x := range m.pds {
		for _, l := range x.leases {
			out.add("iaprefix.pref_addr", l.prefix.Addr())
			out.add("iaprefix.pref_len", l.prefix.Bits())
			out.add("iaprefix.pref_lifetime", l.preferred)
			out.add("iaprefix.valid_lifetime", l.valid)
		}
	}
	for _, a := range m.dns {
		out.add("dns_server", a)
	}
	if m.hasRefresh {
		out.add("lifetime", m.refresh)
	}
	p := parser{left: maxOptions}
	opts, err := p.options(bytes.Clone(b[4:]), p.top)
	if err != nil {
		t.Fatal(err)
	}
	msg := dhcpv6.Message{MessageType: m.typ, TransactionID: m.xid, Options: dhcpv6.MessageOptions{Options: opts}}
	return msg.ToBytes()
}

// TestVectors: what other decoders read is what is read here, and written again it is the
// same.
func TestVectors(t *testing.T) {
	keys := []string{"msgtype", "xid", "duid.bytes", "duid.type", "requested_option_code", "iaid", "iaid.t1", "iaid.t2",
		"iaaddr.ip", "iaaddr.pref_lifetime", "iaaddr.valid_lifetime", "iaprefix.pref_addr", "iaprefix.pref_len",
		"iaprefix.pref_lifetime", "iaprefix.valid_lifetime", "dns_server", "lifetime", "status_code", "hopcount",
		"linkaddr", "peeraddr", "interface_id"}
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			got := reading{}
			b := v.payload(t)
			out := read(t, b, got)
			for _, k := range keys {
				if strings.Contains(v.ID, "ia-ta") && strings.HasPrefix(k, "iaaddr.") {
					continue // IA_TA is kept as it is and not read: RFC 9915 has no temporary addresses
				}
				k = "dhcpv6." + k
				var want []string
				switch f := v.Fields[k].(type) {
				case string:
					want = []string{f}
				case []any:
					for _, s := range f {
						want = append(want, fmt.Sprint(s))
					}
				}
				if !reflect.DeepEqual(got[k], want) {
					t.Errorf("%s = %v, want %v", k, got[k], want)
				}
			}
			// A relay's options come in another order from the one found in the wild.
			if !isRelay(b) && !bytes.Equal(out, b) || len(out) != len(b) {
				t.Errorf("written again:\n%x, want\n%x", out, b)
			}
		})
	}
}

// TestExclude has the layout of RFC 6603 section 4.2 both ways.
func TestExclude(t *testing.T) {
	for _, c := range []struct{ prefix, exclude, hex string }{
		{"2001:db8:dead:bee0::/59", "2001:db8:dead:beef::/64", "4078"}, // 5 bits 01111, left-aligned
		{"2001:db8::/32", "2001:db8:0:1::/64", "4000000001"},
		{"2001:db8::/56", "2001:db8:0:ff::/64", "40ff"},
		{"2001:db8::/63", "2001:db8:0:1::/64", "4080"},
	} {
		p, e := netip.MustParsePrefix(c.prefix), netip.MustParsePrefix(c.exclude)
		b := appendExclude(nil, p, e)
		if hex.EncodeToString(b) != c.hex {
			t.Errorf("%s in %s: %x, want %s", e, p, b, c.hex)
		}
		if got := parseExclude(p, b); got != e {
			t.Errorf("%s of %s: %s, want %s", c.hex, p, got, e)
		}
	}
	for _, bad := range []string{"", "40", "3800", "81ff", "400000"} {
		b, _ := hex.DecodeString(bad)
		if got := parseExclude(netip.MustParsePrefix("2001:db8::/56"), b); got.IsValid() {
			t.Errorf("%s: %s, want none", bad, got)
		}
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want []string
	}{
		{"076578616d706c6503636f6d00", []string{"example.com"}},
		{"0161000162016300", []string{"a", "b.c"}},
		{"00", nil},
	} {
		b, _ := hex.DecodeString(c.hex)
		got, ok := parseDomains(b)
		if !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q %v, want %q", c.hex, got, ok, c.want)
		}
	}
	for _, bad := range []string{"01", "0161", "c000", "02612e00", "036120620000", "40" + strings.Repeat("61", 64) + "00",
		strings.Repeat("3f"+strings.Repeat("61", 63), 4) + "00"} {
		b, _ := hex.DecodeString(bad)
		if got, ok := parseDomains(b); ok {
			t.Errorf("%s: %q, want it refused", bad, got)
		}
	}
	for _, bad := range []string{"", ".", "a..b", strings.Repeat("a", 64), strings.Repeat("abc.", 70)} {
		if _, ok := appendDomain(nil, bad); ok {
			t.Errorf("%q was encoded", bad)
		}
	}
}

func TestDUID(t *testing.T) {
	for _, d := range []DUID{NewDUIDUUID(), NewDUIDLL(HardwareEUI64, []byte{1, 2, 3, 4, 5, 6, 7, 8}),
		NewDUIDLLT(HardwareEthernet, epoch, []byte{1, 2, 3, 4, 5, 6}), NewDUIDEN(4660, []byte{0xab})} {
		b, _ := d.MarshalText()
		var got DUID
		if err := got.UnmarshalText(b); err != nil || got != d || !d.Valid() {
			t.Errorf("%s: %s %v", d, got, err)
		}
	}
	var d DUID
	for _, bad := range []string{"0", "0001", strings.Repeat("00", maxDUID+1), "zz"} {
		if d.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
