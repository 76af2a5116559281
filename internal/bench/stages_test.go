package bench

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
)

// registrations is how many nodes the router knows: the default of --nd-max-registrations.
const registrations = 1000

// An end is the port at the far end of a measured way: it counts what it is given.
type end struct {
	name    string
	packets int
}

func (e *end) Name() string { return e.name }
func (e *end) MTU() int     { return ipv6.MinMTU }
func (e *end) Output(time.Time, ipv6.Packet, ipv6.LinkAddr) error {
	e.packets++
	return nil
}

// A rig is a router with a thousand registered nodes. Its mesh port is the adaptation layer
// or an end, its host port an end.
type rig struct {
	now     time.Time
	r       *router.Router
	mesh    *router.Link
	host    *router.Link
	iface   *lowpan.Interface
	meshEnd end
	hostEnd end
	tx      []ieee802154.TxFrame
}

func newInterface(deliver func(time.Time, ipv6.Packet, ipv6.Meta)) *lowpan.Interface {
	i := lowpan.NewInterface(lowpan.InterfaceConfig{Name: "mesh0", EUI64: routerEUI, PAN: pan, Deliver: deliver,
		LinkStatus: func(time.Time, ipv6.LinkAddr, bool) {}})
	i.SetContext(0, lowpan.Context{Prefix: mesh, Compress: true})
	for k := range uint64(registrations) {
		i.SetPeer(ipv6.EUI64(nodeEUI+k), lowpan.RegisteredPeer)
	}
	return i
}

// newRig joins the parts. With whole, the mesh port is a real interface.
func newRig(tb testing.TB, whole bool) *rig {
	tb.Helper()
	g := &rig{now: time.Now(), r: router.New(router.Config{}), meshEnd: end{name: "mesh0"}, hostEnd: end{name: "host0"}}
	var port router.Port = &g.meshEnd
	var machines []router.Machine
	if whole {
		g.iface = newInterface(func(now time.Time, p ipv6.Packet, m ipv6.Meta) { g.mesh.Deliver(now, p, m) })
		port, machines = g.iface, append(machines, g.iface)
	}
	lladdr := ipv6.EUI64(routerEUI)
	g.mesh = g.r.AddPort(router.PortConfig{Port: port, Kind: router.Mesh, Ingress: true, Machines: machines,
		LinkLocal: []netip.Addr{ipv6.LinkLocal(lladdr)}, Prefixes: []netip.Prefix{mesh}})
	n := nd.NewRouter(nd.RouterConfig{LinkAddr: lladdr, Addrs: []netip.Addr{routerAddr}, Prefix: mesh}, g.mesh, g.mesh)
	g.mesh.SetNeighbors(n)
	g.host = g.r.AddPort(router.PortConfig{Port: &g.hostEnd, Kind: router.Host, Ingress: true})
	g.r.AddAddress(routerAddr)
	g.r.FIB().Add(router.Route{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Port: g.host.Index(), Kind: router.RouteDefault})

	recs := make([]nd.Record, registrations)
	for k := range recs {
		ll := ipv6.EUI64(nodeEUI + uint64(k))
		rovr, _ := nd.ROVRFrom(ll.Append(nil))
		recs[k] = nd.Record{Addr: ipv6.WithIID(mesh, ll.IID()), LinkAddr: ll, ROVR: rovr, Expires: g.now.Add(time.Hour)}
	}
	n.Restore(g.now, recs)
	if got := len(n.Snapshot()); got != registrations {
		tb.Fatalf("%d registrations", got)
	}
	g.tx = newBatch()
	return g
}

func newBatch() []ieee802154.TxFrame {
	tx := make([]ieee802154.TxFrame, 32)
	for k := range tx {
		tx[k].Data = make([]byte, 0, ieee802154.MaxFrame)
	}
	return tx
}

