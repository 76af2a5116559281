package zep

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/ieee802154"
)

const (
	routerEUI = 0x02005e1000000001
	nodeA     = 0x02005e10000000aa
	nodeB     = 0x02005e10000000bb
	nodeC     = 0x02005e10000000cc
	longTime  = time.Minute     // a test that waits so long has failed
	ackWait   = 2 * time.Second // where an acknowledgment comes
)

func open(t testing.TB, c Config) *Radio {
	t.Helper()
	r, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func loop6(port uint16) []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), port)}
}

func openHub(t testing.TB, mod func(*Config)) *Radio {
	t.Helper()
	c := Config{Mode: Hub, Listen: loop6(0), EUI64: routerEUI, AckWait: ackWait}
	if mod != nil {
		mod(&c)
	}
	return open(t, c)
}

func openClient(t testing.TB, hub *Radio, eui uint64, mod func(*Config)) *Radio {
	t.Helper()
	c := Config{Mode: Client, Remote: hub.LocalAddrs()[:1], EUI64: eui, AckWait: ackWait}
	if mod != nil {
		mod(&c)
	}
	r := open(t, c)
	waitFor(t, "the hub to learn the client", func() bool {
		for _, p := range hub.Peers() {
			if p.Addr == r.LocalAddrs()[0] {
				return true
			}
		}
		return false
	})
	return r
}

// waitFor polls for what goroutines and the kernel bring about.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(longTime); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// dataFrame builds a frame of version 2006 as RIOT does; dst 0 is a broadcast.
func dataFrame(seq uint8, pan uint16, src, dst uint64, payload string) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, Version: ieee802154.Version2006, PANIDCompression: true, Seq: seq,
		DstPAN: pan, Src: ieee802154.Extended(src), Payload: []byte(payload)}
	f.Dst = ieee802154.Short(ieee802154.BroadcastShort)
	if dst != 0 {
		f.Dst, f.AckRequest = ieee802154.Extended(dst), true
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func payload(t testing.TB, b []byte) string {
	t.Helper()
	var f ieee802154.Frame
	if err := f.Parse(b); err != nil {
		t.Fatal(err)
	}
	return string(f.Payload)
}

// recv returns the payload of the next frame.
func recv(t testing.TB, r *Radio) string {
	t.Helper()
	type result struct {
		s   []byte
		err error
	}
	c := make(chan result, 1)
	go func() {
		batch := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
		_, err := r.Receive(batch)
		c <- result{batch[0].Data, err}
	}()
	select {
	case x := <-c:
		if x.err != nil {
			t.Fatal(x.err)
		}
		return payload(t, x.s)
	case <-time.After(longTime):
		t.Fatal("no frame came")
	}
	return ""
}

func transmit(t testing.TB, r *Radio, frames ...[]byte) []ieee802154.TxFrame {
	t.Helper()
	batch := make([]ieee802154.TxFrame, len(frames))
	for i, f := range frames {
		batch[i].Data = f
	}
	if err := r.Transmit(batch); err != nil {
		t.Fatal(err)
	}
	return batch
}

// pending reports whether r has a frame for Receive.
func pending(r *Radio) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ringLen
}

func drops(r *Radio, reason string) uint64 {
	for _, d := range r.RadioStats().Drops {
		if d.Reason == reason {
			return d.Count
		}
	}
	return 0
}

func checkBalance(t testing.TB, r *Radio) {
	t.Helper()
	s := r.RadioStats()
	sum := s.Delivered + s.Consumed + s.Forwarded
	for _, d := range s.Drops {
		sum += d.Count
	}
	if s.Received != sum {
		t.Errorf("received %d, accounted for %d: %+v", s.Received, sum, s)
	}
}

// A station is a bare UDP socket that speaks what the test lets it.
type station struct {
	t testing.TB
	*net.UDPConn
}

