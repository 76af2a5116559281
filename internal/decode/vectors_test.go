package decode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// lines returns the lines of a file of vectors, as text and parsed.
func vectors(t testing.TB, name string) (text []string, parsed []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var m map[string]any
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		text, parsed = append(text, s.Text()), append(parsed, m)
	}
	if len(text) == 0 {
		t.Fatalf("%s: empty", name)
	}
	return text, parsed
}

// decodeLines runs lines through a Decoder and returns its lines.
func decodeLines(t testing.TB, opt Options, lines []string) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	d := NewDecoder(&out, opt)
	if err := d.Read(context.Background(), strings.NewReader(strings.Join(lines, "\n")+"\n")); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	return parseLines(t, out.String(), len(lines))
}

func parseLines(t testing.TB, s string, want int) (out []map[string]any) {
	t.Helper()
	for l := range strings.Lines(s) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		out = append(out, m)
	}
	if len(out) != want {
		t.Fatalf("%d lines for %d", len(out), want)
	}
	return out
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// decided are the vectors whose outcome is a decision of package lowpan, see its
// TestAmbiguous: what is restored there differs from the file.
var decided = map[string]bool{
	"ot-TestIpInIpWithoutExtensionHeader": true,
	"tshark-nxt59-payload":                true,
	"gen-ext-2-nh0":                       true,
	"gen-ext-2-nh1":                       true,
}

func TestLowpanVectors(t *testing.T) {
	for _, name := range []string{"iphc", "frag", "ambiguous"} {
		text, in := vectors(t, "../../lowpan/testdata/"+name+".jsonl")
		for i, got := range decodeLines(t, Options{}, text) {
			v := in[i]
			if got["id"] != v["id"] {
				t.Fatalf("line %d: id %v, want %v", i, got["id"], v["id"])
			}
			if decided[v["id"].(string)] {
				if got["ipv6_hex"] == nil {
					t.Errorf("%v: %v", v["id"], got["drop"])
				}
				continue
			}
			if h := v["header_hex"]; h != nil {
				for k, w := range v["fields"].(map[string]any) {
					if got["fields"].(map[string]any)[k] != w {
						t.Errorf("%v: %s is %v, want %v", v["id"], k, got["fields"].(map[string]any)[k], w)
					}
				}
				continue
			}
			if dirs, ok := v["directions"].([]any); ok && !slices.Contains(dirs, any("decompress")) {
				continue
			}
			want := v["ipv6_hex"]
			switch v["expect"] {
			case "discard-or-datagram":
				if got["ipv6_hex"] == nil {
					want = nil
				}
			case "not-mixed":
				if h := got["ipv6_hex"]; h != nil && !slices.Contains(v["tolerated_ipv6"].([]any), h) {
					t.Errorf("%v: mixed", v["id"])
				}
				want = got["ipv6_hex"]
			}
			if got["ipv6_hex"] != want || !same(got["ipv6_list"], v["ipv6_list"]) {
				t.Errorf("%v (%v):\n got %v %v, %v, %v\nwant %v %v", v["id"], v["note"], got["ipv6_hex"], got["ipv6_list"], got["drop"], got["error"], want, v["ipv6_list"])
			}
			if delivered := got["ipv6_hex"] != nil || got["ipv6_list"] != nil; delivered != (got["drop"] == nil) {
				t.Errorf("%v: delivered %v, drop %v", v["id"], delivered, got["drop"])
			}
		}
	}
}

func TestGHCVectors(t *testing.T) {
	text, in := vectors(t, "../../lowpan/testdata/ghc.jsonl")
	for i, got := range decodeLines(t, Options{}, text) {
		if got["payload_hex"] != in[i]["payload_hex"] {
			t.Errorf("%v: %v, %v; want %v", in[i]["id"], got["payload_hex"], got["drop"], in[i]["payload_hex"])
		}
	}
}

func TestMACVectors(t *testing.T) {
	for _, name := range []string{"../../ieee802154/testdata/mac.jsonl", "testdata/mac.jsonl"} {
		t.Run(name, func(t *testing.T) { testMACVectors(t, name) })
	}
}

