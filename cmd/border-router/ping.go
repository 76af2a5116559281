package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"border-router/internal/api"
	"border-router/internal/config"
)

func (a *app) pingCmd() *cobra.Command {
	var (
		req              api.PingRequest
		interval         = spanFlag(time.Second)
		timeout          = spanFlag(time.Second)
		source           string
		quiet, printJSON bool
	)
	cmd := &cobra.Command{
		Use:   "ping [flags] ADDR",
		Short: "Have the router ping a node",
		Long: `ping has the running router send ICMPv6 echo requests, and prints as ping(8) does. A
link-local address needs the port behind it, such as fe80::1%zep0, where there are several
meshes. Interval and timeout are seconds, or durations such as 200ms.

The exit status is 0 where something came back, 1 where nothing did, 2 for other errors.`,
		Example: `  border-router ping -c 3 fd12:3456:789a::ff:fe00:1
  border-router ping -c 1 -s 1000 -W 5 fe80::5054:ff:fe12:3456%zep0`,
		Args: oneArg("the address to ping"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := netip.ParseAddr(args[0])
			if err != nil || !addr.Is6() || addr.Is4In6() {
				return usageError(cmd, fmt.Errorf("%q: want an IPv6 address", args[0]))
			}
			req.Addr = addr
			if source != "" {
				if req.Source, err = netip.ParseAddr(source); err != nil || !req.Source.Is6() {
					return usageError(cmd, fmt.Errorf("--source %q: want an IPv6 address", source))
				}
			}
			if cmd.Flags().Changed("count") && req.Count < 1 {
				return usageError(cmd, fmt.Errorf("-c %d: want 1 or more", req.Count))
			}
			req.Interval, req.Timeout = api.SecondsOf(time.Duration(interval)), api.SecondsOf(time.Duration(timeout))
			p := newPinger(a.out, req)
			p.quiet, p.json = quiet, printJSON
			return p.run(cmd, a.client())
		},
	}
	f := cmd.Flags()
	f.IntVarP(&req.Count, "count", "c", 0, "stop after `N` requests (default: go on until interrupted)")
	f.IntVarP(&req.Size, "size", "s", 56, "data `BYTES` in a request")
	f.VarP(&interval, "interval", "i", "`SECONDS` from one request to the next")
	f.VarP(&timeout, "timeout", "W", "`SECONDS` to wait for an answer")
	f.IntVarP(&req.HopLimit, "ttl", "t", 64, "hop limit `N` of the requests")
	f.StringVarP(&source, "source", "I", "", "source `ADDR` (default: the router chooses)")
	f.BoolVarP(&quiet, "quiet", "q", false, "print only the first line and the statistics")
	f.BoolVar(&printJSON, "json", false, "print each answer as a line of JSON, and nothing else")
	return cmd
}

// A spanFlag is a time on the command line: seconds, with or without a fraction, or a
// duration.
type spanFlag time.Duration

func (s *spanFlag) String() string { return fmt.Sprintf("%g", time.Duration(*s).Seconds()) }
func (s *spanFlag) Type() string   { return "SECONDS" }
func (s *spanFlag) Set(text string) error {
	d, err := config.ParseDuration(text)
	if err != nil {
		if d, err = config.ParseDuration(text + "s"); err != nil {
			return errors.New("want seconds, such as 0.2, or a duration, such as 200ms")
		}
	}
	if d < time.Millisecond || d > time.Hour {
		return errors.New("want 1 millisecond to 1 hour")
	}
	*s = spanFlag(d)
	return nil
}

// A pinger prints one run of ping and keeps its statistics.
type pinger struct {
	w           io.Writer
	req         api.PingRequest
	quiet, json bool
	now         func() time.Time

	started, last                             time.Time // of the first request and of the last one
	header                                    bool
	transmitted, received, duplicates, errors int                                   // transmitted: the last sequence number, from 1
	rtt                                       struct{ min, max, sum, sum2 float64 } // us
}

func newPinger(w io.Writer, req api.PingRequest) *pinger {
	return &pinger{w: w, req: req, now: time.Now}
}

