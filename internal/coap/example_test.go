package coap_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"border-router/internal/coap"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp"
)

func Example() {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := coap.New(conn, coap.Options{Resources: []*coap.Resource{{
		Path: "/temperature", Type: "temperature-c",
		Get: func(time.Time, *coap.Request) coap.Response {
			return coap.Response{Code: codes.Content, Format: message.TextPlain, Payload: []byte("21.5")}
		},
	}}})
	go s.Serve()
	defer s.Close()

	c, err := udp.Dial(conn.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, path := range []string{"/.well-known/core", "/temperature"} {
		r, err := c.Get(ctx, path)
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := r.ReadBody()
		fmt.Println(r.Code(), string(b))
	}
	// Output:
	// Content </temperature>;rt="temperature-c"
	// Content 21.5
}