// pull does what a radio does that has sent everything.
func pull(i *lowpan.Interface, now time.Time, tx []ieee802154.TxFrame) int {
	n := i.Next(now, tx)
	for k := range tx[:n] {
		tx[k].Status, tx[k].Attempts = ieee802154.TxAcked, 1
	}
	i.Done(now, tx[:n])
	return n
}

func rxFrames(frames [][]byte) []ieee802154.RxFrame {
	rx := make([]ieee802154.RxFrame, len(frames))
	for k := range rx {
		rx[k] = ieee802154.RxFrame{Data: frames[k], RSSI: -60, LQI: 200}
	}
	return rx
}

// A stage is one measured part of the way.
type stage struct {
	name  string
	aim   time.Duration // 0: none is set
	bytes int           // of the IPv6 packet
	// setup returns what is measured, once for each packet, and a check that n times did
	// what they should.
	setup func(tb testing.TB) (run func(), check func(n int))
}

func count(tb testing.TB, what string, got, want int) {
	tb.Helper()
	if got != want {
		tb.Fatalf("%d %s, want %d", got, what, want)
	}
}

// in measures frames of one packet into an interface alone.
func in(name string) func(tb testing.TB) (func(), func(int)) {
	return func(tb testing.TB) (func(), func(int)) {
		packets := 0
		i := newInterface(func(time.Time, ipv6.Packet, ipv6.Meta) { packets++ })
		now, rx := time.Now(), rxFrames(captured(tb, "frame", name))
		return func() {
			for k := range rx {
				i.Input(now, &rx[k])
			}
		}, func(n int) { count(tb, "packets", packets, n) }
	}
}

// out measures one packet through an interface alone, until its frames are acknowledged.
func out(name string, frames int) func(tb testing.TB) (func(), func(int)) {
	return func(tb testing.TB) (func(), func(int)) {
		i, tx, now, sent := newInterface(nil), newBatch(), time.Now(), 0
		p, dst := ipv6.Packet(captured(tb, "packet", name)[0]), ipv6.EUI64(nodeEUI)
		return func() {
			if err := i.Output(now, p, dst); err != nil {
				tb.Fatal(err)
			}
			sent += pull(i, now, tx)
		}, func(n int) { count(tb, "frames", sent, n*frames) }
	}
}

// fromEach is the captured CoAP answer, sent by each of the thousand nodes.
func fromEach(tb testing.TB) []ieee802154.RxFrame {
	frames := make([][]byte, registrations)
	for k := range frames {
		frames[k] = fromNode(captured(tb, "frame", "coap")[0], nodeEUI+uint64(k), uint8(k), true)
	}
	return rxFrames(frames)
}

// toEach is the captured CoAP request, to each of the thousand nodes.
func toEach(tb testing.TB) []ipv6.Packet {
	packets := make([]ipv6.Packet, registrations)
	for k := range packets {
		packets[k] = toNode(captured(tb, "packet", "coap")[0], nodeEUI+uint64(k))
	}
	return packets
}

// forwardUp measures Router.Input from the mesh port to the host port.
func forwardUp(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, false)
	packets, metas := make([]ipv6.Packet, registrations), make([]ipv6.Meta, registrations)
	k := 0
	i := newInterface(func(_ time.Time, p ipv6.Packet, m ipv6.Meta) {
		m.Port = g.mesh.Index()
		packets[k], metas[k] = append(ipv6.Packet(nil), p...), m
	})
	for rx := fromEach(tb); k < len(rx); k++ {
		i.Input(g.now, &rx[k])
	}
	k = 0
	return func() {
		packets[k].SetHopLimit(64)
		g.r.Input(g.now, packets[k], metas[k])
		if k++; k == len(packets) {
			k = 0
		}
	}, func(n int) { count(tb, "packets", g.hostEnd.packets, n) }
}

