package mld

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// A medium is a link that loses packets, in virtual time: what one sends, all others hear.
type medium struct {
	t     testing.TB
	now   time.Time
	rand  *rand.Rand
	loss  float64
	nodes []*medNode
	queue []flight
	count int
	all   []ipv6.Packet
}

type flight struct {
	at   time.Time
	p    ipv6.Packet
	from *medNode
}

type medNode struct {
	m  *medium
	ll ipv6.LinkAddr
	l  *Listener
	q  *Querier
}

func (n *medNode) SendPacket(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) {
	if err := ipv6.CheckTransport(p); err != nil {
		n.m.t.Error(err)
	}
	n.m.count++
	p = bytes.Clone(p)
	if len(n.m.all) < 2000 {
		n.m.all = append(n.m.all, p)
	}
	n.m.queue = append(n.m.queue, flight{now.Add(5 * time.Millisecond), p, n})
}

func (m *medium) run(d time.Duration) {
	end := m.now.Add(d)
	for {
		var at time.Time
		for _, n := range m.nodes {
			if n.l != nil {
				at = earlier(at, n.l.Deadline())
			}
			if n.q != nil {
				at = earlier(at, n.q.Deadline())
			}
		}
		if len(m.queue) > 0 {
			at = earlier(at, m.queue[0].at)
		}
		if at.IsZero() || at.After(end) {
			m.now = end
			return
		}
		if at.After(m.now) {
			m.now = at
		}
		for len(m.queue) > 0 && !m.queue[0].at.After(m.now) {
			f := m.queue[0]
			m.queue = m.queue[1:]
			for _, n := range m.nodes {
				if n == f.from || m.rand.Float64() < m.loss {
					continue
				}
				if n.l != nil {
					n.l.HandlePacket(m.now, f.p, metaOf(f.from.ll))
				}
				if n.q != nil {
					n.q.HandlePacket(m.now, f.p, metaOf(f.from.ll))
				}
			}
		}
		for _, n := range m.nodes {
			if n.l != nil {
				n.l.Advance(m.now)
			}
			if n.q != nil {
				n.q.Advance(m.now)
			}
		}
	}
}

func (m *medium) node(i int) *medNode {
	n := &medNode{m: m, ll: ipv6.EUI64(0x0200_0000_0000_0000 + uint64(i))}
	m.nodes = append(m.nodes, n)
	return n
}

func linkLocal(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
}

// A day of a link that loses two packets in a hundred, with two routers, one of them away for some
// hours, and hosts that come, change their minds and go: both routers forward what is wanted
// always, and in the end nothing else; and they send no more than they should.
func TestDay(t *testing.T) {
	m := &medium{t: t, now: epoch, rand: rand.New(rand.NewPCG(5, 5)), loss: 0.02}
	var routers [2]*medNode
	for i := range routers {
		n := m.node(1 + i)
		n.q = NewQuerier(QuerierConfig{Source: linkLocal(1 + i), Robustness: 4, FastLeave: false}, n, nil)
		n.q.Start(m.now)
		routers[i] = n
	}
	const hosts = 8
	groups := []netip.Addr{site, netip.MustParseAddr("ff05::2"), netip.MustParseAddr("ff08::3"), netip.MustParseAddr("ff33:40:fd00::1")}
	for i := range hosts {
		n := m.node(100 + i)
		n.l = NewListener(ListenerConfig{Source: linkLocal(100 + i), Robustness: 4}, n)
	}
	away := false
	for hour := range 24 {
		for range 12 {
			n := m.nodes[2+m.rand.IntN(hosts)]
			g := groups[m.rand.IntN(len(groups))]
			var src []netip.Addr
			for _, a := range addrs("abc") {
				if m.rand.IntN(2) == 0 {
					src = append(src, a)
				}
			}
			if err := n.l.SetFilter(m.now, g, Mode(m.rand.IntN(2)), src); err != nil {
				t.Fatal(err)
			}
			m.run(5 * time.Minute)
			for _, r := range routers {
				if away && r == routers[0] {
					continue
				}
				for _, g := range groups {
					var want Filter
					for _, n := range m.nodes[2:] {
						if s := n.l.groups[g.As16()]; s != nil {
							want = want.Merge(s.state)
						}
					}
					for _, a := range addrs("abcd") {
						if want.Wants(a) && !r.q.Wants(m.now, g, a) {
							for _, n := range m.nodes[2:] {
								if s := n.l.groups[g.As16()]; s != nil {
									t.Logf("%v %v %+v", n.ll, m.now, *s)
								}
							}
							t.Fatalf("hour %d: %v from %v is not forwarded: %+v", hour, g, a, r.q.Snapshot())
						}
					}
				}
			}
		}
		switch hour {
		case 8:
			routers[0].q.Stop(m.now)
			away = true
			m.run(20 * time.Minute)
			if !routers[1].q.IsQuerier() {
				t.Error("the second router did not take over")
			}
		case 12:
			routers[0].q.Start(m.now)
			away = false
			m.run(10 * time.Minute)
			if routers[1].q.IsQuerier() || !routers[0].q.IsQuerier() {
				t.Error("the first router did not come back")
			}
		}
	}
	for _, n := range m.nodes[2:] {
		for _, g := range groups {
			n.l.SetFilter(m.now, g, Include, nil)
		}
	}
	m.run(time.Hour)
	for _, r := range routers {
		if len(r.q.groups) != 0 {
			t.Errorf("left: %+v", r.q.Snapshot().Groups)
		}
	}
	for _, n := range m.nodes[2:] {
		if len(n.l.groups) != 0 {
			t.Error("listener keeps a group")
		}
	}
	t.Logf("%d packets in a day", m.count)
	if m.count > 20_000 {
		t.Errorf("%d packets", m.count)
	}
}