func (p *pinger) run(cmd *cobra.Command, c *api.Client) error {
	ctx := cmd.Context()
	err := c.Ping(ctx, p.req, p.reply)
	if err != nil && ctx.Err() == nil {
		if p.header {
			p.statistics()
		}
		return &exit{exitUsage, err}
	}
	p.printHeader()
	p.statistics()
	if p.received == 0 {
		return &exit{status: exitFailed}
	}
	return nil
}

func (p *pinger) printHeader() {
	if p.header {
		return
	}
	p.header = true
	if !p.json {
		fmt.Fprintf(p.w, "PING %s(%s) %d data bytes\n", p.req.Addr, p.req.Addr, p.req.Size)
	}
}

// reply takes one line of the router's answer.
func (p *pinger) reply(r api.PingReply) error {
	p.printHeader()
	if r.Sent {
		p.last = p.now()
		if p.started.IsZero() {
			p.started = p.last
		}
		p.transmitted = max(p.transmitted, r.Seq)
		return nil
	}
	if r.Seq > p.transmitted { // could not leave
		p.transmitted = r.Seq
	}
	got := r.Error == ""
	switch {
	case got && r.Dup:
		p.duplicates++
	case got:
		p.received++
		if p.received == 1 || r.RTT < p.rtt.min {
			p.rtt.min = r.RTT
		}
		p.rtt.max = max(p.rtt.max, r.RTT)
		p.rtt.sum += r.RTT
		p.rtt.sum2 += r.RTT * r.RTT
	case r.Error != api.PingTimeout:
		p.errors++
	}
	if p.json {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.w, "%s\n", b)
		return err
	}
	if p.quiet {
		return nil
	}
	var err error
	switch {
	case got:
		dup := ""
		if r.Dup {
			dup = " (DUP!)"
		}
		_, err = fmt.Fprintf(p.w, "%d bytes from %s: icmp_seq=%d ttl=%d time=%s ms%s\n", r.Bytes, r.From, r.Seq, r.HopLimit, milliseconds(r.RTT), dup)
	case r.Error == api.PingTimeout:
		// ping(8) says nothing; the statistics do.
	default:
		from := r.From
		if !from.IsValid() {
			from = p.req.Addr
		}
		_, err = fmt.Fprintf(p.w, "From %s icmp_seq=%d %s\n", from, r.Seq, r.Error)
	}
	return err
}

// statistics prints what ping(8) does at its end.
func (p *pinger) statistics() {
	if p.json {
		return
	}
	fmt.Fprintf(p.w, "\n--- %s ping statistics ---\n", p.req.Addr)
	fmt.Fprintf(p.w, "%d packets transmitted, %d received", p.transmitted, p.received)
	if p.duplicates > 0 {
		fmt.Fprintf(p.w, ", +%d duplicates", p.duplicates)
	}
	if p.errors > 0 {
		fmt.Fprintf(p.w, ", +%d errors", p.errors)
	}
	if p.transmitted > 0 {
		loss := float64(p.transmitted-p.received) * 100 / float64(p.transmitted)
		fmt.Fprintf(p.w, ", %.6g%% packet loss, time %dms", loss, p.last.Sub(p.started).Milliseconds())
	}
	fmt.Fprintln(p.w)
	if p.received == 0 {
		fmt.Fprintln(p.w)
		return
	}
	n := float64(p.received)
	avg := p.rtt.sum / n
	mdev := math.Sqrt(max(0, p.rtt.sum2/n-avg*avg))
	fmt.Fprintf(p.w, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", p.rtt.min/1000, avg/1000, p.rtt.max/1000, mdev/1000)
}

// milliseconds writes microseconds with as many digits as ping(8) does.
func milliseconds(us float64) string {
	switch {
	case us >= 100000-50:
		return fmt.Sprintf("%.0f", us/1000)
	case us >= 10000-5:
		return fmt.Sprintf("%.1f", us/1000)
	case us >= 1000:
		return fmt.Sprintf("%.2f", us/1000)
	}
	return fmt.Sprintf("%.3f", us/1000)
}
