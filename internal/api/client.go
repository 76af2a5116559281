package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A Client asks the router that answers at a socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the router at the socket path. Nothing is opened yet.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // one request, one connection: nothing to close later
	}
	return c
}

// Status asks for /v1/status.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.getJSON(ctx, "/v1/status", &s)
}

// Neighbors asks for /v1/neighbors.
func (c *Client) Neighbors(ctx context.Context) (n []Neighbor, err error) {
	return n, c.getJSON(ctx, "/v1/neighbors", &n)
}

// Routes asks for /v1/routes.
func (c *Client) Routes(ctx context.Context) (r []Route, err error) {
	return r, c.getJSON(ctx, "/v1/routes", &r)
}

// Config asks for /v1/config.
func (c *Client) Config(ctx context.Context) (v Config, err error) {
	return v, c.getJSON(ctx, "/v1/config", &v)
}

// Version asks for /v1/version.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.getJSON(ctx, "/v1/version", &v)
}

// Raw copies the answer to a GET of path to w, as it came.
func (c *Client) Raw(ctx context.Context, path string, w io.Writer) error {
	r, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(w, r.Body); err != nil {
		return c.broken(ctx, err)
	}
	return nil
}

func (c *Client) getJSON(ctx context.Context, path string, v any) error {
	r, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return c.broken(ctx, err)
	}
	return nil
}

// Ping asks for /v1/ping and calls f with each line of the answer, until it ends, ctx
// ends or f returns an error.
func (c *Client) Ping(ctx context.Context, req PingRequest, f func(PingReply) error) error {
	b, err := json.Marshal(req)
	if err != nil {
		return err
	}
	r, err := c.do(ctx, http.MethodPost, "/v1/ping", b)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	for sc := bufio.NewScanner(r.Body); ; {
		if !sc.Scan() {
			if sc.Err() != nil {
				return c.broken(ctx, sc.Err())
			}
			return nil
		}
		var p PingReply
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			return c.broken(ctx, err)
		}
		if err := f(p); err != nil {
			return err
		}
	}
}

// Capture asks for /v1/capture. The reader gives pcapng until ctx ends; close it.
func (c *Client) Capture(ctx context.Context, req CaptureRequest) (io.ReadCloser, error) {
	q := url.Values{}
	if len(req.Ports) > 0 {
		q.Set("ports", strings.Join(req.Ports, ","))
	}
	switch {
	case req.Radio && !req.IP:
		q.Set("only", "radio")
	case req.IP && !req.Radio:
		q.Set("only", "ip")
	}
	r, err := c.do(ctx, http.MethodGet, "/v1/capture?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	return r.Body, nil
}

// An Error is what the router answered instead of what was asked for.
type Error struct {
	Status int // of HTTP
	Text   string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Is reports that an answer of status 400 is an [ErrBadRequest].
func (e *Error) Is(target error) bool {
	return target == ErrBadRequest && e.Status == http.StatusBadRequest
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://border-router"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	r, err := c.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, c.broken(ctx, err)
	}
	if r.StatusCode == http.StatusOK {
		return r, nil
	}
	defer r.Body.Close()
	var e errorBody
	if json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&e) != nil || e.Error == "" {
		return nil, fmt.Errorf("what answers at %s is no router: HTTP status %s to %s", c.path, r.Status, path)
	}
	return nil, &Error{r.StatusCode, e.Error}
}

// broken says what to do about an error of the connection.
func (c *Client) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no router is running at %s (start one with border-router run, or say --socket)", c.path)
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(c.path):
		return fmt.Errorf("%s is not a socket; say --socket PATH", c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no router is running at %s, which one that died has left (start one with border-router run, or say --socket)", c.path)
	case errors.Is(err, fs.ErrPermission):
		who := pathOwner(c.path)
		return fmt.Errorf("no permission to use %s, which belongs to %s; run this as %s, or say --socket", c.path, who, who)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is not a socket; say --socket PATH", c.path)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the router at %s has gone away", c.path)
	}
	return fmt.Errorf("ask the router at %s: %w", c.path, cause(err))
}
