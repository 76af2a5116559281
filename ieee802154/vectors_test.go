package ieee802154

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

type vector struct {
	ID       string          `json:"id"`
	FrameHex string          `json:"frame_hex"`
	HasFCS   bool            `json:"has_fcs"`
	FCSOK    *bool           `json:"fcs_ok"`
	Note     string          `json:"note"`
	Fields   map[string]any  `json:"fields"`
	Source   map[string]any  `json:"source_fields"`
	Expect   json.RawMessage `json:"expect"`
	Outcome  string          `json:"expect_outcome"`
	Kind     string          `json:"kind"`
	FCF      string          `json:"fcf_hex"`
	HeadLen  int             `json:"expect_header_len"`
	Disagree map[string]any  `json:"tshark_disagrees"`
	Key      string          `json:"key"`
	SrcExt   string          `json:"src_ext"`
	Security *struct {
		ALen  int    `json:"a_len"`
		MIC   string `json:"mic"`
		Plain string `json:"private_plain"`
		Nonce string `json:"nonce"`
	} `json:"security"`
	frame []byte // without FCS
}

func readVectors(t testing.TB, name string) (out []vector) {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var v vector
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.frame, err = hex.DecodeString(v.FrameHex); err != nil {
			t.Fatal(err)
		}
		if v.HasFCS {
			v.frame = v.frame[:len(v.frame)-FCSLen]
		}
		out = append(out, v)
	}
	return out
}

// fields names what Parse found as the vectors do.
func fields(t *testing.T, f *Frame) map[string]any {
	mode := map[AddrMode]any{AddrNone: "none", AddrShort: "short", AddrExtended: "ext"}
	typ := map[FrameType]any{TypeBeacon: "beacon", TypeData: "data", TypeAck: "ack", TypeCommand: "cmd"}
	addr := func(a Addr) any {
		if a.Mode == AddrNone {
			return nil
		}
		return a.String()
	}
	pan := func(has bool, v uint16) any {
		if !has {
			return nil
		}
		return fmt.Sprintf("%04x", v)
	}
	m := map[string]any{
		"type": typ[f.Type], "version": float64(f.Version), "seq": float64(f.Seq), "dst_mode": mode[f.Dst.Mode], "src_mode": mode[f.Src.Mode],
		"security": f.Security, "ack_request": f.AckRequest, "ie_present": f.IEPresent, "pan_id_compression": f.PANIDCompression,
		"dst_pan": pan(f.HasDstPAN, f.DstPAN), "src_pan": pan(f.HasSrcPAN, f.SrcPAN), "dst": addr(f.Dst), "src": addr(f.Src),
		"payload_hex": hex.EncodeToString(f.Payload), "payload_len": float64(len(f.Payload)),
		"mhr_len": float64(f.HeaderLen), "footer_len": float64(len(f.MIC) + FCSLen),
		"sec_level": float64(f.Sec.Level), "key_id_mode": float64(f.Sec.KeyIDMode), "frame_counter": float64(f.Sec.FrameCounter),
		"key_index": float64(f.Sec.KeyIndex), "mic": hex.EncodeToString(f.MIC),
	}
	if f.SeqSuppressed {
		m["seq"] = nil
	}
	if f.Sec.KeyIDMode == 0 {
		m["key_index"] = nil
	}
	if len(f.Payload) > 0 && f.Type == TypeCommand {
		m["cmd_id"] = float64(f.Payload[0])
	}
	ies := []any{}
	for b := f.HeaderIEs; len(b) > 0; {
		var e IE
		var err error
		if e, b, err = NextHeaderIE(b); err != nil {
			t.Fatal(err)
		}
		ies = append(ies, float64(e.ID))
	}
	m["header_ies"] = ies
	if f.Type == TypeBeacon && f.Version < Version2015 && len(f.Payload) >= 4 {
		var b Beacon
		if err := b.Parse(f.Payload); err != nil {
			t.Fatal(err)
		}
		var short, ext []any
		for i := 0; ; i++ {
			a, ok := b.PendingAddr(i)
			if !ok {
				break
			}
			if a.Mode == AddrShort {
				short = append(short, a.String())
			} else {
				ext = append(ext, a.String())
			}
		}
		m["pending_short"], m["pending_ext"] = short, ext
		again, err := b.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, f.Payload) {
			t.Errorf("beacon again: % x, %v", again, err)
		}
	}
	return m
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t, "mac.jsonl") {
		t.Run(v.ID, func(t *testing.T) {
			var f Frame
			switch v.Kind {
			case "header-length": // a frame control field and the length it announces; 0: invalid
				fcf, _ := hex.DecodeString(v.FCF)
				err := f.Parse(append(fcf, make([]byte, 30)...))
				if (err == nil) != (v.HeadLen != 0) || err == nil && f.HeaderLen != v.HeadLen {
					t.Errorf("%d bytes, %v; want %d", f.HeaderLen, err, v.HeadLen)
				}
				return
			case "iid", "rssi": // not of this layer
				return
			}
			err := f.Parse(v.frame)
			if v.Outcome == "ignore" {
				if err == nil {
					t.Error("parses")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := fields(t, &f)
			check := func(from string, want map[string]any) {
				for k, w := range want {
					if _, ok := v.Disagree[k]; ok && from == "fields" || k == "fcs" {
						continue
					}
					// The frame of ot-data-2015 has no room for an element: what the
					// dissector shows as one is the MIC.
					if v.ID == "ot-data-2015" && k == "header_ies" {
						continue
					}
					if fmt.Sprint(got[k]) != fmt.Sprint(w) {
						t.Errorf("%s: %s is %v, want %v", from, k, got[k], w)
					}
				}
			}
			check("fields", v.Fields)
			check("source", v.Source)
			var expect map[string]any
			if json.Unmarshal(v.Expect, &expect) == nil {
				check("expect", expect)
			}
			if s := v.Security; s != nil {
				aLen := f.HeaderLen
				if f.Type == TypeCommand {
					aLen++ // the command identifier is open
				}
				if !f.Encrypted() {
					aLen += len(f.Payload)
				}
				if aLen != s.ALen || hex.EncodeToString(f.MIC) != s.MIC {
					t.Errorf("a is %d bytes, want %d; MIC %x, want %s", aLen, s.ALen, f.MIC, s.MIC)
				}
			}
			again, err := f.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			// Bits 8 and 9 of the frame control are reserved before 2015, and not kept.
			want := bytes.Clone(v.frame)
			if f.Version < Version2015 {
				want[1] &^= 3
			}
			if !bytes.Equal(again, want) {
				t.Errorf("again % x\nwant  % x", again, want)
			}
			raw, _ := hex.DecodeString(v.FrameHex)
			if v.FCSOK != nil && CheckFCS(raw) != *v.FCSOK {
				t.Errorf("FCS right: %v", !*v.FCSOK)
			}
			for n := range f.HeaderLen {
				if f.Parse(v.frame[:n]) == nil && !f.IEPresent && !f.Security {
					t.Errorf("a header of %d bytes parses from %d", f.HeaderLen, n)
				}
			}
		})
	}
}

func TestMalformedVectors(t *testing.T) {
	for _, v := range readVectors(t, "malformed.jsonl") {
		var f Frame
		err := f.Parse(v.frame)
		switch string(v.Expect) {
		case `"reject"`:
			if err == nil {
				t.Errorf("%s (%s) parses: %+v", v.ID, v.Note, f)
			}
		case `"accept"`:
			if err != nil {
				t.Errorf("%s (%s): %v", v.ID, v.Note, err)
			}
		}
	}
}
