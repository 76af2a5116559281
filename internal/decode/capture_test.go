package decode

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"border-router/ieee802154"
	"border-router/internal/capture"
	"border-router/ipv6"
	"border-router/zep"
)

func unhexT(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A router solicitation in a broadcast frame, and what is in it.
const (
	rsFrame = "41d809cdabffff0403020100741202" + "7b3b3a028500000000000000"
	rsIPv6  = "6000000000083afffe800000000000000012740001020304ff0200000000000000000000000000028500000000000000"
)

// pcapFile makes a pcap file in an order of bytes and with a resolution.
func pcapFile(order binary.AppendByteOrder, nano bool, link uint32, cut int, packets ...[]byte) []byte {
	magic := uint32(0xa1b2c3d4)
	if nano {
		magic = 0xa1b23c4d
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, link)
	for i, p := range packets {
		b = order.AppendUint32(b, uint32(1000+i))
		b = order.AppendUint32(b, 123456)
		b = order.AppendUint32(b, uint32(len(p)-cut))
		b = order.AppendUint32(b, uint32(len(p)))
		b = append(b, p[:len(p)-cut]...)
	}
	return b
}

func decodeBytes(t testing.TB, opt Options, in []byte) (string, Summary) {
	t.Helper()
	var out bytes.Buffer
	d := NewDecoder(&out, opt)
	if err := d.Read(context.Background(), bytes.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String(), d.Summary()
}

// udpIn wraps a UDP payload for a link type.
func udpIn(link int, v6 bool, port uint16, payload []byte) []byte {
	udp := binary.BigEndian.AppendUint16(nil, 40000)
	udp = binary.BigEndian.AppendUint16(udp, port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	var ip []byte
	etherType := uint16(etherTypeIP4)
	if v6 {
		etherType = etherTypeIP6
		ip = append([]byte{0x60, 0, 0, 0, byte((8 + len(udp)) >> 8), byte(8 + len(udp)), 60, 64}, make([]byte, 32)...)
		ip = append(ip, 17, 0, 1, 4, 0, 0, 0, 0) // destination options
	} else {
		n := 20 + len(udp)
		ip = append([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 0, 0x40, 0, 64, 17, 0, 0}, 127, 0, 0, 1, 127, 0, 0, 1)
	}
	ip = append(ip, udp...)
	var head []byte
	switch link {
	case linkEthernet:
		head = binary.BigEndian.AppendUint16(append(make([]byte, 12), 0x81, 0, 0, 5), etherType)
		ip = append(ip, 0, 0, 0) // padding
	case linkSLL:
		head = binary.BigEndian.AppendUint16(make([]byte, 14), etherType)
	case linkSLL2:
		head = append(binary.BigEndian.AppendUint16(nil, etherType), make([]byte, 18)...)
	case linkNull, linkLoop:
		head = []byte{2, 0, 0, 0}
	}
	return append(head, ip...)
}

func TestLinkTypes(t *testing.T) {
	frame := unhexT(t, rsFrame)
	withFCS := ieee802154.AppendFCS(frame)
	tapHead := func(fcs byte) []byte { return []byte{0, 0, 20, 0, 0, 0, 1, 0, fcs, 0, 0, 0, 3, 0, 3, 0, 26, 0, 0, 0} }
	z, err := zep.Header{Version: 2, Type: zep.TypeData, Channel: 26, Mode: zep.ModeCRC}.AppendBinary(nil, withFCS)
	if err != nil {
		t.Fatal(err)
	}
	ti := append(bytes.Clone(frame), 0xd0, 0x80|105) // CC24xx: RSSI, CRC good and correlation
	zTI, _ := zep.Header{Version: 1, Type: zep.TypeData, Channel: 26, Mode: zep.ModeLQI}.AppendBinary(nil, ti)
	fcs32 := binary.LittleEndian.AppendUint32(bytes.Clone(frame), crcIEEE(frame))
	for _, c := range []struct {
		name   string
		link   uint32
		packet []byte
		cut    int
		drop   string
	}{
		{"no FCS", linkNoFCS, frame, 0, ""},
		{"FCS", linkFCS, withFCS, 0, ""},
		{"length of an FCS in the link type", linkFCS | 0x24000000, withFCS, 0, ""},
		{"FCS wrong", linkFCS, append(bytes.Clone(frame), 1, 2), 0, "fcs"},
		{"FCS cut off", linkFCS, withFCS, 2, ""},
		{"cut", linkFCS, withFCS, 3, "capture_truncated"},
		{"cut", linkNoFCS, frame, 1, "capture_truncated"},
		{"PHY header", linkNonASK, append([]byte{0, 0, 0, 0, 0xa7, byte(len(withFCS))}, withFCS...), 0, ""},
		{"PHY header and what follows the frame", linkNonASK, append(append([]byte{0, 0, 0, 0, 0xa7, byte(len(withFCS))}, withFCS...), 1, 2, 3), 0, ""},
		{"PHY header cut", linkNonASK, append([]byte{0, 0, 0, 0, 0xa7, byte(len(withFCS))}, withFCS...), 1, "capture_truncated"},
		{"PHY header alone", linkNonASK, []byte{0, 0, 0, 0, 0xa7}, 0, "phy_header"},
		{"TAP", linkTAP, append(tapHead(1), withFCS...), 0, ""},
		{"TAP, no FCS", linkTAP, append(tapHead(0), frame...), 0, ""},
		{"TAP, FCS of 32 bits", linkTAP, append(tapHead(2), fcs32...), 0, ""},
		{"TAP, wrong FCS of 32 bits", linkTAP, append(tapHead(2), append(bytes.Clone(frame), 1, 2, 3, 4)...), 0, "fcs"},
		{"TAP, FCS unknown", linkTAP, append(tapHead(3), frame...), 0, "phy_header"},
		{"TAP, version 1", linkTAP, append([]byte{1, 0, 4, 0}, frame...), 0, "phy_header"},
		{"TAP, length", linkTAP, []byte{0, 0, 200, 0}, 0, "phy_header"},
		{"TAP, TLV", linkTAP, []byte{0, 0, 8, 0, 0, 0, 9, 0}, 0, "phy_header"},
		{"Ethernet, IPv4", linkEthernet, udpIn(linkEthernet, false, 17754, z), 0, ""},
		{"Ethernet, IPv6", linkEthernet, udpIn(linkEthernet, true, 17754, z), 0, ""},
		{"raw, IPv4", linkRaw, udpIn(linkRaw, false, 17754, zTI), 0, ""},
		{"raw by its number in BSD", 12, udpIn(linkRaw, true, 17754, z), 0, ""},
		{"raw by its number in OpenBSD", 14, udpIn(linkRaw, false, 17754, z), 0, ""},
		{"IPv4", linkIPv4, udpIn(linkIPv4, false, 17754, z), 0, ""},
		{"IPv6", linkIPv6, udpIn(linkIPv6, true, 17754, z), 0, ""},
		{"null", linkNull, udpIn(linkNull, true, 17754, z), 0, ""},
		{"loopback", linkLoop, udpIn(linkLoop, false, 17754, z), 0, ""},
		{"SLL", linkSLL, udpIn(linkSLL, true, 17754, z), 0, ""},
		{"SLL2", linkSLL2, udpIn(linkSLL2, false, 17754, z), 0, ""},
		{"other port", linkRaw, udpIn(linkRaw, false, 5683, z), 0, "not_802154"},
		{"UDP cut", linkRaw, udpIn(linkRaw, false, 17754, z), 5, "capture_truncated"},
		{"no ZEP", linkRaw, udpIn(linkRaw, false, 17754, []byte("hello")), 0, "zep_preamble"},
		{"ARP", linkEthernet, append(make([]byte, 12), 8, 6, 0, 0), 0, "not_802154"},
		{"link type", 147, frame, 0, "link_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, s := decodeBytes(t, Options{}, pcapFile(binary.LittleEndian, false, c.link, c.cut, c.packet))
			got := parseLines(t, out, 1)[0]
			if c.drop == "" && got["ipv6_hex"] != rsIPv6 || c.drop != "" && got["drop"] != c.drop {
				t.Errorf("%s", out)
			}
			if s.Inputs != 1 || s.Delivered+s.Dropped != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestOtherIPv6: of a packet that is not ZEP the fields are shown all the same.
func TestOtherIPv6(t *testing.T) {
	out, s := decodeBytes(t, Options{}, pcapFile(binary.BigEndian, false, linkRaw, 0, udpIn(linkRaw, true, 5683, []byte("hi"))))
	got := parseLines(t, out, 1)[0]
	fields := got["fields"].(map[string]any)
	if got["ipv6_hex"] != nil || got["drop"] != "not_802154" || fields["udp.dstport"] != "5683" || fields["udp.payload"] != "68:69" {
		t.Errorf("%s", out)
	}
	if s.Dropped != 1 || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
}

func crcIEEE(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x)
		for range 8 {
			c = c>>1 ^ 0xedb88320&-(c&1)
		}
	}
	return ^c
}

// fragments returns the frames of a datagram of n bytes and the datagram.
func fragments(t testing.TB, n int, src string) (frames [][]byte, packet []byte) {
	t.Helper()
	packet = ipv6.AppendHeader(nil, 0, 0, n-ipv6.HeaderLen, ipv6.ProtoNone, 64, ipv6.LinkLocal(ipv6.Short(1)), ipv6.LinkLocal(ipv6.Short(2)))
	for i := range n - ipv6.HeaderLen {
		packet = append(packet, byte(i))
	}
	line, _ := json.Marshal(map[string]any{"l2_src": src, "l2_dst": "0002", "pan": "abcd", "ipv6_hex": hex.EncodeToString(packet)})
	var out bytes.Buffer
	e := NewEncoder(&out, Options{})
	if err := e.Read(context.Background(), bytes.NewReader(line)); err != nil {
		t.Fatal(err)
	}
	e.Flush()
	for _, f := range parseLines(t, out.String(), 1)[0]["frames"].([]any) {
		frames = append(frames, unhexT(t, f.(string)))
	}
	return frames, packet
}

func TestCaptureFormats(t *testing.T) {
	a, pa := fragments(t, 300, "0001")
	b, pb := fragments(t, 250, "0003")
	var mixed [][]byte // fragments of two datagrams, among each other
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			mixed = append(mixed, a[i])
		}
		if i < len(b) {
			mixed = append(mixed, b[i])
		}
	}
	ng := capture.AppendSection(nil, "test")
	ng = capture.AppendInterface(ng, capture.LinkTypeIPv6, "ip", "")
	ng = capture.AppendInterface(ng, capture.LinkTypeTAP, "zep0", "")
	at := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, f := range mixed {
		ng = capture.AppendFrame(ng, capture.Packet{Interface: 1, Time: at}, f, 26, -50, 200)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(ng)
	z.Close()
	var lines strings.Builder
	for _, f := range mixed {
		fmt.Fprintf(&lines, "%X\r\n", f)
	}
	for name, in := range map[string][]byte{
		"little-endian": pcapFile(binary.LittleEndian, false, linkNoFCS, 0, mixed...),
		"big-endian":    pcapFile(binary.BigEndian, false, linkNoFCS, 0, mixed...),
		"nanoseconds":   pcapFile(binary.LittleEndian, true, linkNoFCS, 0, mixed...),
		"big-endian ns": pcapFile(binary.BigEndian, true, linkNoFCS, 0, mixed...),
		"pcapng":        ng,
		"gzip":          zipped.Bytes(),
		"hexadecimal":   []byte(lines.String()),
	} {
		t.Run(name, func(t *testing.T) {
			out, s := decodeBytes(t, Options{}, in)
			delivered := map[any]bool{}
			for i, l := range parseLines(t, out, len(mixed)) {
				if !same(l["id"], i+1) {
					t.Errorf("line %d has id %v", i, l["id"])
				}
				if l["ipv6_hex"] != nil {
					delivered[l["ipv6_hex"]] = true
				} else if l["held"] != true || l["drop"] != nil {
					t.Errorf("%v", l)
				}
			}
			if len(delivered) != 2 || !delivered[hex.EncodeToString(pa)] || !delivered[hex.EncodeToString(pb)] {
				t.Errorf("%d packets: %v", len(delivered), delivered)
			}
			if s.Held != uint64(len(mixed)-2) || s.Delivered != 2 || s.Incomplete != 0 {
				t.Errorf("%+v", s)
			}
		})
	}

	t.Run("write", func(t *testing.T) {
		out, _ := decodeBytes(t, Options{Format: FormatPcapng}, ng)
		r, err := pcapgo.NewNgReader(strings.NewReader(out), pcapgo.NgReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, ci, err := r.ReadPacketData()
		if err != nil || !ci.Timestamp.Equal(at) || !bytes.Equal(got, pb) {
			t.Errorf("%x at %v, %v; want %x", got, ci.Timestamp, err, pb)
		}
	})
	t.Run("incomplete", func(t *testing.T) {
		out, s := decodeBytes(t, Options{}, pcapFile(binary.LittleEndian, false, linkNoFCS, 0, a[1:]...))
		if s.Incomplete != 1 || s.Held != uint64(len(a)-1) || strings.Contains(out, `"drop":"`) {
			t.Errorf("%+v\n%s", s, out)
		}
	})
	t.Run("apart by PAN", func(t *testing.T) {
		other := make([][]byte, len(a))
		for i := range a {
			other[i] = bytes.Clone(a[i])
			other[i][3] ^= 0xff // another PAN
		}
		in := append(append([][]byte{}, a[0], other[0]), a[1:]...)
		_, s := decodeBytes(t, Options{}, pcapFile(binary.LittleEndian, false, linkNoFCS, 0, in...))
		if s.Delivered != 1 || s.Incomplete != 1 {
			t.Errorf("%+v", s)
		}
		_, s = decodeBytes(t, Options{PAN: 0x1234, OnlyPAN: true}, pcapFile(binary.LittleEndian, false, linkNoFCS, 0, in...))
		if s.Dropped != uint64(len(in)) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("ends inside", func(t *testing.T) {
		in := pcapFile(binary.LittleEndian, false, linkNoFCS, 0, mixed...)
		var out bytes.Buffer
		d := NewDecoder(&out, Options{})
		err := d.Read(context.Background(), bytes.NewReader(in[:len(in)-1]))
		d.Flush()
		if err == nil || d.Summary().Inputs != uint64(len(mixed)-1) {
			t.Errorf("%v after %d packets", err, d.Summary().Inputs)
		}
	})
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ name, line, key, want string }{
		{"no JSON", `{"id":1,`, "error", "no JSON: unexpected end of JSON input"},
		{"id kept", `{"id":"x","frame_hex":"zz"}`, "id", "x"},
		{"no hexadecimal", `{"id":1,"frame_hex":"zz"}`, "error", "frame_hex: no hexadecimal"},
		{"odd digits", `{"id":1,"payload_hex":"4"}`, "error", "payload_hex: no hexadecimal"},
		{"wrong type", `{"id":1,"frame_hex":5}`, "error", "frame_hex: number is not what belongs there"},
		{"nothing", `{"id":1}`, "error", "nothing to decode: want frame_hex, frames, payload_hex, compressed_hex, payloads or udp_payload_hex"},
		{"link address", `{"l2_src":"12","payload_hex":"41"}`, "error", `l2_src: "12" is neither 2 nor 8 bytes in hexadecimal`},
		{"context", `{"contexts":[{"cid":16,"prefix":"fd00::"}],"payload_hex":"41"}`, "error", "contexts: 16=fd00:: is none"},
		{"key", `{"key":"00","frame_hex":"41"}`, "error", "key: want 16 bytes in hexadecimal"},
		{"src_ext", `{"src_ext":"0011","frame_hex":"41"}`, "error", "src_ext: want 8 bytes in hexadecimal"},
		{"empty line", ``, "error", "empty line"},
		{"text", `hello`, "error", "neither JSON nor hexadecimal"},
		{"a header that makes no sense", `{"header_hex":"e7ef123400"}`, "drop", "header_only"},
		{"a header cut", `{"header_hex":"e7ef1234"}`, "drop", "truncated"},
		{"empty frame", `{"frame_hex":""}`, "drop", "mac_truncated"},
		{"frame", `{"frame_hex":"` + rsFrame + `"}`, "ipv6_hex", rsIPv6},
		{"frames", `{"frames":["` + rsFrame + `"]}`, "ipv6_hex", rsIPv6},
		{"payload", `{"l2_src":"0212740001020304","l2_dst":"ffff","payload_hex":"7b3b3a028500000000000000"}`, "ipv6_hex", rsIPv6},
		{"upper case", `{"l2_src":"02:12:74:00:01:02:03:04","l2_dst":"FFFF","pan":"0xABCD","payload_hex":"7B3B3A02 8500000000000000"}`, "ipv6_hex", rsIPv6},
		{"FCS", `{"has_fcs":true,"frame_hex":"` + rsFrame + `0000"}`, "drop", "fcs"},
		{"held", `{"l2_src":"0001","l2_dst":"0002","payload_hex":"c15c00054160"}`, "drop", "truncated"},
		{"other PAN", `{"frame_hex":"` + rsFrame + `"}`, "ipv6_hex", rsIPv6},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decodeLines(t, Options{}, []string{c.line, `{"id":"next","frame_hex":"` + rsFrame + `"}`})
			if got[0][c.key] != c.want {
				t.Errorf("%v: want %s %q", got[0], c.key, c.want)
			}
			if got[1]["ipv6_hex"] != rsIPv6 {
				t.Errorf("the next line: %v", got[1])
			}
		})
	}
	t.Run("byte order mark", func(t *testing.T) {
		const mark = "\xef\xbb\xbf"
		for _, first := range []string{`{"id":1,"frame_hex":"` + rsFrame + `"}`, rsFrame} {
			if got := decodeLines(t, Options{}, []string{mark + first, rsFrame, mark + rsFrame}); got[0]["ipv6_hex"] != rsIPv6 || got[1]["ipv6_hex"] != rsIPv6 || got[2]["error"] == nil {
				t.Errorf("%v", got)
			}
		}
		var out bytes.Buffer
		e := NewEncoder(&out, Options{})
		if err := e.Read(context.Background(), strings.NewReader(mark+`{"l2_src":"0001","l2_dst":"0002","ipv6_hex":"`+rsIPv6+`"}`)); err != nil {
			t.Fatal(err)
		}
		e.Flush()
		if got := parseLines(t, out.String(), 1)[0]; got["error"] != nil {
			t.Errorf("encode: %v", got)
		}
	})
	t.Run("long", func(t *testing.T) {
		got := decodeLines(t, Options{}, []string{strings.Repeat("4", 3*maxLine), rsFrame, strings.Repeat("41", maxLine/4), rsFrame})
		if got[0]["error"] != errLong.Error() || got[1]["ipv6_hex"] != rsIPv6 || got[2]["drop"] != "mac_too_long" || got[3]["ipv6_hex"] != rsIPv6 {
			t.Errorf("%v", got)
		}
	})
}

// TestRoundTrip encodes random packets and decodes the frames in another order.
func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var in, packets []string
	for i := range 500 {
		n := rnd.IntN(1400)
		p := ipv6.AppendHeader(nil, uint8(rnd.Uint32()), rnd.Uint32()&0xfffff, n, ipv6.ProtoNone, uint8(rnd.Uint32()), ipv6.LinkLocal(ipv6.Short(1)), ipv6.LinkLocal(ipv6.EUI64(rnd.Uint64())))
		for range n {
			p = append(p, byte(rnd.Uint32()))
		}
		packets = append(packets, hex.EncodeToString(p))
		in = append(in, fmt.Sprintf(`{"id":%d,"l2_src":"%016x","l2_dst":"%04x","ipv6_hex":"%x"}`, i, rnd.Uint64(), rnd.Uint32()&0x7fff, p))
	}
	var out bytes.Buffer
	e := NewEncoder(&out, Options{PAN: 0x23})
	if err := e.Read(context.Background(), strings.NewReader(strings.Join(in, "\n"))); err != nil {
		t.Fatal(err)
	}
	e.Flush()
	var lines []string
	for i, l := range parseLines(t, out.String(), len(in)) {
		frames := l["frames"].([]any)
		rnd.Shuffle(len(frames), func(i, k int) { frames[i], frames[k] = frames[k], frames[i] })
		b, _ := json.Marshal(map[string]any{"id": i, "frames": frames})
		lines = append(lines, string(b))
	}
	for i, l := range decodeLines(t, Options{}, lines) {
		if l["ipv6_hex"] != packets[i] {
			t.Fatalf("%d: %v", i, l)
		}
	}
}

// ngFile makes a pcapng file of one interface.
func ngFile(frames ...[]byte) []byte {
	b := capture.AppendSection(nil, "test")
	b = capture.AppendInterface(b, capture.LinkTypeTAP, "zep0", "")
	for i, f := range frames {
		b = capture.AppendFrame(b, capture.Packet{Time: time.Unix(int64(i), 0)}, f, 26, -50, 200)
	}
	return b
}

// TestLinePANs: nodes of several PANs may have the same short addresses and tags, in a line as
// in a stream.
func TestLinePANs(t *testing.T) {
	const pans = 3 * linePANs
	frames, _ := fragments(t, 300, "0001")
	line := func(frames []string) string {
		b, _ := json.Marshal(map[string]any{"id": 1, "frames": frames})
		return string(b)
	}
	of := func(pan, i int) string {
		f := bytes.Clone(frames[i])
		binary.LittleEndian.PutUint16(f[3:], uint16(pan))
		f[len(f)-1] = byte(pan) // each has another packet
		return hex.EncodeToString(f)
	}
	var mixed []string
	var want []any
	for i := range frames {
		for pan := range pans {
			if pan > 0 || i > 0 { // the first PAN lacks one
				mixed = append(mixed, of(pan, (i+pan)%len(frames))) // each begins with another one
			}
		}
	}
	for pan := 1; pan < pans; pan++ {
		var own []string
		for i := range frames {
			own = append(own, of(pan, i))
		}
		want = append(want, decodeLines(t, Options{}, []string{line(own)})[0]["ipv6_hex"])
	}
	got := decodeLines(t, Options{}, []string{line(mixed), line([]string{of(0, 0)}), line(mixed)})
	for _, i := range []int{0, 2} {
		if list, _ := got[i]["ipv6_list"].([]any); !slices.Equal(list, want) {
			t.Errorf("line %d: %d packets %v\nwant %d, %v", i, len(list), list, len(want), want)
		}
	}
	if got[1]["drop"] != dropIncomplete {
		t.Errorf("a fragment alone: %v", got[1])
	}
}

// TestStreamLimits has more PANs and unfinished datagrams in a stream than are kept: memory
// stays bounded, and what is given up is dropped or counted.
func TestStreamLimits(t *testing.T) {
	frames, _ := fragments(t, 300, "0001")
	d := NewDecoder(&bytes.Buffer{}, Options{})
	const pans, tags = 3 * maxPANs, 40
	for i := range pans * tags {
		f := bytes.Clone(frames[0])
		binary.LittleEndian.PutUint16(f[3:], uint16(i%pans))
		binary.BigEndian.PutUint16(f[9+2:], uint16(i/pans)) // datagram_tag
		d.begin(uint64(i))
		d.frame(f, fcsNone, &moment{time.Unix(0, 0)})
		if err := d.end(); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.stream.byPAN) > maxPANs+1 {
		t.Errorf("%d PANs are kept apart", len(d.stream.byPAN))
	}
	for pan, r := range d.stream.byPAN {
		if n := r.Stats().Pending; n > uint64(streamLimits.ReassembliesPerSource) {
			t.Errorf("PAN %04x has %d unfinished datagrams of one source", pan, n)
		}
	}
	// The PANs that are left share one, in which their fragments are the same.
	if s := d.Summary(); s.Held != (maxPANs+1)*tags || s.Held+s.Dropped != pans*tags {
		t.Errorf("%+v", s)
	}
}
