package slipradio

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
	for _, row := range []struct{ name, frame, wire string }{
		{"plain", "3f4d", "c03f4dc0"},
		{"END and ESC", "c0dbdcdd", "c0dbdcdbdddcddc0"},
		{"ESC ESC", "dbdb", "c0dbdddbddc0"},
	} {
		frame, wire := unhex(t, row.frame), unhex(t, row.wire)
		if got := AppendFrame(nil, frame); !bytes.Equal(got, wire) {
			t.Errorf("%s: %x, want %x", row.name, got, wire)
		}
		var d Decoder
		got, rest, err := d.Next(wire)
		if !bytes.Equal(got, frame) || len(rest) != 0 || err != nil {
			t.Errorf("%s: decoded to %x, rest %x, %v", row.name, got, rest, err)
		}
	}
	if got, want := appendSend(nil, 15, []byte{0x41, slipEnd}), unhex(t, "c021530f0041dbdcc0"); !bytes.Equal(got, want) {
		t.Errorf("!S: %x, want %x", got, want)
	}
	if got, want := appendSet(nil, paramPAN, 0xabcd, false), unhex(t, "c021560002abcdc0"); !bytes.Equal(got, want) {
		t.Errorf("!V: %x, want %x", got, want)
	}
	if got, want := appendSet(nil, paramPAN, 0xabcd, true), unhex(t, "c02150cdabc0"); !bytes.Equal(got, want) {
		t.Errorf("!P: %x, want %x", got, want)
	}
	if got, want := appendSet(nil, paramChannel, 26, true), unhex(t, "c021431ac0"); !bytes.Equal(got, want) {
		t.Errorf("!C: %x, want %x", got, want)
	}
}

// decodeAll returns what a decoder makes of a stream given in pieces of n bytes.
func decodeAll(stream []byte, n int) (frames [][]byte, drops []error) {
	var d Decoder
	for len(stream) > 0 {
		k := min(n, len(stream))
		for b := stream[:k]; len(b) > 0; {
			frame, rest, err := d.Next(b)
			if err != nil {
				drops = append(drops, err)
			} else if frame != nil {
				frames = append(frames, bytes.Clone(frame))
			}
			b = rest
		}
		stream = stream[k:]
	}
	return frames, drops
}

func TestDecoder(t *testing.T) {
	long := bytes.Repeat([]byte{1}, MaxFrame+1)
	stream := bytes.Join([][]byte{
		{1, 2, slipEnd},                   // the tail of a frame
		{slipEnd, slipEnd},                // empty
		{3, slipEsc, 7, 4, slipEnd},       // wrong escape
		{5, slipEsc, slipEnd},             // escape at the end
		AppendFrame(nil, []byte{6}),       // fine
		append(long, slipEnd),             // too long
		AppendFrame(nil, long[:MaxFrame]), // just fits
		{8},                               // not ended
	}, nil)
	for _, n := range []int{1, 2, 3, 7, len(stream)} {
		frames, drops := decodeAll(stream, n)
		if len(frames) != 3 || !bytes.Equal(frames[0], []byte{1, 2}) || !bytes.Equal(frames[1], []byte{6}) || len(frames[2]) != MaxFrame {
			t.Errorf("pieces of %d: frames %x", n, frames)
		}
		if len(drops) != 3 || drops[0] != DropEscape || drops[1] != DropEscape || drops[2] != DropOversize {
			t.Errorf("pieces of %d: drops %v", n, drops)
		}
	}
	var d Decoder
	d.Next([]byte{1, 2})
	d.Reset()
	if f, _, _ := d.Next([]byte{3, slipEnd}); !bytes.Equal(f, []byte{3}) {
		t.Errorf("after Reset: %x", f)
	}
}

