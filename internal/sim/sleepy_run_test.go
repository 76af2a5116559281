package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"border-router/internal/api"
)

// TestRunSleepy: nodes that sleep, over sockets: they join, are listed as such, and answer.
func TestRunSleepy(t *testing.T) {
	cfg := testConfig(t)
	cfg.Nodes, cfg.Classic, cfg.Sleepy, cfg.Poll = 3, 1, 1, 200*time.Millisecond
	cfg.Router.Lowpan.GHC = true
	out, stop := start(t, cfg)
	defer stop()
	out.wait(t, "has joined", 3)
	if !strings.Contains(out.String(), "1 that sleep 200ms") {
		t.Errorf("%s", out)
	}
	client := api.NewClient(cfg.Router.Socket)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var sleepy []api.Neighbor
	for len(sleepy) == 0 {
		list, err := client.Neighbors(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range list {
			if n.Registered && n.Sleep != nil {
				sleepy = append(sleepy, n)
			}
		}
	}
	if len(sleepy) != 1 {
		t.Fatalf("%+v", sleepy)
	}
	answered := false
	err := client.Ping(ctx, api.PingRequest{Addr: sleepy[0].Addr, Count: 1, Size: 300, Timeout: 10}, func(r api.PingReply) error {
		answered = answered || !r.Sent && r.Error == ""
		return nil
	})
	if err != nil || !answered {
		t.Errorf("answered %v, %v", answered, err)
	}
}

// TestRunRefuses: more nodes of a kind than there are.
func TestRunRefuses(t *testing.T) {
	for _, c := range []Config{{Nodes: 2, Classic: 3}, {Nodes: 2, Classic: 1, Sleepy: 2}, {Nodes: -1}, {Nodes: 2, Sleepy: -1}} {
		if err := Run(t.Context(), c, newOutput(), nil); err == nil || !strings.Contains(err.Error(), "at least as many nodes") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
