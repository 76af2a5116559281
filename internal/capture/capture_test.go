package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"border-router/ieee802154"
	"border-router/ipv6"
)

var (
	_ ieee802154.TapFunc = NewBus(0).Frames("zep0")

	ackFrame    = []byte{0x02, 0x00, 0x2a}
	echoRequest = ipv6.AppendICMP(nil, ipv6.ICMPEchoRequest, 0, 0x1234_0001, []byte("abcdefgh"),
		ipv6.LinkLocal(ipv6.EUI64(0x0200_5e00_0000_0002)), ipv6.LinkLocal(ipv6.EUI64(0x0200_5e00_0000_0001)), 64)
	// The same as a data frame with IPHC (RFC 6282), both addresses elided.
	dataFrame = append(mustHex("61dc2a2300"+"01000000005e0002"+"02000000005e0002"+"7a333a"), echoRequest[ipv6.HeaderLen:]...)
)

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// A sink collects what is written and looks at each Write by itself.
type sink struct {
	t    testing.TB
	file bytes.Buffer
	gate chan struct{} // where not nil, each Write waits for it
	err  error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	if s.err != nil {
		return 0, s.err
	}
	for rest := b; len(rest) > 0; {
		if len(rest) < 12 {
			s.t.Errorf("a Write ends inside a block")
			break
		}
		n := binary.LittleEndian.Uint32(rest[4:])
		if int(n) > len(rest) || n%4 != 0 || n < 12 || binary.LittleEndian.Uint32(rest[n-4:]) != n {
			s.t.Errorf("block of %d bytes in %d", n, len(rest))
			break
		}
		rest = rest[n:]
	}
	return s.file.Write(b)
}

// start subscribes in the background; end stops it and returns its error.
func start(b *Bus, w io.Writer, f Filter) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	res := make(chan error, 1)
	go func() { res <- b.Subscribe(ctx, w, f) }()
	return func() error { cancel(); return <-res }
}

// What is written can be read by another implementation of pcapng.
func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewBus(0)
		frame, packet := bus.Frames("zep0"), bus.Packets("tun0")
		out := &sink{t: t}
		end := start(bus, out, Filter{})
		synctest.Wait()
		begun := time.Now()
		frame(false, dataFrame, 26, -61, 200)
		time.Sleep(1500 * time.Nanosecond)
		frame(true, ackFrame, 26, 0, 0)
		packet(false, echoRequest)
		later := bus.Frames("zep1")
		if again := bus.Packets("tun0"); again == nil {
			t.Fatal()
		}
		later(false, ackFrame, 11, RSSIUnknown, 7)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if bus.Active() {
			t.Error("active without readers")
		}
		r, err := pcapgo.NewNgReader(&out.file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			t.Fatal(err)
		}
		crc := func(b []byte) []byte { return ieee802154.AppendFCS(slices.Clone(b)) }
		want := []struct {
			iface, name string
			at          time.Duration
			data        []byte
		}{
			{"zep0", "received with signal", 0, append(mustHex("00002400"+"0000010001000000"+"030003001a000000"+"01000400000074c2"+"0a000100c8000000"), crc(dataFrame)...)},
			{"zep0", "sent", 1500, append(mustHex("00001400"+"0000010001000000"+"030003001a000000"), crc(ackFrame)...)},
			{"tun0-ip", "packet", 1500, echoRequest},
			{"zep1", "signal unknown", 1500, append(mustHex("00001c00"+"0000010001000000"+"030003000b000000"+"0a00010007000000"), crc(ackFrame)...)},
		}
		for _, w := range want {
			data, ci, err := r.ReadPacketData()
			if err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
			if !bytes.Equal(data, w.data) {
				t.Errorf("%s:\n got %x\nwant %x", w.name, data, w.data)
			}
			i, err := r.Interface(ci.InterfaceIndex)
			if err != nil || i.Name != w.iface {
				t.Errorf("%s: interface %q, %v", w.name, i.Name, err)
			}
			if !ci.Timestamp.Equal(begun.Add(w.at)) {
				t.Errorf("%s: at %v, want %v", w.name, ci.Timestamp, begun.Add(w.at))
			}
		}
		if _, _, err := r.ReadPacketData(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	})
}

