package spinel

import (
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
	"border-router/internal/dongle"
	"border-router/internal/serial"
	"border-router/zep"
)

const (
	nodeExt = 0x0200000000000001
	ownExt  = 0x0200000000000002
	hwExt   = 0x0200000000000003
	testPAN = 0x0023

	longTime = time.Minute // a test that waits so long has failed
)

// A rig is a driver with an emulated dongle on a pseudo-terminal, and a ZEP node on the
// other side of that.
type rig struct {
	t      testing.TB
	node   *zep.Radio
	air    *zep.Radio
	dongle *dongle.Spinel
	pty    *dongle.PTY
	link   string // to the pty's path
	radio  *Radio
	served chan struct{}
	seq    byte
}

func newRig(t testing.TB, dc dongle.SpinelConfig, cfg Config) *rig {
	t.Helper()
	g := &rig{t: t}
	var err error
	loop := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if g.node, err = zep.Open(zep.Config{Listen: []netip.AddrPort{loop}, PAN: testPAN, EUI64: nodeExt, Channel: 26}); err != nil {
		t.Fatal(err)
	}
	if g.air, err = zep.Open(zep.Config{Mode: zep.Client, Remote: g.node.LocalAddrs(), PAN: testPAN, EUI64: hwExt, Channel: 26}); err != nil {
		t.Fatal(err)
	}
	dc.Air, dc.EUI64 = g.air, hwExt
	g.dongle = dongle.NewSpinel(dc)
	g.link = filepath.Join(t.TempDir(), "ttyACM0")
	g.plug()
	cfg.Port = serial.Config{Path: g.link, Baud: 460800}
	cfg.PAN, cfg.EUI64 = testPAN, ownExt
	if cfg.Keepalive == 0 {
		cfg.Keepalive = 50 * time.Millisecond
	}
	if cfg.Lifetime == 0 && cfg.TxTimeout == 0 { // a busy machine gives up no frame
		cfg.Lifetime, cfg.TxTimeout = longTime, longTime
	}
	if g.radio, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.radio.Close()
		g.unplug()
		g.node.Close()
		g.air.Close()
		g.dongle.Close()
	})
	return g
}

func (g *rig) plug() {
	g.t.Helper()
	p, err := dongle.OpenPTY()
	if err != nil {
		g.t.Fatal(err)
	}
	g.pty, g.served = p, make(chan struct{})
	go func(done chan struct{}) { defer close(done); g.dongle.Serve(p) }(g.served)
	os.Remove(g.link)
	if err := os.Symlink(p.Path, g.link); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) unplug() {
	os.Remove(g.link)
	g.pty.Close()
	<-g.served
}

func (g *rig) up() Info {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longTime)
	defer cancel()
	i, err := g.radio.WaitUp(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	return i
}

// frame is a data frame that asks for an acknowledgment.
func (g *rig) frame(dst, src uint64, payload string) []byte {
	g.seq++
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, AckRequest: true, PANIDCompression: true, Seq: g.seq, DstPAN: testPAN, HasDstPAN: true,
		SrcPAN: testPAN, Dst: ieee802154.Extended(dst), Src: ieee802154.Extended(src), Payload: []byte(payload)}
	b, err := f.AppendBinary(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

// send has r send data, which must be acknowledged.
func (g *rig) send(r ieee802154.Radio, data []byte) {
	g.t.Helper()
	tx := []ieee802154.TxFrame{{Data: data}}
	if err := r.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxAcked {
		g.t.Fatalf("transmit: %v %v", tx[0].Status, err)
	}
}

// expect waits until r receives want.
func (g *rig) expect(r ieee802154.Radio, want []byte) ieee802154.RxFrame {
	g.t.Helper()
	f, err := g.receive(r)
	if err != nil || string(f.Data) != string(want) {
		g.t.Fatalf("received % x, %v; want % x", f.Data, err, want)
	}
	return f
}

func (g *rig) receive(r ieee802154.Radio) (ieee802154.RxFrame, error) {
	rx := []ieee802154.RxFrame{{Data: make([]byte, 0, 127)}}
	stop := time.AfterFunc(longTime, func() { r.Close() })
	defer stop.Stop()
	_, err := r.Receive(rx)
	return rx[0], err
}

// expectAll waits until the node has received frames that were sent from start on, in order,
// when the driver had sent resent frames again. It sends again, with the same sequence number,
// what was under way when the dongle was lost, for as long as Lifetime says: nobody knows whether
// it was on the air. The node rejects that as long as it remembers the frame, which is shorter.
// So one comes twice only after that time, and not more often than the driver says.
func (g *rig) expectAll(start time.Time, resent uint64, sent []ieee802154.TxFrame) {
	g.t.Helper()
	for k := 0; k < len(sent); {
		f, err := g.receive(g.node)
		switch again := k > 0 && string(f.Data) == string(sent[k-1].Data); {
		case err == nil && string(f.Data) == string(sent[k].Data):
			k++
			continue
		case err != nil || !again || time.Since(start) < ieee802154.DefaultDuplicateAge:
			g.t.Fatalf("received % x, %v, after %v; want fragment %d", f.Data, err, time.Since(start), k)
		}
		if resent++; resent > g.radio.DongleStats().Resent {
			g.t.Fatalf("fragment %d was sent twice: %+v", k-1, g.radio.DongleStats())
		}
	}
}

// both exchanges a frame each way.
func (g *rig) both() {
	g.t.Helper()
	b := g.frame(nodeExt, ownExt, "to the node")
	g.send(g.radio, b)
	g.expect(g.node, b)
	b = g.frame(ownExt, nodeExt, "to the router")
	g.send(g.node, b)
	g.expect(g.radio, b)
}

func (g *rig) eventually(what string, f func() bool) {
	g.t.Helper()
	for end := time.Now().Add(longTime); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatal("never: " + what)
		}
	}
}

