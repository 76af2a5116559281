package coap

import (
	"net/netip"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
)

var everyone = netip.MustParseAddr("ff05::fd")

// TestMulticast: a request to a group is answered once, at a random time within the
// leisure, as a non-confirmable message, and only where there is something to say.
func TestMulticast(t *testing.T) {
	g := newRig(t, Options{})
	non, con := message.NonConfirmable, message.Confirmable
	for i, tt := range []struct {
		name   string
		b      []byte
		want   error
		answer codes.Code // 0: none
	}{
		{"discovery", g.encode(non, 1, codes.GET, wellKnownPath, "a", nil), nil, codes.Content},
		{"again", g.encode(non, 1, codes.GET, wellKnownPath, "a", nil), DropDuplicate, 0},
		{"with Observe, which is ignored", g.encode(non, 2, codes.GET, "/counter", "b", nil, opt(message.Observe)), nil, codes.Content},
		{"action", g.encode(non, 3, codes.PUT, "/large", "c", []byte("x")), nil, codes.Changed},
		{"nothing found", g.encode(non, 4, codes.GET, wellKnownPath, "d", nil, opt(message.URIQuery, []byte("rt=nowhere")...)), DropQuiet, 0},
		{"no such resource", g.encode(non, 5, codes.GET, "/nowhere", "e", nil), DropQuiet, 0},
		{"no such resource, but said to be of interest", g.encode(non, 6, codes.GET, "/nowhere", "e", nil, uintOpt(message.NoResponse, 2)), nil, codes.NotFound},
		{"not of interest", g.encode(non, 7, codes.GET, wellKnownPath, "e", nil, uintOpt(message.NoResponse, 2)), DropQuiet, 0},
		{"confirmable", g.encode(con, 8, codes.GET, wellKnownPath, "f", nil), DropMulticast, 0},
		{"ping", []byte{0x40, 0, 0, 9}, DropMulticast, 0},
		{"confirmable with a format error", []byte{0x49, 1, 0, 9}, DropMulticast, 0},
		{"format error", []byte{0x59, 1, 0, 9}, DropFormat, 0},
		{"response", []byte{0x50, 0x45, 0, 9}, DropMulticast, 0},
		{"reset", []byte{0x70, 0, 0, 9}, DropMulticast, 0},
		{"body in blocks", g.encode(non, 10, codes.PUT, "/large", "g", make([]byte, 16), blockOpt(message.Block1, 0, true, 0)), DropMulticast, 0},
		{"critical option", g.encode(non, 11, codes.GET, "/time", "", nil, opt(9, 1)), DropOption, 0},
	} {
		g.sent, g.to = nil, nil
		if err := g.e.handle(g.now, alice, everyone, tt.b); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		begin := g.now
		if len(g.sent) != 0 {
			t.Errorf("%s: answered at once", tt.name)
		}
		for at := g.e.deadline(); !at.IsZero() && at.Before(begin.Add(DefaultLeisure)); at = g.e.deadline() {
			g.now = at
			g.e.advance(at)
		}
		switch {
		case tt.answer == 0 && len(g.sent) != 0:
			t.Errorf("%s: sent %v", tt.name, g.sent)
		case tt.answer == 0:
		case len(g.sent) != 1 || g.sent[0].Code != tt.answer || g.sent[0].Type != non || g.to[0] != alice || g.sent[0].MessageID == int32(i+1):
			t.Errorf("%s: sent %v", tt.name, g.sent)
		case g.sent[0].Options.HasOption(message.Observe):
			t.Errorf("%s: observes", tt.name)
		}
	}
	checkStats(t, g.e)
}

// TestLeisure: answers of one server are spread over the time, and those that wait are
// bounded.
func TestLeisure(t *testing.T) {
	g := newRig(t, Options{})
	for i := range uint16(maxLeisurely + 4) {
		want := error(nil)
		if i >= maxLeisurely {
			want = DropLeisure
		}
		if err := g.e.handle(g.now, alice, everyone, g.encode(message.NonConfirmable, 100+i, codes.GET, "/time", "a", nil)); err != want {
			t.Fatalf("request %d: %v, want %v", i, err, want)
		}
	}
	times := map[time.Time]bool{}
	for len(g.sent) < maxLeisurely {
		at := g.e.deadline()
		if at.Sub(g.now) >= DefaultLeisure {
			t.Fatalf("%d answers within the leisure", len(g.sent))
		}
		times[at] = true
		g.e.advance(at)
	}
	if len(times) < maxLeisurely-1 {
		t.Errorf("at %d different times only", len(times))
	}
	g = newRig(t, Options{Leisure: -1})
	if err := g.e.handle(g.now, alice, everyone, g.encode(message.NonConfirmable, 1, codes.GET, "/time", "a", nil)); err != nil || len(g.sent) != 1 {
		t.Errorf("without leisure: %v, %d answers", err, len(g.sent))
	}
}

// The answer comes from the address that was asked; notifications too.
func TestAnswerFromAddressAsked(t *testing.T) {
	ours := netip.MustParseAddr("2001:db8::9")
	var from []netip.Addr
	o := Options{}
	o.setDefaults()
	e := newEndpoint(o, func(_ netip.AddrPort, a netip.Addr, _ []byte) { from = append(from, a) })
	g := newRig(t, Options{})
	if err := e.handle(t0, alice, ours, g.encode(message.Confirmable, 1, codes.GET, "/counter", "a", nil, opt(message.Observe))); err != nil {
		t.Fatal(err)
	}
	if err := e.handle(t0, bob, netip.Addr{}, g.encode(message.Confirmable, 1, codes.GET, "/counter", "a", nil)); err != nil {
		t.Fatal(err)
	}
	e.advance(t0.Add(2 * time.Second))
	if len(from) < 3 || from[0] != ours || from[1].IsValid() || from[2] != ours {
		t.Errorf("answers from %v", from)
	}
}
