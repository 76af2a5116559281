package mld

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"border-router/ipv6"
)

type vector struct {
	ID     string         `json:"id"`
	Hex    string         `json:"ipv6_hex"`
	Sum    bool           `json:"checksum_ok"`
	Fields map[string]any `json:"fields"`
}

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	f, err := os.Open("testdata/mld.jsonl")
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
	if len(b) < overhead {
		t.Fatalf("%s: short", v.ID)
	}
	b[4], b[5] = 0, uint8(len(b)-ipv6.HeaderLen) // some sources state more than they have
	p, err := ipv6.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestVectors decodes every vector, compares it with what Wireshark reads, and encodes it
// again to the same bytes.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			p := v.packet(t)
			b, err := Check(p)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			var msg []byte
			switch b[0] {
			case ipv6.ICMPMLDQuery:
				q, err := ParseQuery(b)
				if err != nil {
					t.Fatal(err)
				}
				ms := fmt.Sprint(q.MaxResponse.Milliseconds())
				got["icmpv6.mld.maximum_response_delay"], got["icmpv6.mld.maximum_response_code"] = ms, ms
				got["icmpv6.mld.multicast_address"] = q.Group.String()
				got["icmpv6.mld.flag.s"] = map[bool]string{false: "0", true: "1"}[q.Suppress]
				got["icmpv6.mld.flag.qrv"] = fmt.Sprint(q.QRV)
				got["icmpv6.mld.qqi"] = fmt.Sprint(int(q.QQI / time.Second))
				got["icmpv6.mld.nb_sources"] = fmt.Sprint(q.Sources.Len())
				if msg, err = q.AppendBinary(nil); err != nil {
					t.Fatal(err)
				}
			case ipv6.ICMPMLDv2Report:
				recs, err := ParseReport(b)
				if err != nil {
					t.Fatal(err)
				}
				got["icmpv6.mldr.nb_mcast_records"] = fmt.Sprint(recs.Len())
				r, _, _ := recs.Next()
				got["icmpv6.mldr.mar.record_type"] = fmt.Sprint(uint8(r.Type))
				got["icmpv6.mldr.mar.nb_sources"] = fmt.Sprint(r.Sources.Len())
				got["icmpv6.mldr.mar.multicast_address"] = r.Group.String()
				if r.Sources.Len() > 0 {
					got["icmpv6.mldr.mar.source_address"] = r.Sources.At(0).String()
				}
				if msg, err = AppendReport(nil, r); err != nil {
					t.Fatal(err)
				}
			default:
				m, err := ParseV1(b)
				if err != nil {
					t.Fatal(err)
				}
				got["icmpv6.mld.multicast_address"] = m.Group.String()
				if msg, err = m.AppendBinary(nil); err != nil {
					t.Fatal(err)
				}
				msg[4], msg[5] = b[4], b[5] // Maximum Response Delay, ignored in a report
			}
			n := 0
			for k, want := range v.Fields {
				if have, ok := got[k]; ok {
					n++
					if have != fmt.Sprint(want) {
						t.Errorf("%s = %s, want %v", k, have, want)
					}
				}
			}
			if n == 0 {
				t.Error("nothing was compared")
			}
			again := AppendPacket(nil, msg, p.Src(), p.Dst())
			if !v.Sum {
				again[overhead+2], again[overhead+3] = p[overhead+2], p[overhead+3]
			}
			if string(again) != string(p) {
				t.Errorf("got  %x\nwant %x", []byte(again), []byte(p))
			}
		})
	}
}

func TestCodes(t *testing.T) {
	for code := range 0x10000 {
		if got := ResponseCode(ResponseDelay(uint16(code))); got != uint16(code) {
			t.Fatalf("response code %#x: %#x", code, got)
		}
	}
	for code := range 0x100 {
		if got := IntervalCode(QueryInterval(uint8(code))); got != uint8(code) {
			t.Fatalf("interval code %#x: %#x", code, got)
		}
	}
	// "the next lower value if the requested value is not exactly representable" (section 9.8)
	for ms := time.Duration(0); ms < 9_000_000; ms += 977 {
		d := ms * time.Millisecond
		c := ResponseCode(d)
		if ResponseDelay(c) > d || d <= MaxResponse && c < 0xffff && ResponseDelay(c+1) <= d {
			t.Fatalf("%v: code %#x is %v", d, c, ResponseDelay(c))
		}
	}
	for s := time.Duration(0); s < 40_000; s += 7 {
		d := s * time.Second
		c := IntervalCode(d)
		if QueryInterval(c) > d || d <= MaxQueryInterval && c < 0xff && QueryInterval(c+1) <= d {
			t.Fatalf("%v: code %#x is %v", d, c, QueryInterval(c))
		}
	}
	if ResponseCode(-1) != 0 || IntervalCode(-1) != 0 || ResponseCode(time.Hour*9999) != 0xffff || IntervalCode(time.Hour*9999) != 0xff {
		t.Error("values beyond the ends")
	}
}