func TestExchange(t *testing.T) {
	var states []bool
	power := int8(4)
	g := newRig(t, dongle.SpinelConfig{Baud: 460800}, Config{Power: &power, Short: 7,
		OnState: func(up bool, err error, i Info) { states = append(states, up) }})
	i := g.up()
	if i.EUI64 != hwExt || i.Major != 4 || i.API != 11 || i.Baud != 460800 || i.Caps&CapCSMA == 0 || !strings.Contains(i.Version, "RCP") || len(i.Channels) != 16 {
		t.Errorf("%+v", i)
	}
	g.both()
	b := g.frame(ownExt, nodeExt, "with what the radio knows")
	g.send(g.node, b)
	if f := g.expect(g.radio, b); f.Channel != 26 || f.RSSI == 127 {
		t.Errorf("%+v", f)
	}
	s := g.dongle.Settings()
	if s.PAN != testPAN || s.Ext != ownExt || s.Short != 7 || s.Channel != 26 || s.Power != 4 || !s.Raw || !s.PHY {
		t.Errorf("%+v", s)
	}
	st := g.radio.RadioStats()
	if st.Acked != 1 || st.Delivered != 2 || st.Received != 2 {
		t.Errorf("%+v", st)
	}
	g.radio.Close()
	if !slices.Equal(states, []bool{true}) {
		t.Errorf("states %v", states)
	}
	if _, err := g.radio.Receive(make([]ieee802154.RxFrame, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	tx := []ieee802154.TxFrame{{Data: b}}
	if err := g.radio.Transmit(tx); !errors.Is(err, net.ErrClosed) || tx[0].Status != ieee802154.TxClosed {
		t.Error(err)
	}
}

// 1: boot and reset each announce themselves; the second is no crash.
func TestTwoResets(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{Keepalive: time.Hour})
	g.eventually("reset by the host", func() bool { return g.dongle.Settings().Resets > 0 })
	g.dongle.Reset(true)
	g.up()
	g.both()
	g.dongle.Inject([]byte{0x7e, 0x80, 6, 0, 112, 0xee, 0x74, 0x7e}) // late, with nothing lost
	g.both()
	if d := g.radio.DongleStats(); d.Opened != 1 || d.Lost != 0 {
		t.Errorf("%+v", d)
	}
}

// 2: transmissions are serialised; one whose answer is lost is sent again, and the dongle is
// started anew when that happens always.
func TestSerialised(t *testing.T) {
	var swallow atomic.Int32
	g := newRig(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault {
		return dongle.SpinelFault{Swallow: swallow.Add(-1) >= 0}
	}}, Config{doneSlack: 10 * time.Millisecond})
	g.up()
	var tx []ieee802154.TxFrame
	for range 8 {
		tx = append(tx, ieee802154.TxFrame{Data: g.frame(nodeExt, ownExt, "one after the other")})
	}
	if err := g.radio.Transmit(tx); err != nil {
		t.Fatal(err)
	}
	for i := range tx {
		if tx[i].Status != ieee802154.TxAcked || tx[i].Attempts != 1 {
			t.Errorf("%d: %v %d", i, tx[i].Status, tx[i].Attempts)
		}
		g.expect(g.node, tx[i].Data)
	}
	if s := g.dongle.Settings(); s.Overwritten != 0 || s.Transmissions != 8 {
		t.Errorf("%+v", s)
	}
	swallow.Store(1)
	g.both()
	if d := g.radio.DongleStats(); d.LostDones != 1 || d.Resent != 1 || d.Lost != 0 {
		t.Errorf("%+v", d)
	}
	swallow.Store(lostDonesMax)
	g.both()
	if d := g.radio.DongleStats(); d.LostDones != 1+lostDonesMax || d.Lost != 1 {
		t.Errorf("%+v", d)
	}
}