func testMACVectors(t *testing.T, name string) {
	text, in := vectors(t, name)
	for i, got := range decodeLines(t, Options{}, text) {
		v := in[i]
		id := v["id"].(string)
		if got["error"] != nil {
			t.Errorf("%s: %v", id, got["error"])
			continue
		}
		fields := got["fields"].(map[string]any)
		switch v["kind"] {
		case "header-length":
			want := v["expect_header_len"]
			if same(want, 0) {
				want = nil
			}
			if !same(fields["header_len"], want) {
				t.Errorf("%s: %v, want %v", id, fields["header_len"], want)
			}
			continue
		case "iid":
			if fields["iid"] != v["iid"] {
				t.Errorf("%s: %v, want %v", id, fields["iid"], v["iid"])
			}
			continue
		case "rssi":
			if !same(fields["dbm"], v["dbm"]) {
				t.Errorf("%s: %v, want %v", id, fields["dbm"], v["dbm"])
			}
			continue
		}
		if v["expect_outcome"] == "ignore" {
			if got["drop"] == nil || got["mac"] != nil {
				t.Errorf("%s: %v", id, got)
			}
			continue
		}
		mac, ok := got["mac"].(map[string]any)
		if !ok {
			t.Errorf("%s: no mac: %v", id, got)
			continue
		}
		disagrees, _ := v["tshark_disagrees"].(map[string]any)
		for _, section := range []string{"fields", "source_fields", "expect"} {
			want, _ := v[section].(map[string]any)
			for k, w := range want {
				if _, ok := disagrees[k]; ok && section == "fields" || k == "header_ies" && id == "ot-data-2015" {
					continue
				}
				g := mac[k]
				if k == "pending_short" || k == "pending_ext" {
					g = mac[k]
				}
				if !same(g, w) {
					t.Errorf("%s: %s: %s is %v, want %v", id, section, k, g, w)
				}
			}
		}
		if s, ok := v["security"].(map[string]any); ok {
			if mac["nonce"] != s["nonce"] || !same(mac["a_len"], s["a_len"]) {
				t.Errorf("%s: nonce %v, authenticated %v; want %v %v", id, mac["nonce"], mac["a_len"], s["nonce"], s["a_len"])
			}
			if mac["private_plain"] != s["private_plain"] || mac["mic"] != s["mic"] || !same(mac["opened"], true) {
				t.Errorf("%s: plain %v, mic %v; want %v %v", id, mac["private_plain"], mac["mic"], s["private_plain"], s["mic"])
			}
			if p := s["private_plain"].(string); strings.HasPrefix(p, "7a33") && mac["src"] != nil && got["ipv6_hex"] == nil {
				t.Errorf("%s: %v", id, got["drop"])
			}
		}
		if ok := v["fcs_ok"]; ok != nil && (mac["fcs_ok"] != ok || ok == false && got["drop"] != "fcs") {
			t.Errorf("%s: fcs_ok %v, drop %v", id, mac["fcs_ok"], got["drop"])
		}
	}
}

func TestZEPVectors(t *testing.T) {
	for _, name := range []string{"../../zep/testdata/zep.jsonl", "testdata/zep.jsonl"} {
		t.Run(name, func(t *testing.T) { testZEPVectors(t, name) })
	}
}

func testZEPVectors(t *testing.T, name string) {
	text, in := vectors(t, name)
	for i, got := range decodeLines(t, Options{}, text) {
		v := in[i]
		if v["expect"] == "reject" {
			if got["drop"] == nil || got["ipv6_hex"] != nil {
				t.Errorf("%v: %v", v["id"], got)
			}
			for k, w := range v["fields"].(map[string]any) {
				if f := got["fields"].(map[string]any); f[k] != w {
					t.Errorf("%v: %s is %v, want %v", v["id"], k, f[k], w)
				}
			}
			continue
		}
		z, ok := got["zep"].(map[string]any)
		if !ok && got["drop"] != nil && v["expect"] != "accept" {
			continue
		}
		for k, w := range v["fields"].(map[string]any) {
			if f := got["fields"].(map[string]any); !same(z[k], w) || f[k] != w {
				t.Errorf("%v: %s is %v, in fields %v, want %v", v["id"], k, z[k], f[k], w)
			}
		}
		if v["mpdu_hex"] != nil && (z["mpdu_hex"] != v["mpdu_hex"] || got["ipv6_hex"] == nil) {
			t.Errorf("%v: %v", v["id"], got)
		}
	}
}

func TestMalformedVectors(t *testing.T) {
	for _, name := range []string{"../../lowpan/testdata", "../../ieee802154/testdata", "testdata"} {
		text, in := vectors(t, name+"/malformed.jsonl")
		for i, got := range decodeLines(t, Options{}, text) {
			v := in[i]
			if got["error"] != nil {
				t.Errorf("%v: %v", v["id"], got["error"])
			}
			switch v["expect"] {
			case "reject", "reject-or-bounded", "not-a-fragment", "ipv6-reject":
				if got["drop"] == nil || got["ipv6_hex"] != nil {
					t.Errorf("%v (%v): accepted", v["id"], v["note"])
				}
			case "accept":
				if v["layer"] == "6lowpan" && got["ipv6_hex"] == nil {
					t.Errorf("%v (%v): %v", v["id"], v["note"], got["drop"])
				}
			}
			if (got["drop"] == nil) != (got["ipv6_hex"] != nil) {
				t.Errorf("%v: %v", v["id"], got)
			}
		}
	}
}

