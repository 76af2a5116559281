package daemon

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/internal/ethernet"
	"border-router/internal/netnstest"
)

// TestDHCPPortRetry: a port that another client has is tried again, less and less often, and
// the status says why.
func TestDHCPPortRetry(t *testing.T) {
	netnstest.New(t).Do(func() {
		other, err := net.ListenUDP("udp6", &net.UDPAddr{Port: dhcpClientPort})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		s := newSite(t)
		c, l := s.c, s.d.lan
		c.started, l.up = false, true
		l.state = ethernet.State{Up: true, Name: "lo", Index: 1, LinkLocal: netip.IPv6Loopback()}
		now := s.now
		c.linkChanged(now, true)
		var waits []time.Duration
		for range 9 {
			if c.started || c.conn.udp != nil {
				t.Fatal("opened")
			}
			if st := c.status(now); st.State != "waiting" || !strings.Contains(st.Reason, "UDP 546") {
				t.Errorf("status %+v", st)
			}
			next := l.Deadline()
			if next.IsZero() {
				t.Fatal("not tried again")
			}
			waits = append(waits, next.Sub(now))
			now = next
			l.Advance(now)
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			if waits[i] != want*time.Second {
				t.Errorf("tried after %v, want %d s at number %d", waits[i], want, i)
			}
		}
		// Down and up again it begins anew.
		c.linkChanged(now, false)
		if d := c.conn.again; !d.IsZero() {
			t.Errorf("tried at %v, while the link is down", d)
		}
		c.linkChanged(now, true)
		if d := c.conn.again.Sub(now); d != firstPortRetry {
			t.Errorf("tried after %v", d)
		}
		// Without an address it waits for one, and for nothing else.
		l.state.LinkLocal = netip.Addr{}
		l.Advance(now.Add(firstPortRetry))
		if d := l.dhcp.conn.again; !d.IsZero() {
			t.Errorf("due %v ago, with no address to bind to", now.Add(firstPortRetry).Sub(d))
		}
		l.state.LinkLocal = netip.IPv6Loopback()
		c.sourceChanged(now)
		if d := c.conn.again.Sub(now); d != 2*firstPortRetry {
			t.Errorf("tried after %v", d)
		}
		other.Close()
		now = now.Add(2 * firstPortRetry)
		l.Advance(now)
		if st := c.status(now); !c.started || c.conn.udp == nil || st.State == "waiting" || st.Reason != "" {
			t.Errorf("%v, status %+v", c.started, st)
		}
		c.stop(now)
	})
}
