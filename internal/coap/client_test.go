package coap

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/net/blockwise"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp"
)

// go-coap's own client against the server.
func TestGoCoapClient(t *testing.T) {
	s, uri := start(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, szx := range []blockwise.SZX{blockwise.SZX64, blockwise.SZX1024} {
		c, err := udp.Dial(strings.TrimPrefix(uri, "coap://"), options.WithBlockwise(true, szx, 5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 8<<10)
		r := rand.New(rand.NewPCG(uint64(szx), 7))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		resp, err := c.Put(ctx, "/large", message.AppOctets, bytes.NewReader(body))
		if err != nil || resp.Code() != codes.Changed {
			t.Fatalf("szx %v: put: %v %v", szx, resp, err)
		}
		resp, err = c.Get(ctx, "/large")
		if err != nil {
			t.Fatalf("szx %v: get: %v", szx, err)
		}
		if got, err := io.ReadAll(resp.Body()); err != nil || !bytes.Equal(got, body) {
			t.Errorf("szx %v: %d bytes came back, or others (%v)", szx, len(got), err)
		}
		notes := make(chan string, 8)
		obs, err := c.Observe(ctx, "/counter", func(m *pool.Message) {
			b, _ := m.ReadBody()
			select {
			case notes <- string(b):
			default:
			}
		})
		if err != nil {
			t.Fatalf("observe: %v", err)
		}
		for range 2 {
			select {
			case <-notes:
			case <-ctx.Done():
				t.Fatal("no notification")
			}
		}
		if err := obs.Cancel(ctx); err != nil {
			t.Errorf("cancel: %v", err)
		}
		if n := s.Stats().Observers; n != 0 {
			t.Errorf("%d observers left", n)
		}
		c.Close()
		<-c.Done()
	}
}

// One goroutine serves all peers, and none is left behind.
func TestGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(conn, Options{})
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	b := make([]byte, 1500)
	for range 20 {
		c, err := net.Dial("udp", conn.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // in the end: a port that is free again may be that of the next peer
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Write([]byte{0x40, 1, 0, 1, 0xb7, 'c', 'o', 'u', 'n', 't', 'e', 'r'})
		if n, err := c.Read(b); err != nil || n < 4 || b[1] != byte(codes.Content) {
			t.Fatalf("%x %v", b[:n], err)
		}
	}
	if n := runtime.NumGoroutine(); n > before+1 {
		t.Errorf("%d goroutines more for 20 peers", n-before)
	}
	if st := s.Stats(); st.Peers != 20 || st.Answered != 20 {
		t.Errorf("%+v", st)
	}
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