// A dongle that is up and never answers a transmission costs the frame its time at most.
func TestTxTimeout(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault { return dongle.SpinelFault{Swallow: true} }},
		Config{doneSlack: 10 * time.Millisecond, TxTimeout: 300 * time.Millisecond})
	g.up()
	tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, "x"), More: true}, {Data: g.frame(nodeExt, ownExt, "y")}}
	if err := g.radio.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxNoAck || tx[1].Status != ieee802154.TxSkipped {
		t.Errorf("%v %v %v", err, tx[0].Status, tx[1].Status)
	}
}

// 3: a secured frame goes out as it is.
func TestSecured(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	c := ieee802154.NewCipher([16]byte{1, 2, 3})
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, Security: true, AckRequest: true, PANIDCompression: true, Seq: 9, DstPAN: testPAN, HasDstPAN: true,
		SrcPAN: testPAN, Dst: ieee802154.Extended(nodeExt), Src: ieee802154.Extended(ownExt), Payload: []byte("secret"),
		Sec: ieee802154.AuxSecurity{Level: 5, KeyIDMode: 1, KeyIndex: 1, FrameCounter: 77}}
	b, err := c.Seal(nil, &f, ownExt)
	if err != nil {
		t.Fatal(err)
	}
	g.send(g.radio, b)
	g.expect(g.node, b)
	if o := g.dongle.Settings().LastOptions; len(o) < 7 || o[4] != 1 || o[6] != 1 {
		t.Errorf("options % x", o)
	}
}

// 4: nobody receives, and yet the line is read.
func TestSlowReader(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	const n = driver.QueueLen + 40
	for i := range n {
		g.send(g.node, g.frame(ownExt, nodeExt, strings.Repeat("x", 80)))
		// No more than the dongle's 2 KiB are on their way.
		g.eventually("most received", func() bool { return g.radio.RadioStats().Received+8 > uint64(i) })
	}
	g.eventually("all received", func() bool { return g.radio.RadioStats().Received == n })
	if s := g.dongle.Settings(); s.Lost != 0 {
		t.Errorf("the dongle lost %d", s.Lost)
	}
	if s := g.radio.RadioStats(); s.Delivered != driver.QueueLen || len(s.Drops) != 1 || s.Drops[0].Reason != "rx_queue_full" || s.Drops[0].Count != 40 {
		t.Errorf("%+v", s)
	}
}

// 5: the dongle would take any channel.
func TestChannels(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{Channels: []uint8{24, 25, 26}}, Config{})
	g.up()
	for _, c := range []uint8{0, 11, 23, 99} {
		if err := g.radio.SetChannel(c); err == nil {
			t.Errorf("channel %d was taken", c)
		}
	}
	if err := g.radio.SetChannel(25); err != nil {
		t.Fatal(err)
	}
	g.eventually("channel 25", func() bool { return g.dongle.Settings().Channel == 25 })
	if g.radio.Channel() != 25 {
		t.Error(g.radio.Channel())
	}
	said := make(chan error, 16)
	h := newRig(t, dongle.SpinelConfig{Channels: []uint8{11, 12}}, Config{OnState: func(_ bool, err error, _ Info) { said <- err }})
	if err := <-said; err == nil || !strings.Contains(err.Error(), "11 to 12") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := h.radio.WaitUp(ctx); err == nil || !strings.Contains(err.Error(), "11 to 12") {
		t.Errorf("%v", err)
	}
	if _, err := Open(Config{Name: "x", Channel: 99}); err == nil {
		t.Error("channel 99 was taken")
	}
}

