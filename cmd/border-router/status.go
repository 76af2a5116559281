package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"border-router/internal/api"
)

// ask returns a command that GETs path and prints it raw with --json, else with show.
func (a *app) ask(path string, cmd *cobra.Command, show func(cmd *cobra.Command, c *api.Client) error) *cobra.Command {
	cmd.Args = noArgs
	cmd.Flags().BoolVar(&a.json, "json", false, "print the JSON that the router answers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c := a.client()
		if a.json {
			return interrupted(cmd.Context(), c.Raw(cmd.Context(), path, a.out))
		}
		return interrupted(cmd.Context(), show(cmd, c))
	}
	return cmd
}

func (a *app) statusCmd() *cobra.Command {
	return a.ask("/v1/status", &cobra.Command{
		Use:   "status [flags]",
		Short: "Show ports, counters and the reasons of drops",
		Long: `status shows the running router: its prefixes, its uplink, and each port with its radio and
its counters. Of the packets that a port has received each has been delivered to this host,
forwarded, consumed by the router itself, is held, or was dropped for one of the reasons
shown.`,
		Example: `  border-router status
  border-router status --json | jq '.ports[].drops'`,
	}, func(cmd *cobra.Command, c *api.Client) error {
		s, err := c.Status(cmd.Context())
		if err == nil {
			printStatus(a.out, s)
		}
		return err
	})
}

func printStatus(w io.Writer, s api.Status) {
	fmt.Fprintf(w, "border-router %s, process %d, up %s\n", s.Version, s.PID, seconds(s.Uptime))
	if s.State != "" && s.State != "running" {
		fmt.Fprintf(w, "state    %s\n", s.State)
		for line := range strings.SplitSeq(s.Reason, "; ") {
			if line != "" {
				fmt.Fprintf(w, "         %s\n", line)
			}
		}
		return
	}
	for _, p := range s.Prefixes {
		fmt.Fprintf(w, "prefix   %s on %s (%s)\n", p.Prefix, p.Port, p.Source)
	}
	fmt.Fprintf(w, "uplink   %s, %s%s\n", s.Uplink.URL, s.Uplink.State, addresses(s.Uplink.Addresses))
	if len(s.Uplink.Groups) > 0 {
		fmt.Fprintf(w, "         groups of programs here: %s\n", groups(s.Uplink.Groups))
	}
	fmt.Fprintf(w, "nodes    %d addresses registered, %d neighbors, %d routes\n", s.Registrations, s.Neighbors, s.Routes)
	fmt.Fprintf(w, "icmp     %d errors sent, %d not sent because of the rate limit\n", s.ICMPSent, s.ICMPLimited)
	state := s.StateDir
	if state == "" {
		state = "nothing is kept over a restart"
	}
	fmt.Fprintf(w, "state    %s\n", state)
	fmt.Fprintf(w, "memory   %s in use, %s from the system, %d goroutines\n", bytesText(s.Memory.HeapBytes), bytesText(s.Memory.TotalBytes), s.Memory.Goroutines)

	fmt.Fprintln(w)
	t := table{
		header: []string{"PORT", "RECEIVED", "DELIVERED", "FORWARDED", "CONSUMED", "HELD", "DROPPED", "SENT", "ORIGINATED"},
		right:  numbers(1, 2, 3, 4, 5, 6, 7, 8),
	}
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	for _, p := range s.Ports {
		t.row(p.Name, n(p.Received), n(p.Delivered), n(p.Forwarded), n(p.Consumed), n(p.Held), n(p.Dropped), n(p.Sent), n(p.Originated))
	}
	t.print(w, "")

	for _, p := range s.Ports {
		fmt.Fprintf(w, "\n%s: %s, mtu %d", p.Name, p.Kind, p.MTU)
		if p.LinkAddr != "" {
			fmt.Fprintf(w, ", lladdr %s", p.LinkAddr)
		}
		fmt.Fprintln(w)
		if len(p.Addresses) > 0 {
			fmt.Fprintf(w, "  addresses  %s\n", strings.TrimPrefix(addresses(p.Addresses), ", "))
		}
		fmt.Fprintf(w, "  bytes      %s received, %s sent", bytesText(p.ReceivedBytes), bytesText(p.SentBytes))
		if p.SendFailures > 0 {
			fmt.Fprintf(w, ", %d sends failed", p.SendFailures)
		}
		fmt.Fprintln(w)
		if d := nonZero(p.Drops); d != "" {
			fmt.Fprintf(w, "  drops      %s\n", d)
		}
		if p.Lowpan != nil {
			printLayer(w, "lowpan", *p.Lowpan)
		}
		if p.Host != nil {
			printLayer(w, "host", *p.Host)
		}
		if r := p.Radio; r != nil {
			fmt.Fprintf(w, "  radio      %s, %s, channel %d, pan %s", r.URL, r.State, r.Channel, r.PAN)
			if r.Short != "" {
				fmt.Fprintf(w, ", short %s", r.Short)
			}
			if len(r.Local) > 0 {
				fmt.Fprintf(w, ", at %s, %d peers", strings.Join(r.Local, " and "), r.Peers)
			}
			fmt.Fprintln(w)
			if r.Since != nil {
				fmt.Fprintf(w, "             %s since %s, away %d times, %s in all\n", r.State, r.Since.Format(time.DateTime), r.Outages, seconds(r.Downtime))
			}
			if o := r.Last; o != nil {
				fmt.Fprintf(w, "             last went away at %s for %s: %s\n", o.Since.Format(time.DateTime), seconds(o.Seconds), o.Reason)
			}
			if r.Error != "" {
				fmt.Fprintf(w, "             %s\n", r.Error)
			}
			if r.Waiting != "" {
				fmt.Fprintf(w, "             no other one is taken in its place: %s\n", r.Waiting)
			}
			if p := r.Replaced; p != nil {
				fmt.Fprintf(w, "             replaced %d times, last at %s in place of %s, which was gone\n", r.Replacements, p.At.Format(time.DateTime), p.URL)
			}
			if r.Firmware != "" {
				fmt.Fprintf(w, "             firmware %s\n", r.Firmware)
			}
			if c := r.PANConflict; c != nil {
				how := "heard"
				if c.Told {
					how = "told of by a device,"
				}
				fmt.Fprintf(w, "             conflict: another coordinator uses PAN %s: %s %s, since %s; give one of the two another\n", r.PAN, how, c.LinkAddr, c.Since.Format(time.DateTime))
			}
			printLayer(w, "frames", r.Layer)
		}
	}
	if s.LAN != nil {
		printLAN(w, s.LAN)
	}
	if s.Filter != nil {
		printFilter(w, s.Filter)
	}
}