// forwardDown measures Router.Input from the host port to the mesh port.
func forwardDown(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, false)
	packets, m, k := toEach(tb), ipv6.Meta{Port: g.host.Index(), RSSI: ipv6.RSSIUnknown}, 0
	return func() {
		packets[k].SetHopLimit(64)
		g.r.Input(g.now, packets[k], m)
		if k++; k == len(packets) {
			k = 0
		}
	}, func(n int) { count(tb, "packets", g.meshEnd.packets, n) }
}

// wholeUp measures a frame of a node until its packet leaves by the host port.
func wholeUp(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, true)
	rx, k := fromEach(tb), 0
	return func() {
		g.iface.Input(g.now, &rx[k])
		if k++; k == len(rx) {
			k = 0
		}
	}, func(n int) { count(tb, "packets", g.hostEnd.packets, n) }
}

// wholeDown measures a packet from the host port until its frame is acknowledged.
func wholeDown(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, true)
	packets, m, k, sent := toEach(tb), ipv6.Meta{RSSI: ipv6.RSSIUnknown}, 0, 0
	return func() {
		packets[k].SetHopLimit(64)
		g.host.Deliver(g.now, packets[k], m)
		sent += pull(g.iface, g.now, g.tx)
		if k++; k == len(packets) {
			k = 0
		}
	}, func(n int) { count(tb, "frames", sent, n) }
}

// wholeFragmentsUp and wholeFragmentsDown are the same for a packet of 1280 bytes.
func wholeFragmentsUp(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, true)
	rx := rxFrames(captured(tb, "frame", "large"))
	return func() {
		for k := range rx {
			g.iface.Input(g.now, &rx[k])
		}
	}, func(n int) { count(tb, "packets", g.hostEnd.packets, n) }
}

func wholeFragmentsDown(tb testing.TB) (func(), func(int)) {
	g := newRig(tb, true)
	p, m, sent := ipv6.Packet(captured(tb, "packet", "large")[0]), ipv6.Meta{RSSI: ipv6.RSSIUnknown}, 0
	return func() {
		p.SetHopLimit(64)
		g.host.Deliver(g.now, p, m)
		sent += pull(g.iface, g.now, g.tx)
	}, func(n int) { count(tb, "frames", sent, n*largeFrames) }
}

// largeFrames is how many fragments 1280 bytes with compressed addresses take.
const largeFrames = 13

var stages = []stage{
	{"frame-in", 100, 87, in("coap")},
	{"packet-out", 100, 87, out("coap", 1)},
	{"13-fragments-in", 900, 1280, in("large")},
	{"13-fragments-out", 900, 1280, out("large", largeFrames)},
	{"forward-up", 300, 87, forwardUp},
	{"forward-down", 300, 87, forwardDown},
	{"whole-up", 0, 87, wholeUp},
	{"whole-down", 0, 87, wholeDown},
	{"whole-13-fragments-up", 0, 1280, wholeFragmentsUp},
	{"whole-13-fragments-down", 0, 1280, wholeFragmentsDown},
}

// BenchmarkStage measures each part of a packet's way, beside its aim in nanoseconds where
// there is one. Up is from the mesh to the host port, down the other way.
func BenchmarkStage(b *testing.B) {
	for _, s := range stages {
		b.Run(s.name, func(b *testing.B) {
			run, check := s.setup(b)
			n := 0
			b.ReportAllocs()
			b.SetBytes(int64(s.bytes))
			for b.Loop() {
				run()
				n++
			}
			check(n)
			if s.aim > 0 {
				b.ReportMetric(float64(s.aim.Nanoseconds()), "aim-ns")
			}
		})
	}
}

// TestStageAllocs asserts that none of them allocates, and that each carries every packet.
func TestStageAllocs(t *testing.T) {
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			run, check := s.setup(t)
			n := 0
			if a := testing.AllocsPerRun(2*registrations, func() { run(); n++ }); a != 0 {
				t.Errorf("%v allocations", a)
			}
			check(n)
		})
	}
}