// 6: a dongle that refuses a frame, or does not receive though it has its PAN, has restarted.
// The one shows at the frame, and not at the next question only.
func TestForgotten(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{Keepalive: time.Hour})
	g.up()
	g.dongle.Reset(false)
	g.both()
	if d := g.radio.DongleStats(); d.Opened != 2 || d.Lost != 1 {
		t.Errorf("%+v", d)
	}
	// The same at an address for source match, for which it seems to have no room.
	g.dongle.Reset(false)
	if err := g.radio.SetPending(ieee802154.Short(7), true); err != nil {
		t.Fatal(err)
	}
	g.eventually("restart found", func() bool { return g.radio.DongleStats().Restarts == 2 })
	g.eventually("address told", func() bool { return len(g.dongle.Settings().MatchShort) == 1 })
	g.radio.Close()

	g = newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.radio.mu.Lock()
	s := g.radio.s
	g.radio.mu.Unlock()
	if err := s.set(t.Context(), "reception off", PropRawStream, []byte{0}); err != nil {
		t.Fatal(err)
	}
	g.eventually("found deaf", func() bool { return g.radio.DongleStats().Restarts == 1 })
	g.up()
	g.both()
}

// What the dongle tells of an acknowledgment: whether more waits, and the frame itself.
func TestAcknowledgment(t *testing.T) {
	acks := make(chan []byte, 8)
	g := newRig(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault { return dongle.SpinelFault{Swallow: true} }},
		Config{Tap: func(sent bool, b []byte, channel uint8, rssi int8, _ uint8) {
			if !sent && rssi == -60 && channel == 26 {
				acks <- slices.Clone(b)
			}
		}})
	g.up()
	for i, pending := range []bool{true, false} {
		tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, "is there more?")}}
		sent := make(chan error)
		go func() { sent <- g.radio.Transmit(tx) }()
		g.eventually("transmission", func() bool { return g.dongle.Settings().Transmissions == i+1 })
		ack := []byte{2, 0, tx[0].Data[2]}
		// Of the TID of this transmission; OK, frame pending, header not updated, the record.
		done := append([]byte{0x81 + byte(i), byte(CmdIs), byte(PropLastStatus), 0, bit(pending), 0, 5, 0}, ieee802154.AppendFCS(slices.Clone(ack))...)
		g.dongle.Inject(AppendHDLC(nil, append(done, 0xc4, 0x80, 0, 0)))
		if err := <-sent; err != nil || tx[0].Status != ieee802154.TxAcked || tx[0].Pending != pending {
			t.Errorf("%v, %v, pending %v, want %v", err, tx[0].Status, tx[0].Pending, pending)
		}
		if got := <-acks; !slices.Equal(got, ack) {
			t.Errorf("the tap saw % x, want % x", got, ack)
		}
	}
}

// 7: what comes twice is delivered once, and no acknowledgment is a status.
func TestDuplicate(t *testing.T) {
	var status atomic.Int32
	g := newRig(t, dongle.SpinelConfig{Fault: func([]byte) dongle.SpinelFault {
		return dongle.SpinelFault{Status: uint8(status.Load())}
	}}, Config{})
	g.up()
	b := g.frame(ownExt, nodeExt, "twice")
	rec, _ := hex.DecodeString("c4800000" + "0a00" + "1a80" + "0000000000000000" + "0100" + "00" + "050000" + "00000000")
	v := append([]byte{0x80, 6, 0x71, byte(len(b) + 2), 0}, ieee802154.AppendFCS(slices.Clone(b))...)
	line := AppendHDLC(nil, append(v, rec...))
	g.dongle.Inject(slices.Concat(line, line))
	if f := g.expect(g.radio, b); f.RSSI != -60 || f.LQI != 128 || f.Channel != 26 {
		t.Errorf("%+v", f)
	}
	g.eventually("both received", func() bool { return g.radio.RadioStats().Received == 2 })
	if s := g.radio.RadioStats(); s.Delivered != 1 || len(s.Drops) != 1 || s.Drops[0].Reason != "duplicate" {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		status Status
		want   ieee802154.TxStatus
	}{{StatusNoAck, ieee802154.TxNoAck}, {StatusCCAFailure, ieee802154.TxChannelBusy}, {StatusTooBig, ieee802154.TxTooLong},
		{StatusBadArgument, ieee802154.TxTooLong}, {StatusBusy, ieee802154.TxChannelBusy}, {StatusInvalidState, ieee802154.TxChannelBusy}} {
		status.Store(int32(c.status))
		tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, "x")}}
		if err := g.radio.Transmit(tx); err != nil || tx[0].Status != c.want {
			t.Errorf("%v: %v, %v", c.status, tx[0].Status, err)
		}
	}
	tx := []ieee802154.TxFrame{{Data: make([]byte, 126)}, {}}
	if err := g.radio.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxTooLong || tx[1].Status != ieee802154.TxTooLong {
		t.Errorf("%v %v", tx[0].Status, tx[1].Status)
	}
}