func TestFilter(t *testing.T) {
	for _, tc := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "zep0 zep1 zep0-ip tun0-ip"},
		{Filter{Radio: true, IP: true}, "zep0 zep1 zep0-ip tun0-ip"},
		{Filter{Radio: true}, "zep0 zep1"},
		{Filter{IP: true}, "zep0-ip tun0-ip"},
		{Filter{Ports: []string{"zep0"}}, "zep0 zep0-ip"},
		{Filter{Ports: []string{"zep0", "tun0"}, IP: true}, "zep0-ip tun0-ip"},
		{Filter{Ports: []string{"none"}}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			bus := NewBus(0)
			a, b := bus.Frames("zep0"), bus.Frames("zep1")
			out := &sink{t: t}
			end := start(bus, out, tc.f)
			synctest.Wait()
			c, d := bus.Packets("zep0"), bus.Packets("tun0") // come later
			a(false, ackFrame, 26, 0, 0)
			b(false, ackFrame, 26, 0, 0)
			c(false, echoRequest)
			d(false, echoRequest)
			end()
			r, err := pcapgo.NewNgReader(&out.file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
			var got []string
			for err == nil {
				_, ci, e := r.ReadPacketData()
				if err = e; e == nil {
					i, _ := r.Interface(ci.InterfaceIndex)
					got = append(got, i.Name)
				}
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%+v: %q, want %q", tc.f, s, tc.want)
			}
		})
	}
}

// A reader that hangs loses packets, which are counted; another loses none, and nobody
// waits.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewBus(16)
		frame := bus.Frames("zep0")
		slow := &sink{t: t, gate: make(chan struct{})}
		quick := &sink{t: t}
		endSlow, endQuick := start(bus, slow, Filter{}), start(bus, quick, Filter{})
		synctest.Wait()
		for range 100 {
			frame(false, dataFrame, 26, -61, 200)
			synctest.Wait()
		}
		if got := bus.Lost(); got != 84 {
			t.Errorf("lost %d of 100, want 84", got)
		}
		close(slow.gate)
		synctest.Wait()
		frame(false, dataFrame, 26, -61, 200)
		synctest.Wait()
		endSlow()
		endQuick()
		count := func(s *sink) (packets int, dropped, statistics uint64) {
			for b := s.file.Bytes(); len(b) > 0; {
				n := binary.LittleEndian.Uint32(b[4:])
				switch binary.LittleEndian.Uint32(b) {
				case blockPacket:
					packets++
					if i := bytes.Index(b[:n], []byte{optPacketDropped, 0, 8, 0}); i > 28 {
						dropped += binary.LittleEndian.Uint64(b[i+4:])
					}
				case blockStatistics:
					statistics += binary.LittleEndian.Uint64(b[24:])
				}
				b = b[n:]
			}
			return
		}
		if p, d, st := count(slow); p != 17 || d != 84 || st != 84 {
			t.Errorf("slow: %d packets, %d lost by options, %d by statistics", p, d, st)
		}
		if p, d, st := count(quick); p != 101 || d != 0 || st != 0 {
			t.Errorf("quick: %d packets, %d lost by options, %d by statistics", p, d, st)
		}
	})
}

func TestBound(t *testing.T) {
	bus := NewBus(64)
	packet := bus.Packets("tun0")
	block := &sink{t: t, gate: make(chan struct{})}
	end := start(bus, block, Filter{})
	for !bus.Active() {
	}
	big := make([]byte, 3000)
	for range 1000 {
		packet(false, big)
	}
	for _, s := range *bus.subs.Load() {
		s.mu.Lock()
		if n := len(s.buf); n > s.limit+maxData+100 {
			t.Errorf("%d bytes wait", n)
		}
		s.mu.Unlock()
	}
	close(block.gate)
	end()
}

