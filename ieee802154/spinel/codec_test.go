package spinel

import (
	"bytes"
	"encoding/hex"
	"testing"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want Frame
	}{
		{"800102", Frame{Command: CmdReset, Value: []byte{2}}},
		{"80060070", Frame{Command: CmdIs, Property: PropLastStatus, Value: []byte{112}}},
		{"81062001", Frame{TID: 1, Command: CmdIs, Property: PropPHYEnabled, Value: []byte{1}}},
		{"810636cefa", Frame{TID: 1, Command: CmdIs, Property: PropPANID, Value: []byte{0xce, 0xfa}}},
		{"9f028b24", Frame{Interface: 1, TID: 15, Command: CmdGet, Property: PropRadioCaps}},
	} {
		b := unhex(t, c.hex)
		f, err := ParseFrame(b)
		if err != nil || f.Interface != c.want.Interface || f.TID != c.want.TID || f.Command != c.want.Command || f.Property != c.want.Property || !bytes.Equal(f.Value, c.want.Value) {
			t.Errorf("%s: %+v %v", c.hex, f, err)
		}
		if out, _ := c.want.AppendBinary(nil); !bytes.Equal(out, b) {
			t.Errorf("%s: wrote %x", c.hex, out)
		}
	}
	for s, want := range map[string]Drop{"": DropTruncated, "80": DropTruncated, "8006": DropTruncated, "0006": DropHeader, "c00600": DropHeader,
		"8006ffffffffff": DropTruncated, "8006ff": DropTruncated} {
		if _, err := ParseFrame(unhex(t, s)); err != want {
			t.Errorf("%s: %v, want %v", s, err, want)
		}
	}
}

func TestHDLC(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	good := AppendHDLC(nil, unhex(t, "80060070"))
	if hex.EncodeToString(good) != "7e80060070ee747e" {
		t.Errorf("%x", good)
	}
	// Each byte that is escaped, in the frame and in the checksum.
	for frame, line := range map[string]string{"7e7d1113f8": "7e7d5e7d5d7d317d337dd881717e", "80063e14": "7e80063e147d5e7d5d7e", "80060032": "7e800600327dd8157e"} {
		if got := hex.EncodeToString(AppendHDLC(nil, unhex(t, frame))); got != line {
			t.Errorf("%s on the line: %s, want %s", frame, got, line)
		}
	}
	for _, c := range []struct {
		name string
		in   []byte
		want []any // frames and errors in order
	}{
		{"one", good, []any{"80060070"}},
		{"shared flag", append(bytes.Clone(good), good[1:]...), []any{"80060070", "80060070"}},
		{"all bytes", AppendHDLC(nil, all), []any{hex.EncodeToString(all)}},
		{"garbage before", append([]byte("boot\r\n"), good...), []any{DropGarbage, "80060070"}},
		{"checksum", append([]byte{0x7e, 0x80, 6, 0, 0x71, 0xee, 0x74}, good...), []any{DropFCS, "80060070"}},
		{"escape at the end", append([]byte{0x7e, 0x80, 6, 0x7d}, good...), []any{DropGarbage, "80060070"}},
		{"short", append([]byte{0x7e, 1}, good...), []any{DropGarbage, "80060070"}},
		{"endless", append(append([]byte{0x7e}, make([]byte, 9000)...), good...), []any{DropTooLong, "80060070"}},
	} {
		for _, step := range []int{1, 7, len(c.in)} {
			var d Decoder
			var got []any
			for in := c.in; len(in) > 0; {
				part := in[:min(step, len(in))]
				in = in[len(part):]
				for len(part) > 0 {
					f, n, err := d.Next(part)
					part = part[n:]
					if err != nil {
						got = append(got, err)
					} else if f != nil {
						got = append(got, hex.EncodeToString(f))
					}
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%s by %d: %v", c.name, step, got)
				continue
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%s by %d: %v, want %v", c.name, step, got[i], c.want[i])
				}
			}
		}
	}
}