// A day of a mesh whose querier is quiet: a hundred nodes that sleep and do not move.
func TestQuietDay(t *testing.T) {
	m := &medium{t: t, now: epoch, rand: rand.New(rand.NewPCG(6, 6)), loss: 0.2}
	br := m.node(1)
	br.q = NewQuerier(QuerierConfig{Source: linkLocal(1), Robustness: 3, QueryInterval: -1, QueryResponseInterval: time.Minute, LastListenerQueryInterval: 30 * time.Second,
		LastListenerQueryCount: 4, ListeningInterval: 6 * time.Hour, Limits: Limits{Listeners: 10}}, br, nil)
	br.q.Start(m.now)
	for i := range 5 {
		n := m.node(100 + i)
		n.l = NewListener(ListenerConfig{Source: linkLocal(100 + i), Robustness: 3}, n)
		n.l.Join(m.now, site)
	}
	m.run(time.Hour)
	m.count = 0
	m.run(24 * time.Hour)
	if !br.q.Wants(m.now, site, addr('a')) {
		t.Error("forgotten")
	}
	if list, ok := br.q.Listeners(site, nil); len(list) != 5 || !ok {
		t.Errorf("%v, %v", list, ok)
	}
	t.Logf("%d packets in a day", m.count)
	if m.count > 4*(4+4*5) {
		t.Errorf("%d packets", m.count)
	}
}

// TestTshark has tshark read what the machines send: no malformed packet, right checksums,
// and the fields that we meant.
func TestTshark(t *testing.T) {
	bin, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	var all []ipv6.Packet
	r := settled(t, QuerierConfig{Robustness: 3, QueryInterval: 2 * time.Hour, QueryResponseInterval: 50 * time.Second})
	r.report(hostMA, Record{IsExclude, site, sources("ab")}, Record{Allow, site, sources("cd")}, Record{ToInclude, site, nil})
	r.wait(time.Minute)
	r = &rig{t: t, now: epoch, out: r.out, ev: r.ev}
	r.q = NewQuerier(QuerierConfig{Source: ourLL, Version1: true}, r.out, nil)
	r.q.Start(r.now)
	r.report(hostMA, Record{IsExclude, site, nil}, Record{ToInclude, site, nil})
	r.wait(time.Minute)
	all = append(all, r.out.all...)
	h := newHost(t, ListenerConfig{})
	for i, v := range []Filter{{Include, addrs("ab")}, {Exclude, addrs("bc")}, {Exclude, addrs("cd")}, {Include, addrs("e")}, {}} {
		h.l.SetFilter(h.now, site, v.Mode, v.Sources)
		h.l.Join(h.now, netip.MustParseAddr(fmt.Sprintf("ff02::%x", i+5)))
		h.query(Query{MaxResponse: time.Second, QRV: 2})
		h.wait(10 * time.Second)
	}
	h.query(Query{Version: 1, MaxResponse: time.Second})
	h.wait(10 * time.Second)
	h.l.Leave(h.now, netip.MustParseAddr("ff02::5"))
	all = append(all, h.out.all...)

	// pcap, LINKTYPE_IPV6.
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 229, 0, 0, 0)
	for _, p := range all {
		b = append(b, make([]byte, 8)...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	name := filepath.Join(t.TempDir(), "mld.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-n", "-r", name, "-T", "fields", "-E", "separator=|", "-e", "icmpv6.type", "-e", "icmpv6.checksum.status",
		"-e", "ipv6.hlim", "-e", "ipv6.opt.router_alert", "-e", "_ws.malformed", "-e", "_ws.expert.message",
		"-e", "icmpv6.mldr.mar.record_type", "-e", "icmpv6.mld.maximum_response_code", "-e", "icmpv6.mld.qqi")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(all) {
		t.Fatalf("tshark read %d of %d packets", len(lines), len(all))
	}
	seen := map[string]bool{}
	for i, line := range lines {
		f := strings.Split(line, "|")
		if f[0] != fmt.Sprint(all[i][overhead]) || f[1] != "1" || f[2] != "1" || f[3] != "0" || f[4] != "" || f[5] != "" {
			t.Errorf("%q for %x", line, []byte(all[i]))
		}
		seen["type "+f[0]] = true
		for _, r := range strings.Split(f[6], ",") {
			seen["record "+r] = true
		}
		if q, err := ParseQuery(all[i][overhead:]); err == nil && q.Version == 2 {
			if f[7] != fmt.Sprint(q.MaxResponse.Milliseconds()) || f[8] != fmt.Sprint(int(q.QQI.Seconds())) {
				t.Errorf("%q for %+v", line, q)
			}
		}
	}
	for _, s := range []string{"type 130", "type 131", "type 132", "type 143", "record 1", "record 2", "record 3", "record 4", "record 5", "record 6"} {
		if !seen[s] {
			t.Errorf("no %s was sent", s)
		}
	}
}
