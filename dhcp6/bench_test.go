package dhcp6

import "testing"

func BenchmarkParse(b *testing.B) {
	msg := of(clientID, serverID, reply).withNA(1000, 1600, addrLease(address, 2000, 3000)).withPD(1000, 1600, prefixLease(pd56, 2000, 3000)).ToBytes()
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer renews one of a full table of bindings.
func BenchmarkServer(b *testing.B) {
	c := newCounter(b, ServerConfig{})
	for i := range 1000 {
		m := of(NewDUIDEN(1, []byte{byte(i >> 8), byte(i)}), serverID, request).asking().ToBytes()
		if err := c.s.HandleMessage(c.now, clientAt(i), m); err != nil {
			b.Fatal(err)
		}
	}
	msg := of(NewDUIDEN(1, []byte{1, 1}), serverID, renew).asking().ToBytes()
	b.ReportAllocs()
	for b.Loop() {
		c.sent = c.sent[:0]
		if err := c.s.HandleMessage(c.now, clientAt(257), msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRelay(b *testing.B) {
	var down, up outbox
	r := NewRelay(RelayConfig{LinkAddr: resolver, InterfaceID: []byte("mesh")}, &down, &up)
	msg := of(clientID, "", solicit).asking().ToBytes()
	b.ReportAllocs()
	for b.Loop() {
		up.sent = up.sent[:0]
		if err := r.HandleMessage(epoch, clientSrc, msg); err != nil {
			b.Fatal(err)
		}
	}
}