func TestStream(t *testing.T) {
	psdu := unhex(t, "619801cefa0200010068656c6c6f5ef9")
	b := append([]byte{byte(len(psdu)), 0}, psdu...)
	b = append(b, unhex(t, "ec801000"+"0a000f000102030405060708"+"010000"+"0500"+"0000000000")...)
	r, err := ParseReceived(b)
	if err != nil || !bytes.Equal(r.PSDU, psdu[:len(psdu)-2]) || r.RSSI != -20 || r.Noise != -128 || r.Flags != RxAckPending || r.Channel != 15 ||
		r.LQI != 0 || r.Time != 0x0807060504030201 || r.Error != 0 {
		t.Errorf("%+v %v", r, err)
	}
	for n := range b {
		if _, err := ParseReceived(b[:n]); err != nil && err != DropTruncated {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	d, err := ParseTxDone(append([]byte{0, 1, 0}, unhex(t, "0500020001aabb"+"c4800000")...))
	if err != nil || d.Status != StatusOK || !d.Pending || !bytes.Equal(d.Ack, []byte{2, 0, 1}) || d.AckRSSI != -60 {
		t.Errorf("%+v %v", d, err)
	}
	if d, err := ParseTxDone([]byte{17}); err != nil || d.Status != StatusNoAck || d.Ack != nil {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := ParseTxDone(nil); err != DropTruncated {
		t.Error(err)
	}
	o := TxOptions{Channel: 26, MaxBackoffs: 4, MaxRetries: 3, CSMA: true, HeaderUpdated: true, SecurityDone: true, RxChannelAfterTx: 26, Power: PowerDefault}
	if got := hex.EncodeToString(AppendTransmit(nil, []byte{1, 2, 3}, &o)); got != "050001020300001a04030101000100000000000000001a7f" {
		t.Error(got)
	}
}

func TestParseURL(t *testing.T) {
	c, err := ParseURL("spinel:///dev/ttyACM0?baud=460800&flow=rtscts&dtr=on&channel=15&pan=0x1234&eui64=02:00:00:00:00:00:00:01&power=-4&retries=0&short=0x7")
	if err != nil || c.Port.Path != "/dev/ttyACM0" || c.Port.Baud != 460800 || !c.Port.RTSCTS || c.Channel != 15 || c.PAN != 0x1234 || c.EUI64 != 0x0200000000000001 ||
		*c.Power != -4 || c.MaxFrameRetries != -1 || c.Short != 7 {
		t.Errorf("%+v %v", c, err)
	}
	if c, err := ParseURL("spinel+tcp://[::1]:5000"); err != nil || c.Addr != "[::1]:5000" || c.Channel != DefaultChannel {
		t.Errorf("%+v %v", c, err)
	}
	for _, s := range []string{"spinel://", "spinel://dev/ttyACM0", "spinel:/", "spinel+tcp://host", "spinel+tcp://host:1?baud=9600", "zep:///x", "spinel:///x?chan=3",
		"spinel:///x?channel=27", "spinel:///x?baud=fast", "spinel:///x?eui64=1", "spinel:///x?power=99", "spinel:///x?flow=xon", "spinel:///x?pan=1&pan=2", "spinel:///x?lifetime=0s"} {
		if _, err := ParseURL(s); err == nil {
			t.Errorf("%s was taken", s)
		}
	}
}

// Whatever comes before it, a whole frame after a flag is found, and what is written is read.
func FuzzHDLC(f *testing.F) {
	f.Add([]byte("boot\r\n\x7e\x7d"), []byte{0x80, 6, 0, 112})
	f.Add([]byte{0x7e, 0x7d, 0x7d}, []byte{0x7e, 0x7d, 0x11, 0x13, 0xf8})
	f.Fuzz(func(t *testing.T, garbage, frame []byte) {
		if len(frame) == 0 || len(frame) > MaxFrame {
			return
		}
		in := AppendHDLC(bytes.Clone(garbage), frame)
		var d Decoder
		var last []byte
		for len(in) > 0 {
			f, n, _ := d.Next(in)
			if f == nil && n == 0 {
				t.Fatal("stuck")
			}
			if f != nil {
				last = bytes.Clone(f)
			}
			in = in[n:]
		}
		if !bytes.Equal(last, frame) {
			t.Fatalf("read %x for %x", last, frame)
		}
	})
}

// No frame makes the parsers panic, and a frame that parses is written as it was, but for
// packed integers that were longer than need be.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{"800102", "80060070", "8006710500aabbccddee"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseFrame(b)
		if err != nil {
			return
		}
		out, _ := v.AppendBinary(nil)
		again, err := ParseFrame(out)
		if err != nil || len(out) > len(b) || again.Property != v.Property || again.Command != v.Command || !bytes.Equal(again.Value, v.Value) {
			t.Fatalf("%x became %x", b, out)
		}
		if r, err := ParseReceived(v.Value); err == nil && len(r.PSDU) > len(v.Value) {
			t.Fatal("frame longer than the input")
		}
		if d, err := ParseTxDone(v.Value); err == nil && len(d.Ack) > len(v.Value) {
			t.Fatal("acknowledgment longer than the input")
		}
	})
}

// discard is a sink.
type discard struct{ n int }

func (d *discard) received(*Received) { d.n++ }
func (d *discard) debug([]byte)       {}
func (d *discard) drop(Drop)          {}

func TestAllocs(t *testing.T) {
	line := received(t)
	r := &Radio{rx: driver.NewQueue(), mac: ieee802154.NewMAC(ieee802154.MACConfig{Ext: 2, PAN: 0x23})}
	s := &session{sink: r}
	var dec Decoder
	rx := []ieee802154.RxFrame{{Data: make([]byte, 0, 127)}}
	r.ctx = t.Context()
	if n := testing.AllocsPerRun(100, func() {
		for b := line; len(b) > 0; {
			f, k, _ := dec.Next(b)
			b = b[k:]
			if f != nil {
				s.input(f)
			}
		}
		if _, err := r.Receive(rx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a received frame", n)
	}
}

// received is a frame from the dongle as on the line: a broadcast without a sequence number,
// which can be no duplicate.
func received(t testing.TB) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 2, SeqSuppressed: true, DstPAN: 0x23, HasDstPAN: true, Dst: ieee802154.Short(0xffff),
		Src: ieee802154.Extended(1), PANIDCompression: false, HasSrcPAN: true, SrcPAN: 0x23, Payload: make([]byte, 90)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := append([]byte{0x80, 6, 0x71, byte(len(b) + 2), 0}, ieee802154.AppendFCS(b)...)
	return AppendHDLC(nil, append(v, unhex(t, "c48000000a001a800000000000000000")...))
}

func BenchmarkInput(b *testing.B) {
	line := received(b)
	s := &session{sink: &discard{}}
	var dec Decoder
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		for in := line; len(in) > 0; {
			f, k, _ := dec.Next(in)
			in = in[k:]
			if f != nil {
				s.input(f)
			}
		}
	}
}