// 8: garbage both ways; the dongle's text is no answer.
func TestGarbage(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.dongle.Inject([]byte("\x7eboot: rst cause 2\r\n\x7e\x7d\x7e\x7e\x00"))
	g.dongle.Inject(make([]byte, 2000))
	g.both()
	if f, err := os.OpenFile(g.pty.Path, os.O_WRONLY, 0); err == nil { // held exclusively
		f.Write([]byte{0x7e, 1, 2, 3, 4, 0x7e})
		f.Close()
		g.eventually("text", func() bool { return g.radio.DongleStats().Text > 0 })
	}
	g.both()
	if d := g.radio.DongleStats(); d.Lost != 0 {
		t.Errorf("%+v", d)
	}
}

func TestHostRetries(t *testing.T) {
	var fail atomic.Int32
	var status atomic.Int32
	g := newRig(t, dongle.SpinelConfig{NoCaps: true, Fault: func([]byte) dongle.SpinelFault {
		if fail.Add(-1) >= 0 {
			return dongle.SpinelFault{Status: uint8(status.Load())}
		}
		return dongle.SpinelFault{}
	}}, Config{})
	g.up()
	for _, c := range []struct {
		status   Status
		fail     int32
		want     ieee802154.TxStatus
		attempts uint8
		sent     int
	}{
		{StatusNoAck, 2, ieee802154.TxAcked, 3, 3},
		{StatusNoAck, 9, ieee802154.TxNoAck, 4, 4},
		{StatusCCAFailure, 4, ieee802154.TxAcked, 1, 5},
		{StatusCCAFailure, 9, ieee802154.TxChannelBusy, 0, 5},
	} {
		before := g.dongle.Settings().Transmissions
		status.Store(int32(c.status))
		fail.Store(c.fail)
		b := g.frame(nodeExt, ownExt, "again")
		tx := []ieee802154.TxFrame{{Data: b}}
		err := g.radio.Transmit(tx)
		s := g.dongle.Settings()
		if err != nil || tx[0].Status != c.want || tx[0].Attempts != c.attempts || s.Transmissions-before != c.sent {
			t.Errorf("%v %d: %v, %d attempts, %d given to the dongle, %v", c.status, c.fail, tx[0].Status, tx[0].Attempts, s.Transmissions-before, err)
		}
		if o := s.LastOptions; o[1] != 0 || o[2] != 0 || o[3] != 1 || (o[5] == 1) != (c.attempts > 1) {
			t.Errorf("%v %d: options % x", c.status, c.fail, o)
		}
	}
}

// longest is a source of numbers that makes each back-off the longest.
type longest struct{}

func (longest) Uint64() uint64 { return ^uint64(0) }

// Where the dongle does not back off by itself, the host does before each assessment of the
// channel.
func TestHostBackoff(t *testing.T) {
	for _, c := range []struct {
		caps        RadioCaps
		host        bool
		assessments int
	}{{CapRetries, true, 5}, {CapRetries | CapCSMA, false, 1}} {
		g := newRig(t, dongle.SpinelConfig{Caps: uint32(c.caps), Fault: func([]byte) dongle.SpinelFault {
			return dongle.SpinelFault{Status: uint8(StatusCCAFailure)}
		}}, Config{})
		g.up()
		g.radio.rand = rand.New(longest{})
		const frames = 20
		begin := time.Now()
		for range frames {
			tx := []ieee802154.TxFrame{{Data: g.frame(nodeExt, ownExt, "x")}}
			if err := g.radio.Transmit(tx); err != nil || tx[0].Status != ieee802154.TxChannelBusy {
				t.Fatal(err, tx[0].Status)
			}
		}
		// BE is 3, 4, 5, 5, 5 (section 6.2.5.1).
		if took, want := time.Since(begin), frames*(7+15+3*31)*ieee802154.UnitBackoff; c.host && took < want {
			t.Errorf("%v: %v for %d frames, want %v or more", c.caps, took, frames, want)
		}
		s := g.dongle.Settings()
		if s.Transmissions != frames*c.assessments {
			t.Errorf("%v: %d assessments", c.caps, s.Transmissions)
		}
		if o := s.LastOptions; (o[1] != 0) == c.host || o[2] != DefaultRetries {
			t.Errorf("%v: options % x", c.caps, o)
		}
	}
}

