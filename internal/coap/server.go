package coap

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	DefaultMaxPeers            = 64
	DefaultMaxObservers        = 32
	DefaultMaxObserversPerPeer = 8
	DefaultMaxTransfers        = 8
	DefaultTransferTimeout     = time.Minute
	DefaultConfirmEvery        = 5
	DefaultBlockSize           = 1024
	DefaultLeisure             = 5 * time.Second // RFC 7252 section 4.8.2
)

// Options of a server. The zero value serves [Device] with the defaults.
type Options struct {
	Resources []*Resource // nil: Device()

	MaxPeers            int           // peers whose message IDs are remembered
	MaxObservers        int           // in all
	MaxObserversPerPeer int           //
	MaxTransfers        int           // block-wise bodies kept at one time
	TransferTimeout     time.Duration // without a block, after which a body is forgotten
	ConfirmEvery        int           // one notification of this many is confirmable
	Leisure             time.Duration // within which a request to a group is answered; negative: at once
	BlockSize           int           // largest block sent, 16 to 1024 bytes, a power of two

	Rand   *rand.Rand   // nil: seeded at random
	Logger *slog.Logger // nil discards

	szx uint8
}

func (o *Options) setDefaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	if o.Resources == nil {
		o.Resources = Device()
	}
	def(&o.MaxPeers, DefaultMaxPeers)
	def(&o.MaxObservers, DefaultMaxObservers)
	def(&o.MaxObserversPerPeer, DefaultMaxObserversPerPeer)
	def(&o.MaxTransfers, DefaultMaxTransfers)
	def(&o.ConfirmEvery, DefaultConfirmEvery)
	def(&o.BlockSize, DefaultBlockSize)
	if o.TransferTimeout <= 0 {
		o.TransferTimeout = DefaultTransferTimeout
	}
	if o.Leisure == 0 {
		o.Leisure = DefaultLeisure
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for o.szx < 6 && 32<<o.szx <= o.BlockSize {
		o.szx++
	}
}

// A Server answers CoAP requests on one [net.PacketConn], whose addresses are
// *[net.UDPAddr]. Its methods may be called from any goroutine.
type Server struct {
	conn  net.PacketConn
	multi multihomed // conn, where it is one
	mu    sync.Mutex // guards what follows
	e     *endpoint
	timer *time.Timer
	done  bool
}

// A multihomed connection tells which address of ours a datagram came to, so that the answer
// comes from there, and that it was a group.
type multihomed interface {
	ReadFromTo(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error)
	WriteFromTo(b []byte, from netip.Addr, to netip.AddrPort) (int, error)
}

// New returns a server for conn, which [Server.Close] closes.
func New(conn net.PacketConn, o Options) *Server {
	o.setDefaults()
	s := &Server{conn: conn}
	log := o.Logger
	s.multi, _ = conn.(multihomed)
	s.e = newEndpoint(o, func(to netip.AddrPort, from netip.Addr, b []byte) {
		var err error
		if s.multi != nil {
			_, err = s.multi.WriteFromTo(b, from, to)
		} else {
			_, err = conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			log.Debug("coap: send", "addr", to, "err", err)
		}
	})
	return s
}

// Serve answers requests until the connection is closed. It returns nil after
// [Server.Close], else the error that ended it.
func (s *Server) Serve() error {
	b := make([]byte, 2048)
	for failed := 0; ; {
		n, from, local, err := s.receive(b)
		if err != nil {
			s.mu.Lock()
			done := s.done
			s.mu.Unlock()
			if done {
				return nil
			}
			if failed++; failed < 100 && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
				continue // an ICMP error of an earlier send, for instance
			}
			return err
		}
		failed = 0
		if !from.IsValid() || n == len(b) {
			continue
		}
		s.mu.Lock()
		if !s.done {
			_ = s.e.handle(time.Now(), from, local, b[:n]) // counted
			s.arm()
		}
		s.mu.Unlock()
	}
}

func (s *Server) receive(b []byte) (n int, from netip.AddrPort, local netip.Addr, err error) {
	if s.multi != nil {
		return s.multi.ReadFromTo(b)
	}
	n, a, err := s.conn.ReadFrom(b)
	if u, ok := a.(*net.UDPAddr); ok {
		from = u.AddrPort()
	}
	return n, from, local, err
}

// arm sets the timer to the next deadline; none runs while nothing is pending. s.mu is held.
func (s *Server) arm() {
	at := s.e.deadline()
	switch {
	case at.IsZero():
		if s.timer != nil {
			s.timer.Stop()
		}
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(at), s.wake)
	default:
		s.timer.Reset(time.Until(at))
	}
}

func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.e.advance(time.Now())
	s.arm()
}

// Notify tells the observers of the resource at path that it has changed.
func (s *Server) Notify(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.e.byPath[path]; r != nil && !s.done {
		s.e.changed(time.Now(), r)
		s.arm()
	}
}

// Stats returns a copy of the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.e.snapshot()
}

// Close ends [Server.Serve] and closes the connection.
func (s *Server) Close() error {
	s.mu.Lock()
	s.done = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	return s.conn.Close()
}
