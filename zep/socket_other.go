//go:build !linux

package zep

import (
	"net/netip"
	"syscall"
)

// A reader reads one datagram at a time where there is no recvmmsg.
type reader struct {
	s    *socket
	n    int
	from netip.AddrPort
	buf  [rxBufLen]byte
}

func newReader(s *socket) *reader { return &reader{s: s} }

func (r *reader) read() (int, error) {
	n, from, err := r.s.conn.ReadFromUDPAddrPort(r.buf[:])
	if err != nil {
		return 0, err
	}
	r.n, r.from = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (r *reader) datagram(int) ([]byte, netip.AddrPort) { return r.buf[:r.n], r.from }

type outState struct{}

func (o *outState) init() {}

func (s *socket) write(q *outq, msgs []outMsg) {
	for i := range msgs {
		b := q.bufs[msgs[i].buf][:q.lens[msgs[i].buf]]
		var err error
		if s.connected {
			_, err = s.conn.Write(b)
		} else {
			_, err = s.conn.WriteToUDPAddrPort(b, msgs[i].to)
		}
		if err != nil {
			q.r.sendFailed(err)
		}
	}
}

func shareAddress(string, string, syscall.RawConn) error { return nil }
