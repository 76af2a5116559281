package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"time"
)

// Limits of a [PingRequest].
const (
	maxPingSize     = 4096 // data bytes
	minPingInterval = 0.001
	maxPingSeconds  = 3600.0
)

// maxBody is the longest body of a request, in bytes.
const maxBody = 64 << 10

// drain is how long a server waits, when it closes, for answers that are being written.
const drain = 300 * time.Millisecond

// A Server answers requests about a [Backend] on a unix socket.
type Server struct {
	// Logger takes what goes wrong with requests; nil discards. Set it before Serve.
	Logger *slog.Logger

	backend Backend
	version Version
	l       net.Listener
	http    http.Server
	cancel  context.CancelFunc
}

// Listen opens the management socket at path (see [Listener]) for requests about b.
// Nothing is answered before [Server.Serve]. version is what /v1/version says where it is
// not empty, else what the program was built from.
func Listen(path string, b Backend, version string) (*Server, error) {
	l, err := Listener(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{backend: b, version: BuildVersion(), l: l, cancel: cancel}
	if version != "" {
		s.version.Version = version
	}
	s.http = http.Server{
		Handler:           s.Handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	return s, nil
}

// Serve answers until [Server.Close], and returns nil then.
func (s *Server) Serve() error {
	s.http.ErrorLog = slog.NewLogLogger(s.log().Handler(), slog.LevelDebug)
	if err := s.http.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
		return cause(err)
	}
	return nil
}

func (s *Server) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// Close ends what is streaming, closes every connection and removes the socket, all
// within half a second. Calls after the first do nothing.
func (s *Server) Close() error {
	s.cancel() // pings and captures end
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	_ = s.l.Close() // where Serve was never called
	return nil
}

// Handler returns the requests of doc.go as a [http.Handler].
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", get(s, s.backend.Status))
	mux.HandleFunc("GET /v1/neighbors", get(s, list(s.backend.Neighbors)))
	mux.HandleFunc("GET /v1/routes", get(s, list(s.backend.Routes)))
	mux.HandleFunc("GET /v1/config", get(s, s.backend.Config))
	mux.HandleFunc("GET /v1/version", get(s, func(context.Context) (Version, error) { return s.version, nil }))
	mux.HandleFunc("POST /v1/ping", s.ping)
	mux.HandleFunc("GET /v1/capture", s.capture)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if _, pattern := mux.Handler(r); pattern == "" {
			status, text := http.StatusNotFound, "there is no "+r.URL.Path+" here"
			for _, m := range []string{http.MethodGet, http.MethodPost} {
				q := *r
				q.Method = m
				if _, p := mux.Handler(&q); p != "" {
					status, text = http.StatusMethodNotAllowed, r.URL.Path+" takes "+m
					w.Header().Set("Allow", m)
				}
			}
			s.fail(w, r, status, errors.New(text))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// list makes an empty answer [] instead of null.
func list[T any](f func(context.Context) ([]T, error)) func(context.Context) ([]T, error) {
	return func(ctx context.Context) ([]T, error) {
		v, err := f(ctx)
		if v == nil {
			v = []T{}
		}
		return v, err
	}
}

func get[T any](s *Server, f func(context.Context) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r.Context())
		if err != nil {
			s.fail(w, r, statusOf(err), err)
			return
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			s.fail(w, r, http.StatusInternalServerError, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(b, '\n'))
	}
}

func statusOf(err error) int {
	if errors.Is(err, ErrBadRequest) {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// errorBody is the JSON of an error.
type errorBody struct {
	Error string `json:"error"`
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	if r.Context().Err() == nil && status >= 500 {
		s.log().Warn("management request failed", "path", r.URL.Path, "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(errorBody{err.Error()})
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	req, err := DecodePingRequest(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, err)
		return
	}
	out := &stream{w: w, c: http.NewResponseController(w), kind: "application/x-ndjson"}
	enc := json.NewEncoder(out)
	err = s.backend.Ping(r.Context(), req, func(p PingReply) error { return enc.Encode(p) })
	s.endStream(out, w, r, err)
}

// DecodePingRequest reads the JSON of a request, fills in defaults and checks its bounds.
// The error wraps [ErrBadRequest].
func DecodePingRequest(body io.Reader) (r PingRequest, err error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, BadRequest("request: %w", err)
	}
	return r, r.check()
}

// check fills in defaults and reports what is out of range.
func (r *PingRequest) check() error {
	if r.Interval == 0 {
		r.Interval = 1
	}
	if r.Timeout == 0 {
		r.Timeout = 1
	}
	if r.HopLimit == 0 {
		r.HopLimit = 64
	}
	in := func(s Seconds, lo float64) bool {
		return !math.IsNaN(float64(s)) && float64(s) >= lo && float64(s) <= maxPingSeconds
	}
	switch {
	case !r.Addr.Is6() || r.Addr.Is4In6():
		return BadRequest("address %s: want an IPv6 address", r.Addr)
	case r.Source.IsValid() && (!r.Source.Is6() || r.Source.Is4In6()):
		return BadRequest("source %s: want an IPv6 address", r.Source)
	case r.Count < 0:
		return BadRequest("count %d: want 0 (no end) or more", r.Count)
	case r.Size < 0 || r.Size > maxPingSize:
		return BadRequest("size %d: want 0 to %d bytes", r.Size, maxPingSize)
	case !in(r.Interval, minPingInterval):
		return BadRequest("interval %g s: want %g to %g seconds", float64(r.Interval), minPingInterval, maxPingSeconds)
	case !in(r.Timeout, minPingInterval):
		return BadRequest("timeout %g s: want %g to %g seconds", float64(r.Timeout), minPingInterval, maxPingSeconds)
	case r.HopLimit < 1 || r.HopLimit > 255:
		return BadRequest("hop limit %d: want 1 to 255", r.HopLimit)
	}
	return nil
}

func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var req CaptureRequest
	for _, v := range q["ports"] {
		for name := range strings.SplitSeq(v, ",") {
			if name != "" {
				req.Ports = append(req.Ports, name)
			}
		}
	}
	switch only := q.Get("only"); only {
	case "":
	case "radio":
		req.Radio = true
	case "ip":
		req.IP = true
	default:
		s.fail(w, r, http.StatusBadRequest, BadRequest("only=%s: want radio or ip", only))
		return
	}
	out := &stream{w: w, c: http.NewResponseController(w), kind: "application/x-pcapng"}
	err := s.backend.Capture(r.Context(), req, out)
	s.endStream(out, w, r, err)
}

// endStream ends an answer. After the first byte an error can only cut it short, so that
// the reader sees that it is not whole.
func (s *Server) endStream(out *stream, w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err == nil, r.Context().Err() != nil, out.err != nil:
	case !out.started:
		s.fail(w, r, statusOf(err), err)
	default:
		s.log().Warn("management request ended early", "path", r.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// A stream sends each write on at once.
type stream struct {
	w       http.ResponseWriter
	c       *http.ResponseController
	kind    string
	started bool
	err     error // of the connection
}

var _ io.Writer = (*stream)(nil)

func (s *stream) Write(b []byte) (int, error) {
	if !s.started {
		s.started = true
		s.w.Header().Set("Content-Type", s.kind)
	}
	n, err := s.w.Write(b)
	if err == nil {
		err = s.c.Flush()
	}
	if err != nil {
		s.err = err
	}
	return n, err
}
