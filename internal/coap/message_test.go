package coap

import (
	"encoding/hex"
	"testing"

	"github.com/plgd-dev/go-coap/v3/message"
)

// Every proper prefix of a request is either refused or means something else; none is
// taken for the whole.
func TestParsePrefixes(t *testing.T) {
	whole, err := hex.DecodeString("44025155746f6b65b46563686f1128d10202ff68656c6c6f")
	if err != nil {
		t.Fatal(err)
	}
	m := inbound{opts: make(message.Options, 0, maxOptions)}
	if err := m.parse(whole); err != nil {
		t.Fatal(err)
	}
	o, v := m.options()
	if v != optionsGood || o.path != "/echo" || o.format != 40 || !o.block1.set || o.block1.szx != 2 || string(m.payload) != "hello" || string(m.token) != "toke" || m.mid != 0x5155 {
		t.Errorf("%+v %+v", m, o)
	}
	for n := range whole {
		err := m.parse(whole[:n])
		switch {
		case n < 4 && err != DropTruncated,
			n >= 4 && n < 8 && err != DropFormat,
			n == len(whole)-5 && err != DropFormat: // the marker alone
			t.Errorf("%d bytes: %v", n, err)
		case err == nil && len(m.payload) == 5:
			t.Errorf("%d bytes pass for all %d", n, len(whole))
		}
	}
}

func TestBlockValue(t *testing.T) {
	for _, tt := range []struct {
		b    block
		want uint32
	}{
		{block{num: 0, szx: 2}, 0x02},
		{block{num: 1, more: true, szx: 6}, 0x1e},
		{block{num: 1<<20 - 1, more: true, szx: 0}, 0xfffff8},
	} {
		if got := tt.b.value(); got != tt.want {
			t.Errorf("%+v: %x, want %x", tt.b, got, tt.want)
		}
	}
	if b := (block{num: 1<<20 - 1, szx: 6}); b.offset() != (1<<20-1)*1024 {
		t.Errorf("offset %d", b.offset())
	}
}

func TestParseAllocs(t *testing.T) {
	b, err := hex.DecodeString("44025155746f6b65b46563686f1128ff68656c6c6f")
	if err != nil {
		t.Fatal(err)
	}
	m := inbound{opts: make(message.Options, 0, maxOptions)}
	bad := append(append([]byte(nil), b[:8]...), 0xff)
	if n := testing.AllocsPerRun(100, func() {
		_ = m.parse(b)
		_ = m.parse(bad)
		_ = m.parse(b[:3])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
