package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"border-router/ieee802154"
)

// FuzzLines: whatever is read, a line comes out for each line in, it is JSON, and has a
// packet, a reason, "held" or "error".
func FuzzLines(f *testing.F) {
	f.Add([]byte(rsFrame + "\n\n"))
	f.Add([]byte("\xef\xbb\xbf"))
	for _, name := range []string{"fields", "mac", "zep"} {
		text, _ := vectors(f, "testdata/"+name+".jsonl")
		for i := 0; i < len(text); i += 5 {
			f.Add([]byte(text[i]))
		}
	}
	f.Add([]byte(`{"id":1,"frame_hex":"` + rsFrame + `0000","has_fcs":true}` + "\n{"))
	f.Add([]byte(`{"l2_src":"0001","l2_dst":"ffff","pan":1,"contexts":[{"cid":0,"prefix":"fd00::/60"}],"payloads":["c15c00054160","41"]}`))
	f.Add([]byte(`{"key":"c0c1c2c3c4c5c6c7c8c9cacbcccdcecf","frame_hex":"69dc842143020000000048deac010000000048deac0405000000d43e022b"}`))
	f.Add([]byte(`{"udp_payload_hex":"455802020000004d"}` + "\r\n" + `{"ipv6_hex":"` + rsIPv6 + `","id":[1,"é"]}`))
	f.Add([]byte(`{"src":"fe80::1","dst":"fe80::2","compressed_hex":"9f"}` + "\n" + `{"header_hex":"e8ad005104d1"}` + "\n" + `{"fcf_hex":"0108"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) >= 4 && isCapture(in) || bytes.HasPrefix(in, []byte{0x1f, 0x8b}) {
			return // a capture, or a file that gzip has packed
		}
		text := bytes.TrimPrefix(in, []byte("\xef\xbb\xbf")) // a byte order mark is no line
		for l := range bytes.SplitSeq(text, []byte("\n")) {
			checkScan(t, l)
		}
		want := bytes.Count(text, []byte("\n"))
		if len(text) > 0 && text[len(text)-1] != '\n' {
			want++
		}
		for _, format := range []Format{FormatJSON, FormatTree, FormatPcapng} {
			var out bytes.Buffer
			d := NewDecoder(&out, Options{Format: format, GHC: true})
			if err := d.Read(context.Background(), bytes.NewReader(in)); err != nil {
				t.Fatal(err)
			}
			d.Flush()
			if s := d.Summary(); s.Inputs != uint64(want) {
				t.Fatalf("%d inputs, want %d", s.Inputs, want)
			}
			if format != FormatJSON {
				continue
			}
			for _, l := range parseLines(t, out.String(), want) {
				said := l["ipv6_hex"] != nil || l["ipv6_list"] != nil || l["drop"] != nil || l["held"] != nil || l["error"] != nil
				if _, ok := l["id"]; !ok || !said {
					t.Fatalf("%v says nothing", l)
				}
			}
		}
	})
}

// checkScan compares what the scanner makes of a line with what encoding/json does, and
// reports whether the scanner took it.
func checkScan(t testing.TB, b []byte) bool {
	t.Helper()
	var mine, theirs line
	mine.reset()
	if !mine.scan(b) {
		return false
	}
	if err := json.Unmarshal(b, &theirs); err != nil {
		t.Fatalf("%s: accepted, but %v", b, err)
	}
	show := func(l *line) string { return fmt.Sprintf("%s %+v", l.ID, *l) }
	theirs.ID = append(json.RawMessage{}, theirs.ID...)
	for _, l := range []*line{&mine, &theirs} { // empty or nil is the same
		if len(l.Frames) == 0 {
			l.Frames = nil
		}
		if len(l.Payloads) == 0 {
			l.Payloads = nil
		}
		if len(l.Contexts) == 0 {
			l.Contexts = nil
		}
	}
	if a, b := show(&mine), show(&theirs); a != b {
		t.Fatalf("scanned  %s\nunmarshalled %s", a, b)
	}
	return true
}

func isCapture(b []byte) bool {
	if b[0] == 0x1f && b[1] == 0x8b {
		return true
	}
	switch binary.BigEndian.Uint32(b) {
	case 0x0a0d0d0a, 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
		return true
	}
	return false
}

// FuzzCapture: no file makes the reader panic, and the results of what it holds are whole.
func FuzzCapture(f *testing.F) {
	frame, _ := hex.DecodeString(rsFrame)
	f.Add(pcapFile(binary.LittleEndian, false, linkNoFCS, 0, frame, frame))
	f.Add(pcapFile(binary.BigEndian, true, linkFCS, 0, ieee802154.AppendFCS(frame)))
	f.Add(pcapFile(binary.LittleEndian, false, linkTAP, 0, append([]byte{0, 0, 4, 0}, frame...)))
	f.Add(pcapFile(binary.LittleEndian, false, linkEthernet, 0, udpIn(linkEthernet, true, 17754, frame)))
	f.Add(ngFile(frame))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, format := range []Format{FormatJSON, FormatTree} {
			var out bytes.Buffer
			d := NewDecoder(&out, Options{Format: format})
			err := d.Read(context.Background(), bytes.NewReader(in))
			d.Flush()
			if format == FormatJSON {
				parseLines(t, out.String(), int(d.Summary().Inputs))
			}
			_ = err // says where it ended
		}
	})
}

// FuzzEncode: a packet that can be encoded comes back from its frames.
func FuzzEncode(f *testing.F) {
	p, _ := hex.DecodeString(rsIPv6)
	f.Add(p, uint64(0x0212740001020304), uint16(0xffff), false)
	f.Add(append(bytes.Clone(p), make([]byte, 500)...), uint64(1), uint16(2), true)
	for _, s := range routedPackets {
		p, _ := hex.DecodeString(s)
		f.Add(p, uint64(1), uint16(2), false)
	}
	f.Fuzz(func(t *testing.T, p []byte, src uint64, dst uint16, ghc bool) {
		if len(p) >= 40 { // so that most are packets
			p[0] = p[0]&15 | 0x60
			binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		}
		contexts := []any{map[string]any{"cid": 3, "prefix": "fe80::", "len": 10}}
		routing, root := src&1 != 0, "2001:db8::1"
		line, _ := json.Marshal(map[string]any{"ipv6_hex": hex.EncodeToString(p), "l2_src": digits(src, 16), "l2_dst": digits(uint64(dst), 4),
			"ghc": ghc, "6lorh": routing, "root": root, "contexts": contexts})
		var out bytes.Buffer
		e := NewEncoder(&out, Options{ChecksumElision: true})
		if err := e.Read(context.Background(), bytes.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		e.Flush()
		l := parseLines(t, out.String(), 1)[0]
		if l["error"] != nil {
			if len(p) >= 40 && len(p) <= 2047 {
				t.Fatalf("%x: %v", p, l["error"])
			}
			return
		}
		back, _ := json.Marshal(map[string]any{"frames": l["frames"], "ghc": ghc, "root": root, "contexts": contexts})
		if got := decodeLines(t, Options{}, []string{string(back)})[0]; got["ipv6_hex"] != hex.EncodeToString(p) {
			t.Fatalf("%x\n%v", p, got)
		}
	})
}

func digits(v uint64, n int) string { return strings.Trim(string(appendDigits(nil, v, n)), `"`) }