func newStation(t testing.TB, hub *Radio) station {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(hub.LocalAddrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return station{t, c}
}

func (s station) addr() netip.AddrPort {
	return s.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (s station) send(h Header, frame []byte) {
	s.t.Helper()
	b, err := h.AppendBinary(nil, ieee802154.AppendFCS(frame[:len(frame):len(frame)]))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err = s.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// next returns the next datagram as a RIOT node would check it.
func (s station) next(channel uint8) (ieee802154.Frame, []byte) {
	s.t.Helper()
	b := make([]byte, 256)
	s.SetReadDeadline(time.Now().Add(longTime))
	n, err := s.Read(b)
	if err != nil {
		s.t.Fatal(err)
	}
	b = b[:n]
	if string(b[:4]) != "EX\x02\x01" || len(b) != 32+int(b[31]) || b[4] != channel || b[7] != 1 || !ieee802154.CheckFCS(b[32:]) {
		s.t.Fatalf("datagram % x is not what RIOT takes on channel %d", b, channel)
	}
	var f ieee802154.Frame
	if err := f.Parse(b[32 : len(b)-2]); err != nil {
		s.t.Fatal(err)
	}
	return f, b
}

func riot(channel uint8) Header {
	return Header{Version: 2, Type: TypeData, Channel: channel, Mode: ModeCRC, LQI: 0xff}
}

func TestHubThreeClients(t *testing.T) {
	hub := openHub(t, nil)
	a, b, c := openClient(t, hub, nodeA, nil), openClient(t, hub, nodeB, nil), openClient(t, hub, nodeC, nil)

	transmit(t, a, dataFrame(1, DefaultPAN, nodeA, 0, "to all"))
	for _, r := range []*Radio{hub, b, c} {
		if got := recv(t, r); got != "to all" {
			t.Errorf("got %q", got)
		}
	}
	if x := transmit(t, b, dataFrame(2, DefaultPAN, nodeB, nodeA, "b to a"))[0]; x.Status != ieee802154.TxAcked || x.Attempts != 1 {
		t.Errorf("b to a: %v after %d", x.Status, x.Attempts)
	}
	if got := recv(t, a); got != "b to a" {
		t.Errorf("got %q", got)
	}
	if x := transmit(t, c, dataFrame(3, DefaultPAN, nodeC, routerEUI, "c to router"))[0]; x.Status != ieee802154.TxAcked {
		t.Errorf("c to router: %v", x.Status)
	}
	if got := recv(t, hub); got != "c to router" {
		t.Errorf("got %q", got)
	}
	if x := transmit(t, hub, dataFrame(4, DefaultPAN, routerEUI, nodeC, "router to c"))[0]; x.Status != ieee802154.TxAcked {
		t.Errorf("router to c: %v", x.Status)
	}
	if got := recv(t, c); got != "router to c" {
		t.Errorf("got %q", got)
	}
	// Nobody heard what was not for it, and nobody heard itself.
	if n := pending(a) + pending(b) + pending(c) + pending(hub); n != 0 {
		t.Errorf("%d frames too many", n)
	}
	if s := c.RadioStats(); s.Received != 3 { // the broadcast, its acknowledgment, one frame
		t.Errorf("c received %d", s.Received)
	}
	for _, r := range []*Radio{hub, a, b, c} {
		checkBalance(t, r)
	}
}

func TestHubSeparatesChannelsAndPANs(t *testing.T) {
	hub := openHub(t, nil)
	a, b, c := newStation(t, hub), newStation(t, hub), newStation(t, hub)
	a.send(riot(26), dataFrame(1, 0x23, nodeA, 0, "a"))
	b.send(riot(15), dataFrame(1, 0x23, nodeB, 0, "b"))
	c.send(riot(26), dataFrame(1, 0xbeef, nodeC, 0, "c"))
	waitFor(t, "three peers", func() bool { return len(hub.Peers()) == 3 && hub.RadioStats().Received == 3 })
	if got := recv(t, hub); got != "a" {
		t.Fatalf("got %q", got)
	}
	// The second of a pair on its channel and in its PAN is heard by the first alone.
	d := newStation(t, hub)
	d.send(riot(15), dataFrame(2, 0x23, 0xd, 0, "d"))
	if f, _ := b.next(15); string(f.Payload) != "d" {
		t.Errorf("b got %q", f.Payload)
	}
	e := newStation(t, hub)
	e.send(riot(26), dataFrame(2, 0xbeef, 0xe, 0, "e"))
	if f, _ := c.next(26); string(f.Payload) != "e" {
		t.Errorf("c got %q", f.Payload)
	}
	e.send(riot(26), dataFrame(3, ieee802154.BroadcastPAN, 0xe, 0, "every PAN"))
	for _, s := range []station{a, c} {
		if f, _ := s.next(26); string(f.Payload) != "every PAN" {
			t.Errorf("got %q", f.Payload)
		}
	}
	if got := recv(t, hub); got != "every PAN" {
		t.Errorf("router got %q", got)
	}
	transmit(t, hub, dataFrame(9, 0x23, routerEUI, 0, "router"))
	if f, _ := a.next(26); string(f.Payload) != "router" {
		t.Errorf("a got %q", f.Payload)
	}
	if n := hub.HubStats().Copies; n != 5 {
		t.Errorf("%d copies were sent, want 5", n)
	}
	if n := drops(hub, "no_receiver"); n != 1 { // b, when it was alone on channel 15
		t.Errorf("no_receiver %d", n)
	}
	checkBalance(t, hub)
}

func TestLwIPPeerIsLearnt(t *testing.T) {
	hub := openHub(t, func(c *Config) { c.AckWait = 2 * time.Millisecond })
	lwip := newStation(t, hub)
	h := Header{Version: 2, Type: TypeData, Channel: 0, Device: 1, Mode: ModeCRC, LQI: 0xff}
	hello := func(seq uint8) { lwip.send(h, dataFrame(seq, 0x23, nodeA, 0, "lwip")); recv(t, hub) }
	hello(1)
	attempts := []uint8{}
	for i := range uint8(5) {
		x := transmit(t, hub, dataFrame(i, 0x23, routerEUI, nodeA, "ping"))[0]
		attempts = append(attempts, x.Attempts)
		if x.Status != ieee802154.TxSent {
			t.Errorf("frame %d: %v, want sent", i, x.Status)
		}
		hello(10 + i)
	}
	if string(attempts) != "\x04\x04\x04\x01\x01" {
		t.Errorf("attempts %v", attempts)
	}
	f, _ := lwip.next(26)
	if string(f.Payload) != "ping" || f.Src != ieee802154.Extended(routerEUI) {
		t.Errorf("lwIP got %+v", f)
	}
	checkBalance(t, hub)
}

func TestLostAckGivesNoDuplicate(t *testing.T) {
	lose := 1
	hub := openHub(t, func(c *Config) {
		c.Impair = func(from, to netip.AddrPort, frame []byte) (bool, time.Duration, bool) {
			if len(frame) == 3 && !from.IsValid() && lose > 0 {
				lose--
				return true, 0, false
			}
			return false, 0, false
		}
	})
	a := openClient(t, hub, nodeA, func(c *Config) { c.AckWait = time.Second })
	x := transmit(t, a, dataFrame(7, DefaultPAN, nodeA, routerEUI, "once"))[0]
	if x.Status != ieee802154.TxAcked || x.Attempts != 2 {
		t.Errorf("%v after %d attempts", x.Status, x.Attempts)
	}
	if got := recv(t, hub); got != "once" || pending(hub) != 0 {
		t.Errorf("got %q, and %d more", got, pending(hub))
	}
	if n := drops(hub, "duplicate"); n != 1 {
		t.Errorf("duplicate %d", n)
	}
	checkBalance(t, hub)
}

func TestNoAckAndSkip(t *testing.T) {
	hub := openHub(t, func(c *Config) { c.AckWait = time.Millisecond })
	batch := make([]ieee802154.TxFrame, 4)
	for i := range batch {
		batch[i].Data, batch[i].More = dataFrame(uint8(i), DefaultPAN, routerEUI, nodeA, "x"), i < 2
	}
	batch[3].Data = make([]byte, 126)
	if err := hub.Transmit(batch); err != nil {
		t.Fatal(err)
	}
	want := []ieee802154.TxStatus{ieee802154.TxNoAck, ieee802154.TxSkipped, ieee802154.TxSkipped, ieee802154.TxTooLong}
	for i, w := range want {
		if batch[i].Status != w {
			t.Errorf("frame %d: %v, want %v", i, batch[i].Status, w)
		}
	}
	if batch[0].Attempts != 4 {
		t.Errorf("%d attempts", batch[0].Attempts)
	}
}

func TestSniffer(t *testing.T) {
	hub := openHub(t, nil)
	sn := newStation(t, hub)
	if _, err := sn.Write(appendHello(nil, 0, 0)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the sniffer", func() bool { return len(hub.Peers()) == 1 })
	a := openClient(t, hub, nodeA, nil)
	b := newStation(t, hub)
	b.send(riot(20), dataFrame(1, 0x99, nodeB, 0, "other channel"))
	if f, _ := sn.next(20); string(f.Payload) != "other channel" {
		t.Errorf("got %q", f.Payload)
	}
	transmit(t, a, dataFrame(7, DefaultPAN, nodeA, routerEUI, "up"))
	if f, _ := sn.next(26); string(f.Payload) != "up" && f.Type != ieee802154.TypeAck {
		t.Errorf("got %v %q", f.Type, f.Payload)
	}
	if f, _ := sn.next(26); string(f.Payload) != "up" && f.Type != ieee802154.TypeAck {
		t.Errorf("got %v %q", f.Type, f.Payload)
	}
	for _, p := range hub.Peers() {
		if p.Sniffer != (p.Addr == sn.addr()) {
			t.Errorf("%+v", p)
		}
	}
}

func TestPeersAgeAndAreBounded(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	var text strings.Builder // written with the hub's lock held
	hub := openHub(t, func(c *Config) {
		c.PeerAge, c.MaxPeers = time.Minute, 3
		c.Logger = slog.New(slog.NewTextHandler(&text, nil))
		c.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	step := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	send := func(s station, eui uint64) {
		n := hub.RadioStats().Received
		s.send(riot(26), dataFrame(uint8(n), 0x23, eui, 0, "x"))
		waitFor(t, "the frame", func() bool { return hub.RadioStats().Received == n+1 })
	}
	a, b := newStation(t, hub), newStation(t, hub)
	send(a, nodeA)
	step(40 * time.Second)
	send(b, nodeB)
	step(40 * time.Second)
	send(b, nodeB)
	if p := hub.Peers(); len(p) != 1 || p[0].Addr != b.addr() || p[0].Addresses != 1 {
		t.Fatalf("a should be forgotten: %+v", p)
	}
	for i := range uint64(3) {
		step(time.Second)
		send(newStation(t, hub), i+1)
	}
	if p := hub.Peers(); len(p) != 3 {
		t.Errorf("%d peers", len(p))
	}
	for _, p := range hub.Peers() {
		if p.Addr == b.addr() {
			t.Error("the peer silent longest is still there")
		}
	}
	if h := hub.HubStats(); h.PeersAged != 1 || h.PeersEvicted != 1 || h.PeersLearned != 5 {
		t.Errorf("%+v", h)
	}
	hub.mu.Lock()
	defer hub.mu.Unlock()
	if n := strings.Count(text.String(), "peer forgotten"); n != 1 {
		t.Errorf("%d lines in the log, want one for the peer that was silent and none for want of room:\n%s", n, text.String())
	}
	if n := len(hub.table.owners); n != 3 {
		t.Errorf("%d owners", n)
	}
}

func TestClientSurvivesHubRestart(t *testing.T) {
	hub := openHub(t, nil)
	at := hub.LocalAddrs()
	a := openClient(t, hub, nodeA, nil)
	hub.Close()
	transmit(t, a, dataFrame(1, DefaultPAN, nodeA, 0, "lost"), dataFrame(2, DefaultPAN, nodeA, 0, "lost"))
	waitFor(t, "the refusal", func() bool { return a.HubStats().Refused > 0 })
	hub = open(t, Config{Mode: Hub, Listen: at, EUI64: routerEUI, AckWait: ackWait})
	waitFor(t, "the client's HELLO", func() bool { return len(hub.Peers()) == 1 })
	if x := transmit(t, hub, dataFrame(1, DefaultPAN, routerEUI, nodeA, "again"))[0]; x.Status != ieee802154.TxAcked {
		t.Errorf("%v", x.Status)
	}
	if got := recv(t, a); got != "again" {
		t.Errorf("got %q", got)
	}
}

func TestClientBeforeHub(t *testing.T) {
	probe := openHub(t, nil)
	at := probe.LocalAddrs()
	probe.Close()
	a := open(t, Config{Mode: Client, Remote: at, EUI64: nodeA})
	waitFor(t, "the refusal", func() bool { return a.HubStats().Refused > 0 })
	hub := open(t, Config{Mode: Hub, Listen: at, EUI64: routerEUI})
	waitFor(t, "the client's HELLO", func() bool { return len(hub.Peers()) == 1 })
}

func TestImpair(t *testing.T) {
	hub := openHub(t, func(c *Config) {
		c.Impair = func(from, to netip.AddrPort, frame []byte) (bool, time.Duration, bool) {
			switch frame[len(frame)-1] {
			case '!':
				return true, 0, false
			case '2':
				return false, time.Millisecond, true
			}
			return false, 2 * time.Second, false // which the next frame is not behind, also on a busy machine
		}
	})
	a, b := openClient(t, hub, nodeA, nil), openClient(t, hub, nodeB, nil)
	transmit(t, a, dataFrame(1, DefaultPAN, nodeA, 0, "lost!"), dataFrame(2, DefaultPAN, nodeA, 0, "late"), dataFrame(3, DefaultPAN, nodeA, 0, "twice2"))
	for _, r := range []*Radio{hub, b} {
		if x, y := recv(t, r), recv(t, r); x != "twice2" || y != "late" {
			t.Errorf("got %q, %q", x, y)
		}
		waitFor(t, "the duplicate", func() bool { return drops(r, "duplicate") == 1 })
	}
	if n := hub.HubStats().Impaired; n != 2 {
		t.Errorf("impaired %d", n)
	}
	checkBalance(t, hub)
	checkBalance(t, b)
}

func TestFloodAndVersion1(t *testing.T) {
	hub := openHub(t, func(c *Config) { c.Flood = true })
	a, b := newStation(t, hub), newStation(t, hub)
	b.send(Header{Version: 1, Type: TypeData, Channel: 26, Mode: ModeCRC}, dataFrame(1, 0x23, nodeB, 0, "v1"))
	if got := recv(t, hub); got != "v1" {
		t.Errorf("got %q", got)
	}
	a.send(riot(26), dataFrame(1, 0x23, nodeA, nodeC, "to c"))
	if f, _ := b.next(26); string(f.Payload) != "to c" {
		t.Errorf("got %q", f.Payload)
	}
}

func TestBroadcastMode(t *testing.T) {
	free := func() uint16 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	at := func(ip string, port uint16) []netip.AddrPort {
		return []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(ip), port)}
	}
	t.Run("unicast pair", func(t *testing.T) {
		p, q := free(), free()
		a := open(t, Config{Mode: Broadcast, Listen: at("127.0.0.1", p), Remote: at("127.0.0.1", q), EUI64: nodeA, AckWait: ackWait})
		b := open(t, Config{Mode: Broadcast, Listen: at("127.0.0.1", q), Remote: at("127.0.0.1", p), EUI64: nodeB, AckWait: ackWait})
		if x := transmit(t, a, dataFrame(1, DefaultPAN, nodeA, nodeB, "hi"))[0]; x.Status != ieee802154.TxAcked {
			t.Errorf("%v", x.Status)
		}
		if got := recv(t, b); got != "hi" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("broadcast", func(t *testing.T) {
		p := free()
		a := open(t, Config{Mode: Broadcast, Remote: at("127.255.255.255", p), EUI64: nodeA, AckWait: ackWait})
		b := open(t, Config{Mode: Broadcast, Remote: at("127.255.255.255", p), EUI64: nodeB})
		transmit(t, a, dataFrame(1, DefaultPAN, nodeA, nodeB, "hi"))
		if got := recv(t, b); got != "hi" {
			t.Errorf("got %q", got)
		}
		waitFor(t, "our own datagram", func() bool { return drops(a, "own_datagram") > 0 })
		checkBalance(t, a)
	})
	t.Run("multicast", func(t *testing.T) {
		p := free()
		c := Config{Mode: Broadcast, Remote: at("239.77.77.77", p), Interface: "lo", EUI64: nodeA, AckWait: ackWait}
		a := open(t, c)
		c.EUI64 = nodeB
		b := open(t, c)
		transmit(t, a, dataFrame(1, DefaultPAN, nodeA, nodeB, "hi"))
		if got := recv(t, b); got != "hi" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOtherChannelDropped(t *testing.T) {
	hub := openHub(t, nil)
	a := openClient(t, hub, nodeA, func(c *Config) { c.Channel = 11 })
	// Only a HELLO told of the client: its channel is not known, so it gets the frame.
	transmit(t, hub, dataFrame(1, DefaultPAN, routerEUI, 0, "x"))
	waitFor(t, "the drop", func() bool { return drops(a, "other_channel") == 1 })
}

func TestReceiveQueueFull(t *testing.T) {
	hub := openHub(t, nil)
	a := newStation(t, hub)
	for i := range rxRing + 1 {
		a.send(riot(26), dataFrame(uint8(i), 0x23, nodeA+uint64(i), routerEUI, "x"))
		waitFor(t, "the frame", func() bool { return hub.RadioStats().Received == uint64(i+1) })
	}
	if n := drops(hub, "receive_queue_full"); n != 1 || hub.RadioStats().AcksSent != rxRing {
		t.Errorf("%d dropped, %d acknowledged", n, hub.RadioStats().AcksSent)
	}
	checkBalance(t, hub)
}

func TestBadDatagramsAreCounted(t *testing.T) {
	hub := openHub(t, nil)
	a := newStation(t, hub)
	good, _ := riot(26).AppendBinary(nil, ieee802154.AppendFCS(dataFrame(1, 0x23, nodeA, 0, "x")))
	badFCS := append([]byte(nil), good...)
	badFCS[len(badFCS)-1] ^= 1
	badMAC, _ := riot(26).AppendBinary(nil, ieee802154.AppendFCS([]byte{7, 0, 0}))
	for _, b := range [][]byte{{}, []byte("EX"), []byte("EY\x02\x01"), badFCS, badMAC, good[:len(good)-1], make([]byte, 1000)} {
		if _, err := a.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "seven datagrams", func() bool { return hub.RadioStats().Received == 7 })
	if len(hub.Peers()) != 0 {
		t.Error("a bad datagram made a peer")
	}
	if len(hub.RadioStats().Drops) != 5 {
		t.Errorf("%+v", hub.RadioStats().Drops)
	}
	checkBalance(t, hub)
}

func TestCloseWakesAndLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	hub := openHub(t, func(c *Config) {
		c.AckWait = time.Hour
		c.Impair = func(_, _ netip.AddrPort, _ []byte) (bool, time.Duration, bool) { return false, time.Hour, false }
	})
	a := openClient(t, hub, nodeA, nil)
	errs := make(chan error, 2)
	tx := []ieee802154.TxFrame{{Data: dataFrame(1, DefaultPAN, routerEUI, nodeA, "x"), More: true}, {Data: dataFrame(2, DefaultPAN, routerEUI, nodeA, "y")}}
	go func() { _, err := hub.Receive(make([]ieee802154.RxFrame, 1)); errs <- err }()
	go func() { errs <- hub.Transmit(tx) }()
	waitFor(t, "the transmission", func() bool { return hub.RadioStats().Attempts == 1 })
	hub.Close()
	a.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("err %v", err)
		}
	}
	if tx[0].Status != ieee802154.TxClosed || tx[1].Status != ieee802154.TxClosed {
		t.Errorf("%v %v", tx[0].Status, tx[1].Status)
	}
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	if err := hub.Transmit(tx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("err %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	hub := openHub(t, nil)
	_, err := Open(Config{Listen: hub.LocalAddrs(), EUI64: 1})
	if err == nil || !strings.Contains(err.Error(), "another border-router or RIOT dispatcher") {
		t.Errorf("err %v", err)
	}
}

func TestPacing(t *testing.T) {
	hub := openHub(t, func(c *Config) { c.Pace = true })
	frame := dataFrame(1, DefaultPAN, routerEUI, 0, strings.Repeat("x", 90))
	start := time.Now()
	transmit(t, hub, frame, frame, frame)
	if d := time.Since(start); d < 2*airTime(len(frame), false) {
		t.Errorf("three frames in %v", d)
	}
	if hub.Window() > 4 {
		t.Errorf("window %d", hub.Window())
	}
}

func TestTapSeesAll(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	hub := openHub(t, func(c *Config) {
		c.Tap = func(tx bool, frame []byte, ch uint8, _ int8, _ uint8) {
			mu.Lock()
			defer mu.Unlock()
			dir := map[bool]string{true: "tx ", false: "rx "}[tx]
			seen = append(seen, dir+ieee802154.FrameType(frame[0]&7).String())
		}
	})
	a := openClient(t, hub, nodeA, nil)
	transmit(t, a, dataFrame(1, DefaultPAN, nodeA, routerEUI, "up"))
	transmit(t, hub, dataFrame(1, DefaultPAN, routerEUI, nodeA, "down"))
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(seen, ", "); got != "rx data, tx ack, tx data, rx ack" {
		t.Errorf("tap saw %s", got)
	}
}

func TestHelloOfRIOT(t *testing.T) {
	b := appendHello(nil, nodeA, 1)
	h, body, err := Parse(b)
	if err != nil || h.Type != TypeHello || string(b[21:26]) != "HELLO" || binary.BigEndian.Uint64(body) != nodeA || len(b) != 40 {
		t.Errorf("% x: %v", b, err)
	}
}