func printLayer(w io.Writer, name string, l api.Layer) {
	if c := byName(l.Counters); c != "" {
		fmt.Fprintf(w, "  %-9s  %s\n", name, c)
	}
	if d := nonZero(l.Drops); d != "" {
		fmt.Fprintf(w, "  %-9s  drops: %s\n", "", d)
	}
}

// addresses writes ", a, b".
func addresses(list []netip.Addr) string {
	var b strings.Builder
	for _, x := range list {
		b.WriteString(", " + x.String())
	}
	return b.String()
}

func (a *app) neighborsCmd() *cobra.Command {
	cmd := a.ask("/v1/neighbors", &cobra.Command{
		Use:     "neighbors [flags]",
		Aliases: []string{"neighbours"},
		Short:   "List the nodes of the meshes",
		Long: `neighbors lists each address of a node that the router knows, with its link-layer address,
its state, what is left of its registration, how the last frame was heard, and of a node that
sleeps, how often it asks for frames, and how many datagrams wait for it.`,
		Example: `  border-router neighbors
  border-router neighbors --json | jq -r '.[] | select(.registered) | .addr'`,
	}, func(cmd *cobra.Command, c *api.Client) error {
		n, err := c.Neighbors(cmd.Context())
		if err == nil {
			printNeighbors(a.out, n)
		}
		return err
	})
	return cmd
}

func printNeighbors(w io.Writer, list []api.Neighbor) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no neighbors: no node has been heard yet")
		return
	}
	slices.SortStableFunc(list, func(x, y api.Neighbor) int {
		if c := strings.Compare(x.Port, y.Port); c != 0 {
			return c
		}
		return x.Addr.Compare(y.Addr)
	})
	t := table{
		header: []string{"PORT", "ADDRESS", "LINK-LAYER ADDRESS", "STATE", "REGISTERED", "LIFETIME", "RSSI", "HEARD", "SLEEPS"},
		right:  numbers(5, 6, 7),
	}
	for _, n := range list {
		life, rssi, heard := "-", "-", "-"
		if n.Registered {
			life = seconds(n.Lifetime)
		}
		if n.RSSI != nil {
			rssi = fmt.Sprintf("%d dBm", *n.RSSI)
		}
		if n.LastHeard != nil {
			heard = seconds(*n.LastHeard) + " ago"
		}
		t.row(n.Port, n.Addr.String(), dash(n.LinkAddr), n.State, yesNo(n.Registered), life, rssi, heard, sleepText(n.Sleep))
	}
	t.print(w, "")
}

// sleepText says how a node sleeps and what waits for it.
func sleepText(s *api.Sleep) string {
	if s == nil {
		return "-"
	}
	text := "yes"
	switch {
	case s.Interval > 0:
		text = "asks every " + seconds(s.Interval)
	case s.LastPoll != nil:
		text = "asked " + seconds(*s.LastPoll) + " ago"
	}
	if s.Waiting > 0 {
		text += fmt.Sprintf(", %d wait", s.Waiting)
	}
	return text
}

func (a *app) routesCmd() *cobra.Command {
	return a.ask("/v1/routes", &cobra.Command{
		Use:   "routes [flags]",
		Short: "List the routes",
		Long: `routes lists the forwarding table. The longest prefix that holds an address wins, and of
equal ones the smallest metric.`,
		Example: `  border-router routes
  border-router routes --json`,
	}, func(cmd *cobra.Command, c *api.Client) error {
		r, err := c.Routes(cmd.Context())
		if err == nil {
			printRoutes(a.out, r)
		}
		return err
	})
}

func printRoutes(w io.Writer, list []api.Route) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no routes")
		return
	}
	t := table{header: []string{"PREFIX", "PORT", "NEXT HOP", "KIND", "METRIC"}, right: numbers(4)}
	for _, r := range list {
		hop := "on link"
		switch {
		case r.NextHop.IsValid():
			hop = r.NextHop.String()
		case r.Port == "":
			hop = "-"
		}
		t.row(r.Prefix.String(), dash(r.Port), hop, r.Kind, strconv.Itoa(r.Metric))
	}
	t.print(w, "")
}