func TestFieldVectors(t *testing.T) {
	for _, name := range []string{"../../nd/testdata/nd.jsonl", "testdata/mld.jsonl", "testdata/rpl.jsonl", "testdata/dhcp6.jsonl", "testdata/fields.jsonl"} {
		text, in := vectors(t, name)
		for i, got := range decodeLines(t, Options{}, text) {
			v := in[i]
			if v["checksum_ok"] == true && got["ipv6_hex"] != v["ipv6_hex"] {
				t.Errorf("%v: %v", v["id"], got["drop"])
			}
			fields := got["fields"].(map[string]any)
			for k, w := range v["fields"].(map[string]any) {
				if !same(fields[k], w) {
					t.Errorf("%v: %s is %v, want %v", v["id"], k, fields[k], w)
				}
			}
		}
	}
}

// wrongLength is a packet whose UDP length is wrong, and cannot be left out.
const wrongLength = "ot-TestUdpWithoutNhc"

// TestEncodeVectors encodes every packet, decodes the frames and the whole datagram again,
// and compares lengths with the shortest encoding known.
func TestEncodeVectors(t *testing.T) {
	for _, name := range []string{"iphc", "frag", "ambiguous"} {
		text, in := vectors(t, "../../lowpan/testdata/"+name+".jsonl")
		var lines []string
		var vs []map[string]any
		for i := range in {
			if in[i]["ipv6_hex"] != nil {
				lines, vs = append(lines, text[i]), append(vs, in[i])
			}
		}
		for _, opt := range []Options{{}, {ChecksumElision: true}, {GHC: true}, {PlainExtHeaders: true}} {
			var out bytes.Buffer
			e := NewEncoder(&out, opt)
			if err := e.Read(context.Background(), strings.NewReader(strings.Join(lines, "\n"))); err != nil {
				t.Fatal(err)
			}
			e.Flush()
			var back []string
			encoded := parseLines(t, out.String(), len(lines))
			for i, got := range encoded {
				v := vs[i]
				if got["error"] != nil {
					t.Fatalf("%v: %v", v["id"], got["error"])
				}
				if n := len(got["compressed_hex"].(string)) / 2; opt == (Options{}) && v["shortest_len"] != nil && !decided[v["id"].(string)] && v["id"] != wrongLength && n > int(v["shortest_len"].(float64)) {
					t.Errorf("%v: %d bytes, shortest is %v", v["id"], n, v["shortest_len"])
				}
				m := map[string]any{"id": v["id"], "contexts": v["contexts"], "frames": got["frames"]}
				b, _ := json.Marshal(m)
				back = append(back, string(b))
				delete(m, "frames")
				m["l2_src"], m["l2_dst"], m["payload_hex"] = v["l2_src"], v["l2_dst"], got["compressed_hex"]
				b, _ = json.Marshal(m)
				back = append(back, string(b))
			}
			for i, got := range decodeLines(t, Options{GHC: opt.GHC}, back) {
				v := vs[i/2]
				if got["ipv6_hex"] != v["ipv6_hex"] {
					t.Errorf("%v %+v\n got %v, %v\nwant %v", v["id"], opt.GHC, got["ipv6_hex"], got["drop"], v["ipv6_hex"])
				}
			}
		}
	}
}

// TestEncodeMaxPayload encodes the packets of which the vectors have the fragments too, for the
// size of payload that those were made for: all but the tag is the same.
func TestEncodeMaxPayload(t *testing.T) {
	text, in := vectors(t, "../../lowpan/testdata/frag.jsonl")
	n := 0
	for i, v := range in {
		if v["max_payload"] == nil {
			continue
		}
		n++
		var out bytes.Buffer
		e := NewEncoder(&out, Options{})
		if err := e.Read(context.Background(), strings.NewReader(text[i])); err != nil {
			t.Fatal(err)
		}
		e.Flush()
		got := parseLines(t, out.String(), 1)[0]
		if got["compressed_hex"] != v["compressed_hex"] {
			t.Errorf("%v: %v, want %v", v["id"], got["compressed_hex"], v["compressed_hex"])
		}
		want := v["payloads"].([]any)
		frames, _ := got["frames"].([]any)
		if len(frames) != len(want) {
			t.Fatalf("%v: %d frames, want %d: %v", v["id"], len(frames), len(want), got["error"])
		}
		const header, tagAt = 2 * 9, 2 * 2
		for k, f := range frames {
			p, w := f.(string)[header:], want[k].(string)
			if p[:tagAt] != w[:tagAt] || p[tagAt+4:] != w[tagAt+4:] {
				t.Errorf("%v: fragment %d: %s, want %s", v["id"], k, p, w)
			}
		}
	}
	if n == 0 {
		t.Error("no vector has a size")
	}

	for size, want := range map[string]string{"0": "max_payload: less than a byte", "5": "datagram_too_long"} {
		var out bytes.Buffer
		e := NewEncoder(&out, Options{})
		line := fmt.Sprintf(`{"l2_src":"1234","l2_dst":"5678","max_payload":%s,"ipv6_hex":"%v"}`, size, in[6]["ipv6_hex"])
		if err := e.Read(context.Background(), strings.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		e.Flush()
		if got := parseLines(t, out.String(), 1)[0]; got["error"] != want {
			t.Errorf("%s: %v, want %v", size, got["error"], want)
		}
	}
}