func TestParseAnswer(t *testing.T) {
	for _, row := range []struct {
		name, frame string
		sixLBR      bool
		want        answer
		err         error
	}{
		{"!M", "214d00124b0001020304", false, answer{kind: kindEUI64, eui: 0x00124b0001020304}, nil},
		{"!M short", "214d00124b", false, answer{}, DropCommand},
		{"!R", "21520a0203", false, answer{kind: kindReport, sid: 10, status: statusNoAck, ntx: 3}, nil},
		{"!R short", "21520a02", false, answer{}, DropCommand},
		{"!V", "21560001001a", false, answer{kind: kindParam, param: 1, value: 26}, nil},
		{"!V short", "215600010f", false, answer{}, DropCommand},
		{"!C", "21431a", true, answer{kind: kindParam, param: 1, value: 26}, nil},
		{"!C of another dialect", "21431a", false, answer{}, DropCommand},
		{"!P", "2150cdab", true, answer{kind: kindParam, param: 2, value: 0xabcd}, nil},
		{"! alone", "21", false, answer{}, DropCommand},
		{"text with !", hex.EncodeToString([]byte("!!! reboot")), false, answer{kind: kindText}, nil},
		{"? from a radio", "3f01", false, answer{}, DropCommand},
		{"text with ?", hex.EncodeToString([]byte("??")), false, answer{kind: kindText}, nil},
		{"EUnknown command", hex.EncodeToString([]byte("EUnknown command\n")), false, answer{kind: kindText}, nil},
		{"debug line", "0d0102ff", false, answer{kind: kindText}, nil},
		{"data frame, extended", "61dc01cdab02000000004b120001000000004b1200aa", false, answer{kind: kindMAC}, nil},
		{"data frame, PAN identifiers not compressed", "218801cdab0200cdab0100aa", false, answer{kind: kindMAC}, nil},
		{"too long", hex.EncodeToString(append([]byte{0x41}, make([]byte, maxMAC)...)), false, answer{}, DropMACLength},
	} {
		got, err := parseAnswer(unhex(t, row.frame), row.sixLBR)
		if err != row.err || err == nil && got != row.want {
			t.Errorf("%s: %+v %v, want %+v %v", row.name, got, err, row.want, row.err)
		}
	}
}

func withCRC(b []byte) []byte { return ieee802154.AppendFCS(b) }

