package daemon

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"border-router/internal/config"
	"border-router/internal/node"
	"border-router/internal/state"
)

// TestKilledWhenJoined kills the router's process the moment a node hears that it is
// registered: whatever a node has heard of is kept.
func TestKilledWhenJoined(t *testing.T) {
	if dir := os.Getenv("BORDER_ROUTER_TEST_STATE"); dir != "" {
		c := testConfig(t, config.Radio(os.Getenv("BORDER_ROUTER_TEST_RADIO")))
		c.StateDir = dir
		run(t, c)
		fmt.Println("runs")
		<-t.Context().Done()
		return
	}
	const nodes = 12
	for last := 1; last <= nodes; last += 2 {
		radio := fmt.Sprintf("zep://%s?channel=26&pan=0x0023", freePort(t))
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhenJoined$", "-test.v")
		cmd.Env = append(os.Environ(), "BORDER_ROUTER_TEST_STATE="+dir, "BORDER_ROUTER_TEST_RADIO="+radio)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(out); ; {
			if !s.Scan() {
				t.Fatal("the router ended")
			}
			if s.Text() == "runs" {
				break
			}
		}

		var mu sync.Mutex
		joined := map[netip.Addr]bool{}
		killed := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range uint64(nodes) {
			n, err := node.New(node.Config{Radio: strings.Replace(radio, "?", "?mode=client&pace=off&", 1), EUI64: 0x0200_5e10_0000_0100 + i, OnChange: func(s node.State) {
				mu.Lock()
				defer mu.Unlock()
				select {
				case <-killed:
					return // what comes now was on its way
				default:
				}
				for _, a := range s.Addrs {
					joined[a] = true
				}
				if len(joined) == last {
					_ = cmd.Process.Kill()
					close(killed)
				}
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() { n.Run(ctx) })
		}
		select {
		case <-killed:
		case <-time.After(2 * time.Minute):
			_ = cmd.Process.Kill()
			t.Error("the nodes did not join")
		}
		_ = cmd.Wait()
		cancel()
		running.Wait()

		store, err := state.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := store.Registrations("")
		if err != nil {
			t.Fatal(err)
		}
		kept := map[netip.Addr]bool{}
		for _, r := range recs {
			kept[r.Addr] = true
		}
		for a := range joined {
			if !kept[a] {
				t.Errorf("killed when %d nodes had joined: %v is not kept among %d", last, a, len(recs))
			}
		}
		store.Close()
	}
}

// TestBindingKept: an answer that tells a node of a lease goes out when that is on the disk.
func TestBindingKept(t *testing.T) {
	c := testConfig(t, "zep://127.0.0.1:0")
	c.StateDir, c.DHCP.Server = t.TempDir(), config.DHCPServerStateful
	d, _ := run(t, c)
	m := d.meshes[0]
	down := dhcpDown{d, m}
	sent := func() (n uint64) {
		_ = d.do(t.Context(), func(time.Time) { n = m.link.Stats().Originated + m.link.Stats().SendFailures })
		return n
	}
	answer := func(changed bool) (now uint64) {
		_ = d.do(t.Context(), func(at time.Time) {
			before := m.link.Stats()
			if changed {
				dhcpBound{d, m}.keep()
			}
			down.SendUDP(at, netip.MustParseAddrPort("[fe80::1]:546"), []byte{7, 0, 0, 0})
			after := m.link.Stats()
			now = after.Originated + after.SendFailures - before.Originated - before.SendFailures
		})
		return now
	}
	d.store.Flush()
	before := sent()
	if n := answer(false); n != 1 {
		t.Errorf("nothing changed: %d answers", n)
	}
	if n := answer(true); n != 0 {
		t.Errorf("answered before it is kept: %d", n)
	}
	eventually(t, "the answer", func() bool { return sent() >= before+2 })
	if _, ok := d.store.Get(keyBound + m.name); !ok {
		t.Error("not kept")
	}
}