func TestSourceMatch(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.radio.SetSourceMatch(true)
	if err := g.radio.SetPending(ieee802154.Short(0x1234), true); err != nil {
		t.Fatal(err)
	}
	if err := g.radio.SetPending(ieee802154.Extended(nodeExt), true); err != nil {
		t.Fatal(err)
	}
	same := func() bool {
		s := g.dongle.Settings()
		return s.Match && slices.Equal(s.MatchShort, []uint16{0x1234}) && slices.Equal(s.MatchExt, []uint64{nodeExt})
	}
	g.eventually("table", same)
	g.dongle.Reset(true)
	g.eventually("restart seen", func() bool { return g.radio.DongleStats().Opened == 2 })
	g.eventually("table again", same)
	g.radio.SetPending(ieee802154.Short(0x1234), false)
	g.eventually("one less", func() bool { return len(g.dongle.Settings().MatchShort) == 0 })
	for i := range uint16(maxPending - 1) {
		if err := g.radio.SetPending(ieee802154.Short(i), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.radio.SetPending(ieee802154.Short(0x7777), true); err == nil {
		t.Error("the table has no end")
	}
}

// More addresses than the dongle has room for, or a firmware without tables at all, cost
// neither the dongle nor a frame: it says frame pending to everybody until they fit.
func TestSourceMatchRoom(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{Match: 4}, Config{})
	g.up()
	g.radio.SetSourceMatch(true)
	set := func(from, to uint16, pending bool) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := g.radio.SetPending(ieee802154.Short(i), pending); err != nil {
				t.Fatal(err)
			}
		}
	}
	exact := func(n int) func() bool {
		return func() bool {
			s := g.dongle.Settings()
			return s.Match && len(s.MatchShort) == n
		}
	}
	set(0, 4, true)
	g.eventually("all fit", exact(4))
	set(4, 10, true)
	g.eventually("they do not fit", func() bool { return !g.dongle.Settings().Match })
	g.both()
	g.dongle.Reset(true)
	g.eventually("restart seen", func() bool { return g.radio.DongleStats().Opened == 2 })
	g.both()
	if s := g.dongle.Settings(); s.Match {
		t.Errorf("%+v", s)
	}
	set(0, 7, false)
	g.eventually("they fit again", exact(3))
	set(20, 21, true)
	g.eventually("and one more", exact(4))
	if d := g.radio.DongleStats(); d.Lost != 1 || d.Failed != 0 {
		t.Errorf("%+v", d)
	}

	g = newRig(t, dongle.SpinelConfig{Match: -1}, Config{})
	g.up()
	g.radio.SetSourceMatch(true)
	set(0, 3, true)
	set(1, 2, false)
	g.both()
	g.radio.SetAddress(ownExt, 0x77, testPAN)
	g.eventually("addresses", func() bool { return g.dongle.Settings().Short == 0x77 })
	g.both()
	if d := g.radio.DongleStats(); d.Lost != 0 {
		t.Errorf("%+v", d)
	}
}

func TestEnergyScan(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	e, err := g.radio.EnergyScan(context.Background(), []uint8{11, 12, 26}, 5*time.Millisecond)
	if err != nil || len(e) != 3 || e[0] != (Energy{11, -95}) || e[2].Channel != 26 {
		t.Errorf("%v %v", e, err)
	}
	g.both()
	h := newRig(t, dongle.SpinelConfig{NoCaps: true}, Config{})
	h.up()
	if _, err := h.radio.EnergyScan(context.Background(), []uint8{11}, time.Millisecond); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestSetAddress(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{})
	g.up()
	g.radio.SetAddress(0x42, 0x55, 0xbeef)
	g.radio.SetPower(-10)
	g.eventually("all set", func() bool {
		s := g.dongle.Settings()
		return s.Ext == 0x42 && s.Short == 0x55 && s.PAN == 0xbeef && s.Power == -10
	})
	if d := g.radio.DongleStats(); d.Lost != 0 || !d.Up {
		t.Errorf("%+v", d)
	}
}

// A scan and the keepalive ask the dongle at the same time; each has its own answer.
func TestScanBesideKeepalive(t *testing.T) {
	g := newRig(t, dongle.SpinelConfig{}, Config{Keepalive: 10 * time.Millisecond})
	g.up()
	for range 20 {
		if _, err := g.radio.EnergyScan(t.Context(), []uint8{11, 26}, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if d := g.radio.DongleStats(); d.Lost != 0 {
		t.Errorf("%+v", d)
	}
}
