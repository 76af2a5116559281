package daemon

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"border-router/internal/config"
)

// TestHeldAnswers: answers wait for the disk, in their order, each once, not for ever, and not
// without bound.
func TestHeldAnswers(t *testing.T) {
	var h heldAnswers
	var ticket uint64
	commit := func() uint64 { ticket++; return ticket }
	now := time.Unix(1_800_000_000, 0)
	client := func(n int) netip.AddrPort {
		return netip.MustParseAddrPort(fmt.Sprintf("[fe80::%x]:546", n))
	}
	hold := func(n int, payload string) bool { return h.hold(now, client(n), []byte(payload), commit) }
	check := func(what string, got []heldAnswer, want ...string) {
		t.Helper()
		list := []string{}
		for _, a := range got {
			list = append(list, string(a.payload))
		}
		if fmt.Sprint(list) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, list, want)
		}
	}

	payload := []byte("a")
	if !h.hold(now, client(1), payload, commit) || !hold(2, "b") || !hold(1, "a") || !hold(1, "c") {
		t.Fatal("not held")
	}
	payload[0] = 'x' // is the sender's again
	if ticket != 3 {
		t.Errorf("%d writes, want 3", ticket)
	}
	check("written up to the second", h.committed(2), "a", "b")
	check("again", h.committed(2))
	if d := h.due(); d != now.Add(maxHeldTime) {
		t.Errorf("due after %v", d.Sub(now))
	}
	check("early", h.late(now.Add(maxHeldTime-1)))
	check("late", h.late(now.Add(maxHeldTime)), "c")
	if hold(3, "d") {
		t.Error("a disk that takes too long is waited for again")
	}
	check("heard of", h.committed(3))
	if !hold(3, "d") {
		t.Error("a disk that was heard of is not waited for")
	}
	check("written", h.committed(ticket), "d")
	if h.hold(now, client(4), nil, func() uint64 { return 0 }) {
		t.Error("held for nothing")
	}
	for n := range maxHeldAnswers {
		if h.full() || !hold(n, "e") {
			t.Fatalf("full with %d", n)
		}
	}
	if !h.full() || hold(maxHeldAnswers, "e") {
		t.Error("no bound")
	}
	if n := len(h.committed(ticket)); n != maxHeldAnswers || h.full() || !h.due().IsZero() {
		t.Errorf("%d answers", n)
	}
}

// TestHeldAnswerLate: an answer goes out though the disk does nothing, and no bindings are
// made while too many wait.
func TestHeldAnswerLate(t *testing.T) {
	c := testConfig(t, "zep://127.0.0.1:0")
	c.DHCP.Server = config.DHCPServerStateful
	d, _ := run(t, c)
	m := d.meshes[0]
	dst := netip.MustParseAddrPort("[fe80::1]:546")
	_ = d.do(t.Context(), func(now time.Time) {
		sent := func() uint64 { return m.link.Stats().Originated + m.link.Stats().SendFailures }
		before := sent()
		var ticket uint64
		for n := range maxHeldAnswers {
			m.held.hold(now, dst, []byte{7, 0, 0, byte(n)}, func() uint64 { ticket++; return ticket })
		}
		rapid := []byte{1, 0, 0, 1, 0, 1, 0, 4, 0, 3, 0, 1, 0, 14, 0, 0, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		rapid[7] = 10
		rapid = append(rapid[:12:12], append([]byte{0, 27, 2, 0, 0, 0}, rapid[12:]...)...)
		err := m.server.HandleMessage(now, dst, rapid)
		if err == nil || err.Error() != "dhcp6_busy" || len(m.server.Bindings()) != 0 {
			t.Errorf("too many wait: %v, bindings %v", err, m.server.Bindings())
		}
		w := meshWork{d, m}
		if at := w.Deadline(); at.After(now.Add(maxHeldTime)) {
			t.Errorf("due after %v", at.Sub(now))
		}
		w.Advance(now.Add(maxHeldTime))
		if n := sent() - before; n != maxHeldAnswers {
			t.Errorf("%d answers, want %d", n, maxHeldAnswers)
		}
		if err := m.server.HandleMessage(now, dst, rapid); err != nil || len(m.server.Bindings()) != 1 {
			t.Errorf("then: %v, bindings %v", err, m.server.Bindings())
		}
	})
}
