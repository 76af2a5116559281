package lowpan

import (
	"slices"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

const sameShort = 0x0042

// TestSame: a node that asks with one of its addresses is sent what waits for the other, and
// its radio is told of both, whichever way and whenever it becomes known that they are of one.
func TestSame(t *testing.T) {
	short, ext := ipv6.Short(sameShort), ipv6.EUI64(euiB)
	for _, row := range []struct {
		name      string
		ask, dst  ipv6.LinkAddr
		afterwait bool // it becomes known when something waits already
		learnt    bool // and the node has asked before
	}{
		{name: "asks with the short one", ask: short, dst: ext},
		{name: "asks with the EUI-64", ask: ext, dst: short},
		{name: "known late", ask: short, dst: ext, afterwait: true},
		{name: "known late, asked before", ask: short, dst: ext, afterwait: true, learnt: true},
		{name: "EUI-64, known late, asked before", ask: ext, dst: short, afterwait: true, learnt: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := time.Unix(100, 0)
			s, m := sleepyStation(t, InterfaceConfig{})
			if !row.afterwait && !s.SetSame(now, short, ext) {
				t.Fatal("not taken")
			}
			if !row.afterwait || row.learnt {
				s.input(t, now, dataRequest(1, macAddr(row.ask)))
			}
			if row.afterwait && !row.learnt {
				s.SetSleep(now, row.dst, SleepAlways)
			}
			if err := s.Output(now, testUDP(linkTo(euiA, row.dst), 250), row.dst); err != nil {
				t.Fatal(err)
			}
			if row.afterwait && !s.SetSame(now, ext, short) {
				t.Fatal("not taken")
			}
			if len(m.addrs) != 2 || !slices.Contains(m.addrs, macAddr(short)) || !slices.Contains(m.addrs, macAddr(ext)) {
				t.Fatalf("pending for %v", m.addrs)
			}
			if n := len(s.one(t, now, ieee802154.TxAcked)); n != 0 {
				t.Fatalf("%d frames that nobody asked for", n)
			}
			for k := range uint8(3) {
				now = now.Add(time.Second)
				s.input(t, now, dataRequest(2+k, macAddr(row.ask)))
				f := s.one(t, now, ieee802154.TxAcked)
				if len(f) != 1 || f[0].Dst != macAddr(row.dst) || f[0].Pending != (k < 2) {
					t.Fatalf("data request %d: %+v", k, f)
				}
			}
			if st := s.Stats(); len(m.addrs) != 0 || st.Sleepers != 1 || st.IndirectHeld != 0 || st.DatagramsSent != 1 {
				t.Errorf("pending for %v, %+v", m.addrs, st)
			}
		})
	}
}

// TestSameBoth: datagrams for both addresses go out one after the other, the one that was
// begun first, and the last frame alone does not say that more waits.
func TestSameBoth(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{})
	short, ext := ipv6.Short(sameShort), ipv6.EUI64(euiB)
	s.SetSame(now, short, ext)
	s.input(t, now, dataRequest(1, macAddr(short)))
	s.Output(now, testUDP(linkTo(euiA, short), 250), short)
	s.Output(now.Add(time.Millisecond), testUDP(linkTo(euiA, ext), 60), ext)
	var got []ieee802154.Frame
	for k := range uint8(8) {
		now = now.Add(time.Second)
		s.input(t, now, dataRequest(2+k, macAddr(short)))
		got = append(got, s.one(t, now, ieee802154.TxAcked)...)
	}
	if len(got) != 4 || got[0].Dst != macAddr(short) || got[2].Dst != macAddr(short) || got[3].Dst != macAddr(ext) {
		t.Fatalf("%d frames: %+v", len(got), got)
	}
	for k, f := range got {
		if f.Pending != (k < 3) {
			t.Errorf("frame %d: pending %v", k, f.Pending)
		}
	}
	// What is never asked for expires under both addresses at once.
	s.Output(now, testUDP(linkTo(euiA, short), 150), short)
	s.SetSleep(now, ext, SleepAlways)
	s.Advance(now.Add(10 * time.Minute))
	if st := s.Stats(); len(m.addrs) != 0 || st.TxDrops[DropIndirect] != 1 || st.DatagramsQueued != 0 {
		t.Errorf("pending for %v, %+v", m.addrs, st)
	}
}

// TestSameChanges: a node that is given another short address is no longer known by the one
// of before; there is a bound; and what is no pair of one node's addresses is refused.
func TestSameChanges(t *testing.T) {
	now := time.Unix(100, 0)
	s, m := sleepyStation(t, InterfaceConfig{Limits: Limits{Peers: 1}})
	short, next, ext := ipv6.Short(sameShort), ipv6.Short(sameShort+1), ipv6.EUI64(euiB)
	s.SetSame(now, short, ext)
	s.input(t, now, dataRequest(1, macAddr(short)))
	s.Output(now, testUDP(linkTo(euiA, ext), 60), ext)
	if !s.SetSame(now, next, ext) {
		t.Fatal("another short address is refused")
	}
	if slices.Contains(m.addrs, macAddr(short)) || !slices.Contains(m.addrs, macAddr(next)) {
		t.Errorf("pending for %v", m.addrs)
	}
	s.input(t, now, dataRequest(2, macAddr(short))) // somebody else by now
	if f := s.one(t, now, ieee802154.TxAcked); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	if s.SetSame(now, ipv6.Short(9), ipv6.EUI64(9)) {
		t.Error("more than the limit")
	}
	for _, p := range [][2]ipv6.LinkAddr{{ext, ext}, {short, next}, {short, {}}, {ipv6.BroadcastShort, ext}, {short, ipv6.EUI64(euiA)}} {
		if s.SetSame(now, p[0], p[1]) {
			t.Errorf("%v is taken", p)
		}
	}
}

// TestSameConfigured: the addresses of a device with security are known from the start.
func TestSameConfigured(t *testing.T) {
	s := newStation(InterfaceConfig{EUI64: euiA, Security: &Security{
		Level: 5, KeyIDMode: 1, KeyIndex: 1, Reserved: MaxCounter, Devices: []SecureDevice{{EUI64: euiB, Short: sameShort}},
	}})
	if s.node(ipv6.Short(sameShort)) != ipv6.EUI64(euiB) {
		t.Error("not known")
	}
}
