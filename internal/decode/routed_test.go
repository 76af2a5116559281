package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

// Packets of an RPL domain whose root is 2001:db8::1: the RPL option, a source
// route, both in a tunnel.
var routedPackets = []string{
	"600000000010003f20010db800000000000000000000000520010db80000000000000000000000013a002304001e01008000000000000000",
	"6000000000182b4020010db800000000000000000000000120010db80000000000000000000000053a010301ff70000009000000000000008000000000000000",
	"600000000048004020010db800000000000000000000000120010db800000000000000000000030" + "22b00230480000100" + "29010302ee400000" + "0403050400000000" +
		"600000000008" + "3a40" + "20010db9000000000000000000000099" + "20010db8000000000000000000000504" + "8000000000000000",
}

func TestRoutedLines(t *testing.T) {
	root := `"l2_src":"0001","l2_dst":"0002","root":"2001:db8::1",`
	for k, p := range routedPackets {
		for _, c := range []struct{ encode, decode, starts string }{
			{`"6lorh":true,` + root, root, "f1"},
			{`"6lorh":true,"l2_src":"0001","l2_dst":"0002",`, `"l2_src":"0001","l2_dst":"0002",`, "f1"},
			{root, root, "7"},
			{`"6lorh":false,"rpl_option":"63",` + root, root, "7"},
			// The option is of another type: it is not what RPI-6LoRH would stand for.
			{`"6lorh":true,"rpl_option":"0x63",` + root, root, map[int]string{0: "7", 1: "f1", 2: "7"}[k]},
		} {
			var out bytes.Buffer
			e := NewEncoder(&out, Options{})
			if err := e.Read(context.Background(), strings.NewReader(`{`+c.encode+`"ipv6_hex":"`+p+`"}`)); err != nil {
				t.Fatal(err)
			}
			e.Flush()
			var l struct {
				Error      string
				Frames     []string
				Compressed string `json:"compressed_hex"`
			}
			if err := json.Unmarshal(out.Bytes(), &l); err != nil || !strings.HasPrefix(l.Compressed, c.starts) || len(l.Frames) != 1 || !strings.HasSuffix(l.Frames[0], l.Compressed) {
				t.Errorf("packet %d, %s: %s", k, c.encode, out.String())
				continue
			}
			for _, in := range []string{`"compressed_hex":"` + l.Compressed + `"`, `"frame_hex":"` + l.Frames[0] + `"`} {
				if got := decodeLines(t, Options{}, []string{"{" + c.decode + in + "}"})[0]; got["ipv6_hex"] != p || got["drop"] != nil {
					t.Errorf("packet %d, %s: %v", k, in, got)
				}
			}
		}
	}

	// As options of the command, lines of frames alone, and a capture, where a key does not say.
	var opt, plain Options
	opt.RoutingHeaders = true
	opt.Contexts.Root, opt.Contexts.RPLOption = netip.MustParseAddr("2001:db8::1"), 0x63
	if err := ParseContext(&opt.Contexts, "0=2001:db8::/64"); err != nil {
		t.Fatal(err)
	}
	plain.Contexts, plain.Contexts.Root, plain.Contexts.RPLOption = opt.Contexts, netip.Addr{}, 0
	var lines, frames []string
	var packets [][]byte
	for _, p := range routedPackets {
		lines = append(lines, `{"l2_src":"0212740001020304","l2_dst":"0002","pan":"abcd","ipv6_hex":"`+strings.ReplaceAll(p, "002304", "006304")+`"}`)
	}
	var out bytes.Buffer
	e := NewEncoder(&out, opt)
	if err := e.Read(context.Background(), strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	e.Flush()
	for _, l := range parseLines(t, out.String(), len(lines)) {
		f := l["frames"].([]any)[0].(string)
		frames = append(frames, f)
		packets = append(packets, unhexT(t, f))
	}
	for name, in := range map[string][]byte{
		"hexadecimal": []byte(strings.Join(frames, "\n")),
		"capture":     pcapFile(binary.LittleEndian, false, linkNoFCS, 0, packets...),
	} {
		text, _ := decodeBytes(t, opt, in)
		for k, got := range parseLines(t, text, len(frames)) {
			want := unhexT(t, routedPackets[k])
			if want[6] == 0 && want[42] == 0x23 {
				want[42] = 0x63
			}
			if got["ipv6_hex"] != hex.EncodeToString(want) {
				t.Errorf("%s: %v", name, got)
			}
		}
		text, _ = decodeBytes(t, plain, in) // of a root that we do not know
		if got := parseLines(t, text, len(frames)); got[2]["drop"] != "6lorh_root" || got[0]["ipv6_hex"] != routedPackets[0] {
			t.Errorf("%s, without a root: %v", name, got)
		}
	}
}

// TestRoutedFields: the fields of restored headers are those of Wireshark.
func TestRoutedFields(t *testing.T) {
	got := decodeLines(t, Options{}, []string{
		`{"l2_src":"0001","l2_dst":"0002","root":"2001:db8::1","payload_hex":"f18201030204030504` + "91051e01" + "a10640" + `7a003b20010db900000000000000000000009920010db8000000000000000000000504"}`,
	})[0]["fields"].(map[string]any)
	for k, want := range map[string]any{
		"ipv6.routing.segleft":          "2",
		"ipv6.routing.rpl.cmprI":        "14",
		"ipv6.routing.rpl.pad":          "4",
		"ipv6.routing.rpl.full_address": []any{"2001:db8::403", "2001:db8::504"},
		"ipv6.opt.type":                 "0x23",
		"ipv6.opt.rpl.instance_id":      "0x1e",
		"ipv6.opt.rpl.flag.o":           "1",
		"ipv6.hlim":                     []any{"64", "64"},
		"ipv6.dst":                      []any{"2001:db8::302", "2001:db8::504"},
	} {
		if !same(got[k], want) {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
}

func TestRoutedErrors(t *testing.T) {
	for in, want := range map[string]string{
		`{"root":"fd00","l2_src":"0001","l2_dst":"0002","payload_hex":"7a"}`:     "root: want an IPv6 address",
		`{"root":"10.0.0.1","l2_src":"0001","l2_dst":"0002","payload_hex":"7a"}`: "root: want an IPv6 address",
		`{"rpl_option":"24","l2_src":"0001","l2_dst":"0002","payload_hex":"7a"}`: "rpl_option: want 23 (RFC 9008) or 63 (RFC 6553)",
	} {
		if got := decodeLines(t, Options{}, []string{in})[0]; got["error"] != want {
			t.Errorf("%s: %v", in, got)
		}
		var out bytes.Buffer
		e := NewEncoder(&out, Options{})
		e.Read(context.Background(), strings.NewReader(in))
		e.Flush()
		if got := parseLines(t, out.String(), 1)[0]; got["error"] != want {
			t.Errorf("encode %s: %v", in, got)
		}
	}
}
