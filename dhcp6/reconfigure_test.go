package dhcp6

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

var testKey = []byte("0123456789abcdef")

const testReplay = 1000

func auth(typ byte, replay uint64, value []byte) []byte {
	b := []byte{authProtocolRKAP, authHMACMD5, authMonotonic}
	b = binary.BigEndian.AppendUint64(b, replay)
	return append(append(b, typ), value...)
}

// newReconfigured returns a bound client that has a reconfigure key.
func newReconfigured(t testing.TB) *desk {
	t.Helper()
	m := Mode{Prefixes: true}
	d := newDesk(t, ClientConfig{ReconfigureAccept: true, RapidCommit: true}, 1)
	b := d.full(from(serverID, reply, d.start(m).next()), m)
	b.option(dhcpv6.OptionRapidCommit, nil)
	b.option(dhcpv6.OptionReconfAccept, nil)
	b.option(dhcpv6.OptionAuth, auth(authKey, testReplay, testKey))
	d.give(b)
	d.state("bound")
	return d
}

// reconfigure returns an authenticated Reconfigure.
func reconfigure(_ *desk, server DUID, ask dhcpv6.MessageType, replay uint64) []byte {
	b := from(server, dhcpv6.MessageTypeReconfigure, &message{})
	b.option(dhcpv6.OptionReconfMessage, []byte{byte(ask)})
	b.option(dhcpv6.OptionAuth, auth(authDigest, replay, make([]byte, keySize)))
	msg := b.ToBytes()
	copy(msg[len(msg)-keySize:], digest(testKey, msg))
	return msg
}

func TestReconfigure(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     func(d *desk) []byte
		err   error
		state string
		sent  dhcpv6.MessageType
	}{
		{"renew", func(d *desk) []byte { return reconfigure(d, serverID, renew, testReplay+1) }, nil, "renewing", renew},
		{"rebind", func(d *desk) []byte { return reconfigure(d, serverID, rebind, testReplay+1) }, nil, "rebinding", rebind},
		{"information", func(d *desk) []byte { return reconfigure(d, serverID, inforeq, testReplay+1) }, nil, "bound", inforeq},
		{"unknown", func(d *desk) []byte { return reconfigure(d, serverID, 77, testReplay+1) }, DropReconfigure, "bound", 0},
		{"another server", func(d *desk) []byte { return reconfigure(d, otherID, renew, testReplay+1) }, DropServerID, "bound", 0},
		{"older", func(d *desk) []byte { return reconfigure(d, serverID, renew, testReplay-1) }, DropReplay, "bound", 0},
		{"changed", func(d *desk) []byte {
			b := reconfigure(d, serverID, renew, testReplay+1)
			i := bytes.Index(b, []byte{0, 19, 0, 1})
			b[i+4] = byte(rebind)
			return b
		}, DropAuth, "bound", 0},
		{"a key in place of the digest", func(d *desk) []byte {
			b := from(serverID, dhcpv6.MessageTypeReconfigure, &message{})
			b.option(dhcpv6.OptionAuth, auth(authKey, testReplay+1, testKey))
			return b.ToBytes()
		}, DropAuth, "bound", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newReconfigured(t)
			n := len(d.sent)
			if err := d.c.HandleMessage(d.now, serverSrc, c.b(d)); err != c.err {
				t.Fatalf("%v, want %v", err, c.err)
			}
			d.state(c.state)
			if c.sent == 0 {
				if len(d.sent) != n {
					t.Errorf("sent %s", d.last().typ)
				}
				return
			}
			if m := d.last(); m.typ != c.sent {
				t.Errorf("sent %s", m.typ)
			}
			if err := d.c.HandleMessage(d.now, serverSrc, c.b(d)); err != DropReplay {
				t.Errorf("the same again: %v", err)
			}
		})
	}
}

// TestReconfigureInformation: what is told then is taken, beside the leases.
func TestReconfigureInformation(t *testing.T) {
	d := newReconfigured(t)
	if err := d.c.HandleMessage(d.now, serverSrc, reconfigure(d, serverID, inforeq, testReplay+1)); err != nil {
		t.Fatal(err)
	}
	b := from(serverID, reply, d.last())
	b.domains([]string{"example.com"})
	d.give(b)
	if l := d.c.Lease(); len(l.Prefixes) != 1 || len(l.Domains) != 1 || d.c.Busy() {
		t.Errorf("%+v", l)
	}
}

// TestReconfigureAfterRestart: key and counter are in the record.
func TestReconfigureAfterRestart(t *testing.T) {
	d := newReconfigured(t)
	raw, err := json.Marshal(d.c.Record())
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	e := newDesk(t, ClientConfig{ReconfigureAccept: true}, 2)
	e.c.Restore(e.now, r)
	e.start(Mode{Prefixes: true}).until(epoch.Add(20 * time.Second)) // the Rebind is not answered
	e.state("bound")
	if err := e.c.HandleMessage(e.now, serverSrc, reconfigure(e, serverID, renew, testReplay)); err != DropReplay {
		t.Errorf("old: %v", err)
	}
	if err := e.c.HandleMessage(e.now, serverSrc, reconfigure(e, serverID, renew, testReplay+1)); err != nil {
		t.Errorf("new: %v", err)
	}
}