func TestWriteError(t *testing.T) {
	bus := NewBus(0)
	want := errors.New("gone")
	if err := bus.Subscribe(context.Background(), &sink{t: t, err: want}, Filter{}); !errors.Is(err, want) {
		t.Errorf("err = %v", err)
	}
	if bus.Active() {
		t.Error("a reader that failed is still there")
	}
}

func TestConcurrent(t *testing.T) {
	bus := NewBus(0)
	var wg sync.WaitGroup
	outs := make([]*sink, 3)
	var ends []func() error
	for i := range outs {
		outs[i] = &sink{t: t}
		ends = append(ends, start(bus, outs[i], Filter{}))
	}
	for i := range 4 {
		frame, packet := bus.Frames(fmt.Sprint("zep", i)), bus.Packets("tun0")
		wg.Go(func() {
			for range 300 {
				frame(true, dataFrame, 26, 0, 0)
				packet(false, echoRequest)
			}
		})
	}
	wg.Wait()
	for _, end := range ends {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	for _, o := range outs {
		r, err := pcapgo.NewNgReader(&o.file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		for err == nil {
			_, _, err = r.ReadPacketData()
		}
		if err != io.EOF {
			t.Error(err)
		}
	}
}

// Wireshark's own dissectors find the metadata and a good FCS.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed (apt-get install tshark)")
	}
	bus := NewBus(0)
	frame, packet := bus.Frames("zep0"), bus.Packets("tun0")
	name := filepath.Join(t.TempDir(), "capture.pcapng")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	end := start(bus, file, Filter{})
	for !bus.Active() {
	}
	frame(false, dataFrame, 26, -61, 200)
	frame(true, ackFrame, 11, 0, 0)
	packet(true, echoRequest)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer // of a user or a home that it does not like
	cmd := exec.Command(tshark, "-r", name, "-n", "-T", "fields", "-E", "separator=|",
		"-e", "frame.interface_name", "-e", "frame.packet_flags_direction", "-e", "wpan-tap.ch_num", "-e", "wpan-tap.rss", "-e", "wpan-tap.lqi",
		"-e", "wpan.fcs_ok", "-e", "icmpv6.type", "-e", "icmpv6.checksum.status", "-e", "_ws.malformed",
		"-E", "occurrence=f")
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.Bytes())
	}
	var got []string
	for l := range strings.Lines(string(out)) {
		got = append(got, strings.TrimSpace(l))
	}
	want := []string{
		"zep0|0x00000001|26|-61|200|1|128|1|",
		"zep0|0x00000002|11|||1|||",
		"tun0-ip|0x00000002|||||128|1|",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAllocs(t *testing.T) {
	bus := NewBus(0)
	frame, packet := bus.Frames("zep0"), bus.Packets("tun0")
	publish := func() {
		frame(false, dataFrame, 26, -61, 200)
		packet(false, echoRequest)
	}
	if n := testing.AllocsPerRun(100, publish); n != 0 {
		t.Errorf("%v allocations without readers", n)
	}
	end := start(bus, io.Discard, Filter{})
	for !bus.Active() {
	}
	for range 10 * DefaultBuffer { // both buffers grow
		publish()
	}
	if n := testing.AllocsPerRun(1000, publish); n != 0 {
		t.Errorf("%v allocations with a reader", n)
	}
	end()
}

func BenchmarkFrames(b *testing.B) {
	b.Run("readers=0", func(b *testing.B) {
		frame := NewBus(0).Frames("zep0")
		b.ReportAllocs()
		for b.Loop() {
			frame(false, dataFrame, 26, -61, 200)
		}
	})
	b.Run("readers=1", func(b *testing.B) {
		bus := NewBus(0)
		frame := bus.Frames("zep0")
		end := start(bus, io.Discard, Filter{})
		for !bus.Active() {
		}
		b.ReportAllocs()
		for b.Loop() {
			frame(false, dataFrame, 26, -61, 200)
		}
		end()
	})
}