func TestMessage(t *testing.T) {
	// An RX_FRAME event as the firmware writes it: {"t":52,"f":h'4188','r':-60,"l":200}.
	b := withCRC(unhex(t, "a461741834616642418861"+"72383b616c18c8"))
	m, err := parseMessage(b)
	if err != nil || m.typ != evtRxFrame || !bytes.Equal(m.frame, []byte{0x41, 0x88}) || m.rssi != -60 || m.lqi != 200 {
		t.Errorf("RX_FRAME: %+v %v", m, err)
	}
	// Keys that are not known, nested and of indefinite length.
	b = withCRC(unhex(t, "bf"+"617418ff"+"6178"+"05"+"6152"+"8301"+"20"+"a1616100"+"627a7a"+"9f01ff"+"617a"+"fb0000000000000000"+"6179c100"+"ff"))
	if m, err = parseMessage(b); err != nil || m.typ != evtError || m.code != 5 {
		t.Errorf("ERROR: %+v %v", m, err)
	}
	var w writer
	for _, n := range []int64{0, 23, 24, 255, 256, 65535, 65536, 1 << 31, -1, -24, -25, -256, -1 << 31} {
		w.begin(evtParam)
		w.int('i', 7)
		w.int('p', 0x109)
		w.int('v', n)
		var d Decoder
		frame, _, err := d.Next(w.appendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if m, err = parseMessage(frame); err != nil || m.value != n || m.id != 7 || m.param != 0x109 || !m.hasValue {
			t.Errorf("value %d: %+v %v", n, m, err)
		}
	}
	for name, row := range map[string]struct {
		frame []byte
		want  error
	}{
		"empty":            {nil, DropCRC},
		"CRC":              {[]byte{0xa0, 1, 2}, DropCRC},
		"no map":           {withCRC([]byte{0x01}), DropCBOR},
		"no type":          {withCRC([]byte{0xa0}), DropCBOR},
		"cut":              {withCRC(unhex(t, "a26174183461")), DropCBOR},
		"key of a number":  {withCRC(unhex(t, "a10105")), DropCBOR},
		"reserved length":  {withCRC(unhex(t, "a161741c")), DropCBOR},
		"string too long":  {withCRC(unhex(t, "a261740061664441")), DropCBOR},
		"type too large":   {withCRC(unhex(t, "a16174190100")), DropCBOR},
		"array too long":   {withCRC(unhex(t, "a2617400617a9affffffff00")), DropCBOR},
		"nested too deep":  {withCRC(append(unhex(t, "a2617400617a"), bytes.Repeat([]byte{0x81}, 20)...)), DropCBOR},
		"number too large": {withCRC(unhex(t, "a2617400"+"6176"+"1bffffffffffffffff")), DropCBOR},
		"no end":           {withCRC(unhex(t, "bf617400")), DropCBOR},
		"too many":         {withCRC(append([]byte{0xbf}, bytes.Repeat(unhex(t, "617400"), 40)...)), DropCBOR},
	} {
		if _, err := parseMessage(row.frame); err != row.want {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

// FuzzDecoder: whatever comes, the next frame between two ENDs is decoded, no frame is longer
// than MaxFrame, and how the stream is cut into pieces makes no difference.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{slipEsc}, []byte{0x41, slipEnd, slipEsc})
	f.Add(bytes.Repeat([]byte{7}, 600), []byte{1})
	f.Fuzz(func(t *testing.T, noise, frame []byte) {
		if len(frame) == 0 || len(frame) > MaxFrame {
			return
		}
		stream := AppendFrame(bytes.Clone(noise), frame)
		frames, drops := decodeAll(stream, len(stream))
		if len(frames) == 0 || !bytes.Equal(frames[len(frames)-1], frame) {
			t.Fatalf("not in step again: %x", frames)
		}
		again, dropsAgain := decodeAll(stream, 1)
		if len(again) != len(frames) || len(drops) != len(dropsAgain) {
			t.Fatalf("%d and %d frames", len(frames), len(again))
		}
		for i := range frames {
			if !bytes.Equal(frames[i], again[i]) || len(frames[i]) > MaxFrame {
				t.Fatalf("frame %d", i)
			}
		}
	})
}

// FuzzParse: no frame makes a parser fail otherwise than with a Drop, or return more than it
// was given.
func FuzzParse(f *testing.F) {
	f.Add([]byte("!R\x01\x02\x03"))
	f.Add(unhex(f, "a461741834616642418861"+"72383b616c18c8"))
	f.Add(unhex(f, "bf617400ff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		for _, six := range []bool{false, true} {
			if a, err := parseAnswer(b, six); (err == nil) != (a.kind != 0) && err == nil {
				t.Fatalf("%+v", a)
			} else if _, ok := err.(Drop); err != nil && !ok {
				t.Fatal(err)
			}
		}
		m, err := parseMessage(withCRC(bytes.Clone(b)))
		if _, ok := err.(Drop); err != nil && !ok {
			t.Fatal(err)
		}
		if len(m.frame)+len(m.version) > len(b) {
			t.Fatal("longer than the input")
		}
	})
}

// inputRadio is a radio whose session is fed by hand.
func inputRadio(d Dialect) (*Radio, *session) {
	r := &Radio{rx: driver.NewQueue(), txWake: make(chan struct{}, 1)}
	r.mac = ieee802154.NewMAC(ieee802154.MACConfig{Ext: 1, PAN: 0xabcd})
	return r, &session{r: r, dialect: d, events: make(chan event, 16)}
}

// streams are a received frame of 125 bytes as each dialect sends it.
func stream(d Dialect, seq uint8) []byte {
	mac := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, Seq: seq, PANIDCompression: true, AckRequest: true,
		DstPAN: 0xabcd, HasDstPAN: true, Dst: ieee802154.Extended(1), Src: ieee802154.Extended(2), Payload: make([]byte, 104)}
	b, _ := mac.AppendBinary(nil)
	if d != SerialRadio {
		return AppendFrame(nil, b)
	}
	var w writer
	w.begin(evtRxFrame)
	w.bytes('f', b)
	w.int('r', -60)
	w.int('l', 200)
	return w.appendTo(nil)
}

func TestInputAllocs(t *testing.T) {
	for _, d := range []Dialect{Slip, SerialRadio} {
		r, s := inputRadio(d)
		var dec Decoder
		var all [][]byte
		for seq := range 256 {
			all = append(all, stream(d, uint8(seq)))
		}
		bad := append(bytes.Clone(all[0][:20]), slipEsc, 0, slipEnd)
		i := 0
		if n := testing.AllocsPerRun(200, func() {
			s.input(&dec, all[i%256])
			s.input(&dec, bad)
			i++
			r.rx.Reset()
		}); n != 0 {
			t.Errorf("%v: %v allocations a frame", d, n)
		}
		if r.stats.Delivered < 200 {
			t.Errorf("%v: %+v", d, r.stats)
		}
		for range driver.QueueLen + 1 {
			s.input(&dec, all[i%256])
			i++
		}
		if r.drops[DropQueueFull] != 1 {
			t.Errorf("%v: %d frames dropped for want of room", d, r.drops[DropQueueFull])
		}
	}
}

func BenchmarkInput(b *testing.B) {
	for _, d := range []Dialect{Slip, SerialRadio} {
		b.Run(d.String(), func(b *testing.B) {
			r, s := inputRadio(d)
			var dec Decoder
			var all [][]byte
			for seq := range 256 {
				all = append(all, stream(d, uint8(seq)))
			}
			b.SetBytes(int64(len(all[0])))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.input(&dec, all[i%256])
				r.rx.Reset()
			}
		})
	}
}
