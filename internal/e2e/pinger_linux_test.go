package e2e_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"border-router/internal/netnstest"
)

// pingEvery is the time between two requests of pinging.
const pingEvery = 20 * time.Millisecond

// pinging has ns ping to while f runs. It returns how many requests were sent, and how many of
// them were answered, the last ones within a second from the end: ping(8) does not wait for
// these.
func pinging(t *testing.T, ns *netnstest.NS, to netip.Addr, f func()) (sent, answered int) {
	t.Helper()
	var conn *icmp.PacketConn
	var err error
	ns.Do(func() { conn, err = icmp.ListenPacket("ip6:ipv6-icmp", "::") })
	if err != nil {
		t.Fatal(err)
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeEchoReply)
	if err := conn.IPv6PacketConn().SetICMPFilter(&filter); err != nil {
		t.Fatal(err)
	}
	id := os.Getpid() & 0xffff
	var mu sync.Mutex
	got := map[int]bool{}
	have := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	var reader, sender sync.WaitGroup
	defer func() {
		conn.Close()
		reader.Wait()
	}()
	reader.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if a, ok := from.(*net.IPAddr); !ok || !a.IP.Equal(to.AsSlice()) {
				continue
			}
			m, err := icmp.ParseMessage(58, b[:n])
			if err != nil {
				continue
			}
			if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
				mu.Lock()
				got[e.Seq] = true
				mu.Unlock()
			}
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	sender.Go(func() {
		tick := time.NewTicker(pingEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			m := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: id, Seq: sent & 0xffff, Data: make([]byte, 32)}}
			b, err := m.Marshal(nil) // the kernel fills in the checksum
			if err != nil {
				t.Error(err)
				return
			}
			sent++
			_, _ = conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}) // what the host itself cannot send is lost, too
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	f()
	stop()
	sender.Wait()
	for end := startWatch(); have() < sent && end.took() < time.Second && end.wall() < 10*time.Second; {
		time.Sleep(pingEvery)
	}
	return sent, have()
}
