package router

import (
	"net/netip"
	"testing"
	"time"

	"border-router/ipv6"
)

// evicting is a Neighbors that has to give up a packet before it can hold the next one.
type evicting struct {
	table
	l      *Link
	victim ipv6.Packet
}

func (n *evicting) Resolve(now time.Time, dst netip.Addr, p ipv6.Packet, owner int) (ipv6.LinkAddr, error) {
	if v := n.victim; v != nil {
		n.victim = nil
		n.l.r.links[1].stats.Received++
		n.l.r.links[1].stats.Held++
		n.l.Unresolved(now, v, 1, DropNoRoute)
	}
	return n.table.Resolve(now, dst, p, owner)
}

// TestResolveGivesUpAnother has address resolution for a packet of ours give up another
// packet, about which an error is sent meanwhile: neither may spoil the other.
func TestResolveGivesUpAnother(t *testing.T) {
	f := newFixture(Config{})
	n := &evicting{table: table{known: map[netip.Addr]ipv6.LinkAddr{}}, l: f.ml}
	f.ml.SetNeighbors(n)
	n.victim = udp(lanHost, nodeB, 64, 900)
	f.r.Input(t0, echoRequest(nodeA, adr("fd00:1::"), 100), meshMeta)
	var reply ipv6.Packet
	for _, h := range n.held {
		if h.owner == originator {
			reply = h.p
		}
	}
	if reply == nil {
		t.Fatalf("no reply was held: %d packets", len(n.held))
	}
	if reply = parse(t, reply); reply.Dst() != nodeA || reply[ipv6.HeaderLen] != ipv6.ICMPEchoReply {
		t.Errorf("held %x", []byte(reply))
	}
	e := parse(t, f.host.take(t))
	if e.Dst() != lanHost || e[ipv6.HeaderLen] != ipv6.ICMPUnreachable {
		t.Errorf("sent %x", []byte(e))
	}
	if cap(f.r.scratch) < ipv6.MaxPacket {
		t.Error("the buffer was not put back")
	}
	f.check(t)
}

// TestEchoInFragments answers a request that is longer than the link's MTU in pieces that
// fit.
func TestEchoInFragments(t *testing.T) {
	f := newFixture(Config{})
	req := echoRequest(adr("fe80::a"), ownLL, 2000)
	for _, q := range fragment(req, 1280) {
		f.r.Input(t0, q, meshMeta)
	}
	if len(f.mesh.sent) != 2 {
		t.Fatalf("%d packets", len(f.mesh.sent))
	}
	re := ipv6.NewReassembler(ipv6.ReassemblyConfig{MaxSize: 4000, Released: func(time.Time, int, int, error) {}})
	var whole ipv6.Packet
	for _, q := range f.mesh.sent {
		if len(q) > 1280 {
			t.Errorf("a packet of %d bytes", len(q))
		}
		whole, _ = re.Input(t0, q, hostMeta)
	}
	if whole == nil || whole[ipv6.HeaderLen] != ipv6.ICMPEchoReply || len(whole) != len(req) || ipv6.CheckTransport(whole) != nil {
		t.Errorf("answer %x", []byte(whole))
	}
	f.check(t)
}

// TestFragmentsForHost has fragments for the host port arrive while a ping of ours to their
// sender is under way: they go there, in pieces that it takes.
func TestFragmentsForHost(t *testing.T) {
	reply := ipv6.Packet(ipv6.AppendICMP(nil, ipv6.ICMPEchoReply, 0, 0x77770001, make([]byte, 3000), nodeA, ownAddr, 64))
	for name, p := range map[string]ipv6.Packet{"udp": udp(nodeA, ownAddr, 64, 3000), "another's ping": reply} {
		f := newFixture(Config{})
		if err := f.r.Ping(t0, Ping{Dst: nodeA, Seq: 1, Done: func(PingResult) {}}); err != nil {
			t.Fatal(err)
		}
		for _, q := range fragment(p, 1280) {
			f.r.Input(t0, q, meshMeta)
		}
		re := ipv6.NewReassembler(ipv6.ReassemblyConfig{MaxSize: 4000, Released: func(time.Time, int, int, error) {}})
		var whole ipv6.Packet
		for _, q := range f.host.sent {
			if len(q) > f.host.mtu {
				t.Errorf("%s: a packet of %d bytes", name, len(q))
			}
			whole, _ = re.Input(t0, q, hostMeta)
		}
		if len(whole) != len(p) || ipv6.CheckTransport(whole) != nil {
			t.Errorf("%s: %d packets, %d bytes, want %d", name, len(f.host.sent), len(whole), len(p))
		}
		f.check(t)
	}
}

// TestFragmentedND has neighbor discovery come in fragments: it is not what a node sends (RFC
// 6980 section 5). In a single fragment it comes to the machine as it is, which refuses it.
func TestFragmentedND(t *testing.T) {
	for typ := uint8(ipv6.ICMPRouterSolicitation); typ <= ipv6.ICMPRedirect; typ++ {
		f := newFixture(Config{})
		p := ipv6.Packet(ipv6.AppendICMP(nil, typ, 0, 0, make([]byte, 2000), adr("fe80::a"), ownLL, 255))
		for _, q := range fragment(p, 1280) {
			f.r.Input(t0, q, meshMeta)
		}
		if f.nb.nd != 0 || f.ml.Drops()[DropFragmentedND.Error()] != 1 || len(f.mesh.sent) != 0 {
			t.Errorf("type %d: taken %d, %v", typ, f.nb.nd, f.ml.Drops())
		}
		f.check(t)
	}
}
