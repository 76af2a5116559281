package zep

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
)

type vector struct {
	ID     string `json:"id"`
	Hex    string `json:"udp_payload_hex"`
	MPDU   string `json:"mpdu_hex"`
	Expect string `json:"expect"`
	Note   string `json:"note"`
	Fields struct {
		Version uint8  `json:"version"`
		Type    Type   `json:"type"`
		Channel uint8  `json:"channel_id"`
		Device  uint16 `json:"device_id"`
		Mode    uint8  `json:"lqi_mode"`
		LQI     uint8  `json:"lqi"`
		Seq     uint32 `json:"seqno"`
		Length  uint8  `json:"length"`
		Time    string `json:"time"`
	} `json:"fields"`
}

func vectors(t testing.TB) (out []vector) {
	t.Helper()
	f, err := os.Open("testdata/zep.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var v vector
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func (v vector) bytes(t testing.TB) []byte {
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		b := v.bytes(t)
		h, body, err := Parse(b)
		if err == nil && h.Type == TypeData {
			_, _, _, err = h.Frame(body)
		}
		if v.Expect != "accept" {
			if err == nil {
				t.Errorf("%s (%s) parses", v.ID, v.Note)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		w := v.Fields
		if w.Version == 1 {
			w.Type = TypeData
		}
		if h.Version != w.Version || h.Type != w.Type || h.Channel != w.Channel || h.Device != w.Device || h.Mode != w.Mode ||
			h.Seq != w.Seq || h.Length != w.Length || w.LQI != 0 && h.LQI != w.LQI || hex.EncodeToString(body) != v.MPDU {
			t.Errorf("%s: %+v, % x", v.ID, h, body)
		}
		if w.Time != "" && h.Time != 0 {
			at, err := time.Parse("Jan 2, 2006 15:04:05.000000000 MST", w.Time)
			if err != nil {
				t.Fatal(err)
			}
			if d := int64(NTPTime(at) - h.Time); d < -10 || d > 10 {
				t.Errorf("%s: time %x, want %x", v.ID, NTPTime(at), h.Time)
			}
		}
		out, err := h.AppendBinary(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		if h.Version == 1 {
			b = bytes.Clone(b) // the reserved bytes are not kept
			clear(b[8:15])
		}
		if !bytes.Equal(out, b) {
			t.Errorf("%s: again % x", v.ID, out)
		}
		for n := range len(b) - len(body) {
			if _, _, err := Parse(b[:n]); err == nil {
				t.Errorf("%s: %d bytes parse", v.ID, n)
			}
		}
	}
}

func TestParseDrops(t *testing.T) {
	v2 := func(typ byte, n int, body string) string {
		b := append([]byte{'E', 'X', 2, typ}, make([]byte, 27)...)
		return string(append(b, byte(n))) + body
	}
	for _, c := range []struct {
		name, in string
		want     Drop
	}{
		{"empty", "", DropTruncated},
		{"cut v1", "EX\x01" + strings.Repeat("x", 12), DropTruncated},
		{"cut v2", "EX\x02\x01" + strings.Repeat("x", 27), DropTruncated},
		{"no type", "EX\x02", DropTruncated},
		{"cut ack", "EX\x02\x02\x00", DropTruncated},
		{"long ack", "EX\x02\x02\x00\x00\x00\x00\x00", DropLength},
		{"preamble", "EY\x02\x01", DropPreamble},
		{"version", "EX\x03\x01", DropVersion},
		{"type", v2(3, 5, "abcde"), DropType},
		{"too short", v2(1, 5, "abcd"), DropLength},
		{"trailing bytes", v2(1, 5, "abcdef"), DropLength},
		{"too long", v2(1, 128, strings.Repeat("x", 128)), DropTooLong},
		{"no frame", v2(1, 0, ""), DropEmpty},
		{"only an FCS", v2(1, 2, "ab"), DropEmpty},
		{"odd HELLO", v2(255, 7, "1234567"), DropLength},
	} {
		if _, _, err := Parse([]byte(c.in)); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, c := range []struct {
		h    Header
		n    int
		want Drop
	}{
		{Header{Version: 2, Type: TypeData}, 128, DropTooLong},
		{Header{Version: 2, Type: TypeData}, 2, DropEmpty},
		{Header{Version: 1, Type: TypeData}, 2, DropEmpty},
		{Header{Version: 1, Type: TypeHello}, 8, DropType},
		{Header{Version: 2, Type: TypeAck}, 1, DropLength},
		{Header{Version: 2, Type: TypeHello}, 1, DropLength},
		{Header{Version: 2, Type: 9}, 9, DropType},
		{Header{Version: 9, Type: TypeData}, 9, DropVersion},
	} {
		if b, err := c.h.AppendBinary([]byte{1}, make([]byte, c.n)); err != c.want || len(b) != 1 {
			t.Errorf("%+v: %v, want %v", c.h, err, c.want)
		}
	}
	if _, _, _, err := (Header{Mode: ModeCRC}).Frame([]byte{1, 2, 3, 4}); err != DropFCS {
		t.Error(err)
	}
	if _, _, _, err := (Header{Mode: ModeLQI}).Frame([]byte{1, 2, 3, 0x7f}); err != DropFCS {
		t.Error(err)
	}
	if f, rssi, lqi, err := (Header{Mode: ModeLQI}).Frame([]byte{1, 2, 0xc8, 0x80 | 110}); err != nil || len(f) != 2 || rssi != -56 || lqi != 255 {
		t.Error(f, rssi, lqi, err)
	}
	if _, _, _, err := (Header{Mode: ModeLQI}).Frame(ieee802154.AppendFCS([]byte{1, 2, 3})); err != nil {
		t.Error(err)
	}
	for d := Drop(1); d < numDrops; d++ {
		if d.Error() == "zep_unknown" {
			t.Errorf("drop %d has no text", d)
		}
	}
}

func TestEncodeAllocs(t *testing.T) {
	r := &Radio{}
	q := newOutq(r)
	frame := dataFrame(1, DefaultPAN, nodeA, nodeB, strings.Repeat("x", 90))
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		q.nbuf = 0
		i := q.encode(&Header{Channel: 26, Time: NTPTime(now)}, frame)
		h, body, err := Parse(q.bufs[i][:q.lens[i]])
		if err != nil {
			t.Error(err)
		}
		if _, _, _, err = h.Frame(body); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// The quick header is the codec's.
	h := Header{Version: 2, Type: TypeData, Channel: 20, Device: 0x1234, Mode: ModeCRC, LQI: 9, Time: 0x0102030405060708, Seq: 0x090a0b0c}
	q.nbuf = 0
	i := q.encode(&h, frame)
	want, _ := h.AppendBinary(nil, ieee802154.AppendFCS(bytes.Clone(frame)))
	if !bytes.Equal(q.bufs[i][:q.lens[i]], want) {
		t.Errorf("% x\nwant % x", q.bufs[i][:q.lens[i]], want)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.bytes(f))
	}
	f.Add(appendHello(nil, nodeA, 1))
	f.Add(appendHello(nil, 0, 1))
	// What parses is written as the same bytes (but for reserved ones), and Frame never
	// gives more than it was given.
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := Parse(b)
		if err != nil {
			return
		}
		out, err := h.AppendBinary(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(b)
		if h.Version == 1 {
			clear(want[8:15])
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("% x\nbecame % x", want, out)
		}
		if h.Type == TypeData {
			if frame, _, _, err := h.Frame(body); err == nil && len(frame) != len(body)-2 {
				t.Fatal("frame length")
			}
		}
	})
}

func TestParseURL(t *testing.T) {
	good := map[string]func(Config) bool{
		"zep://": func(c Config) bool {
			return c.Mode == Hub && len(c.Listen) == 2 && c.Listen[0].String() == "127.0.0.1:17754" && c.Listen[1].String() == "[::1]:17754" &&
				c.Channel == 26 && c.PAN == 0x23 && c.Pace
		},
		"zep:":                         func(c Config) bool { return len(c.Listen) == 2 },
		"zep://?pan=0x0000":            func(c Config) bool { return c.PAN == 0 && c.panZero },
		"zep://localhost:1234":         func(c Config) bool { return len(c.Listen) == 2 && c.Listen[1].Port() == 1234 },
		"zep://:1234":                  func(c Config) bool { return len(c.Listen) == 2 && c.Listen[0].Port() == 1234 },
		"zep://[::1]:17755?channel=11": func(c Config) bool { return len(c.Listen) == 1 && c.Channel == 11 },
		"zep://[::1]:17754?mode=hub&channel=26&pan=0x0023&flood=on&pace=off&retries=0&ackwait=7ms&age=5m&peers=9": func(c Config) bool {
			return c.Flood && !c.Pace && c.MaxFrameRetries == -1 && c.AckWait == 7*time.Millisecond && c.PeerAge == 5*time.Minute && c.MaxPeers == 9
		},
		"zep://?mode=client&eui64=02:00:00:ff:fe:00:00:01": func(c Config) bool {
			return c.Mode == Client && len(c.Remote) == 1 && c.Remote[0].String() == "[::1]:17754" && c.EUI64 == 0x020000fffe000001
		},
		"zep://10.0.0.1?mode=client&short=0x17&hello=5s": func(c Config) bool {
			return c.Remote[0].String() == "10.0.0.1:17754" && c.Short == 0x17 && c.Hello == 5*time.Second
		},
		"zep://255.255.255.255?mode=broadcast&listen=0.0.0.0:9": func(c Config) bool {
			return c.Mode == Broadcast && c.Remote[0].String() == "255.255.255.255:17754" && c.Listen[0].Port() == 9
		},
	}
	for s, ok := range good {
		if c, err := ParseURL(s); err != nil || !ok(c) {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
	}
	for s, want := range map[string]string{
		"http://x":                        "want zep://",
		"zep://[::1":                      "in brackets",
		"zep://example.org":               "no IP address",
		"zep://?chanel=26":                `unknown key "chanel"; known are ackwait, age, channel, eui64`,
		"zep://?channel=9":                "want 11 to 26",
		"zep://?channel=11&channel=12":    "2 times",
		"zep://?pan=0xffff":               "0x0023",
		"zep://?mode=router":              "hub, client or broadcast",
		"zep://?eui64=12":                 "16 hexadecimal",
		"zep://?pace=maybe":               "on or off",
		"zep://?ackwait=5":                "5ms",
		"zep://?mode=broadcast":           "needs an address",
		"zep://?listen=127.0.0.1:9":       "leave out listen",
		"zep://[::]?mode=client":          "address and port of its hub",
		"zep://[::1]?mode=client&flood=1": "mode=hub",
		"zep://[::1]/path":                "nothing else",
		"zep://?retries=8":                "0 to 7",
		"zep://?iface=nosuch0":            "interface name",
		"zep://1.2.3.4:99999":             "",
	} {
		if c, err := ParseURL(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", s, c, err, want)
		}
	}
}
