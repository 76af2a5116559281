package node

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"border-router/ieee802154"
	"border-router/internal/api"
	"border-router/lowpan"
	"border-router/zep"
)

// TestNodeSleeps: a node that polls every 300 ms joins over a real hub and answers pings of
// one frame and of many; in between its receiver is off.
func TestNodeSleeps(t *testing.T) {
	router, hub := startRouter(t)
	n, stop := startNodeWith(t, hub, Config{EUI64: 0x0200_0000_0000_0077, PollInterval: 300 * time.Millisecond})
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, size := range []int{8, 1000} {
		answered := 0
		err := router.Ping(ctx, api.PingRequest{Addr: n.State().Addrs[0], Count: 3, Size: size, Timeout: 8}, func(r api.PingReply) error {
			if !r.Sent && r.Error == "" {
				answered++
			}
			return nil
		})
		if err != nil || answered != 3 {
			t.Fatalf("%d of 3 pings of %d bytes answered: %v", answered, size, err)
		}
	}
	var st lowpan.Stats
	if err := n.Do(ctx, func(_ time.Time, d *Device) { st = d.Iface.Stats() }); err != nil {
		t.Fatal(err)
	}
	if p := st.Poller; p.Polls == 0 || p.Pending < 6 || p.Received < 6+11 {
		t.Errorf("%+v", p)
	}
}

// deaf hides what a radio can do beyond sending and receiving.
type deaf struct{ ieee802154.Radio }

// A radio whose receiver cannot be switched off is refused.
func TestNodeSleepsNeedsReceiver(t *testing.T) {
	_, hub := startRouter(t)
	_, err := New(Config{EUI64: 2, PollInterval: time.Second, Open: func(eui64 uint64, _ uint16) (ieee802154.Radio, error) {
		r, err := zep.Open(zep.Config{Mode: zep.Client, Remote: []netip.AddrPort{hub}, EUI64: eui64})
		return deaf{r}, err
	}}, nil)
	if err == nil || !strings.Contains(err.Error(), "receiver") {
		t.Fatalf("error %v", err)
	}
}

// TestScan: an active scan over a real hub finds the router, from whatever PAN it is done.
func TestScan(t *testing.T) {
	_, hub := startRouter(t)
	r, err := zep.Open(zep.Config{Mode: zep.Client, Remote: []netip.AddrPort{hub}, EUI64: 2, PAN: ieee802154.BroadcastPAN})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wake := time.AfterFunc(20*time.Second, func() { r.Close() }) // a scan that hears nothing has failed
	defer wake.Stop()
	if err := r.Transmit([]ieee802154.TxFrame{{Data: ieee802154.AppendBeaconRequest(nil, 1)}}); err != nil {
		t.Fatal(err)
	}
	batch := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
	for {
		if _, err := r.Receive(batch); err != nil {
			t.Fatalf("no beacon: %v", err)
		}
		var d ieee802154.PANDescriptor
		if d.Parse(batch[0].Data) != nil {
			continue
		}
		if d.PAN != zep.DefaultPAN || !d.PANCoordinator() || d.AssociationPermit() || d.Addr.Mode != ieee802154.AddrExtended {
			t.Fatalf("%+v", d)
		}
		return
	}
}
