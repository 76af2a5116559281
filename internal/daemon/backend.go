package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"border-router/internal/api"
	"border-router/internal/capture"
	"border-router/internal/ethernet"
	"border-router/internal/hoststack"
	"border-router/internal/radios"
	"border-router/internal/tun"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/nd"
	"border-router/router"
	"border-router/zep"
)

// Status implements [api.Backend].
func (d *Daemon) Status(ctx context.Context) (api.Status, error) {
	s := api.Status{
		Version:  d.version,
		State:    stateRunning,
		PID:      os.Getpid(),
		Uptime:   time.Since(d.started).Seconds(),
		StateDir: d.cfg.StateDir,
		Uplink:   api.Uplink{URL: d.cfg.Uplink.String(), State: "up"},
		Memory:   memory(),
	}
	err := d.do(ctx, func(now time.Time) {
		s.LAN, s.Filter = d.lanStatus(now), d.filterStatus()
		s.Uplink.Addresses = d.router.Addresses()
		if d.hostGroups != nil {
			s.Uplink.Groups = slices.DeleteFunc(d.hostGroups.status().Groups, netip.Addr.IsLinkLocalMulticast) // these end at the TUN
		}
		s.Routes = d.router.FIB().Len()
		s.ICMPSent, s.ICMPLimited = d.router.ICMPErrors()
		for _, l := range d.router.Links() {
			s.Ports = append(s.Ports, d.port(now, l))
		}
		for _, m := range d.meshes {
			s.Prefixes = append(s.Prefixes, api.Prefix{Port: m.name, Prefix: m.prefix, Source: d.source})
			for _, n := range m.nd.Snapshot() {
				s.Neighbors++
				if n.Registered {
					s.Registrations++
				}
			}
		}
	})
	return s, err
}

// port reads the counters of a port; on the loop.
func (d *Daemon) port(now time.Time, l *router.Link) api.Port {
	st := l.Stats()
	p := api.Port{
		Name: l.Name(), Kind: l.Kind().String(), MTU: l.MTU(),
		Counters: api.Counters{
			Received: st.Received, Delivered: st.Delivered, Forwarded: st.Forwarded, Consumed: st.Consumed,
			Held: st.Held, Dropped: st.Dropped, Sent: st.Sent, Originated: st.Originated, SendFailures: st.SendFailures,
			ReceivedBytes: st.ReceivedBytes, SentBytes: st.SentBytes,
		},
		Drops: l.Drops(),
	}
	for _, m := range d.meshes {
		if m.link == l {
			p.LinkAddr = m.lladdr.String()
			p.Prefix = m.prefix
			p.Addresses = []netip.Addr{m.addr, l.LinkLocal()}
			st := m.iface.Stats()
			p.Lowpan = macLayer(lowpanLayer(st), &st)
			p.Radio = m.status()
			p.Radio.PANConflict = m.conflict(now)
			for i, n := range st.RxDrops {
				if n > 0 {
					p.AddDrop(lowpan.Drop(i).Error(), n)
				}
			}
			for reason, n := range p.Radio.Drops {
				p.AddDrop(reason, n)
			}
			return p
		}
	}
	if d.lan != nil && l == d.lan.link {
		p.LinkAddr = d.lan.port.LinkAddr().String()
		p.Addresses = d.lan.snapshotAddrs()
		p.Ethernet = ethernetLayer(&p, d.lan.port.Stats())
		return p
	}
	if l == d.host {
		p.Addresses = d.router.Addresses()
		p.Host = d.hostLayer()
	}
	return p
}

func lowpanLayer(s lowpan.Stats) *api.Layer {
	return &api.Layer{
		Counters: map[string]uint64{
			"frames_in": s.FramesIn, "frames_delivered": s.FramesDelivered, "frames_held": s.FramesHeld, "frames_dropped": s.FramesDropped(),
			"bytes_in": s.BytesIn, "datagrams_in": s.DatagramsIn,
			"datagrams_out": s.DatagramsOut, "datagrams_sent": s.DatagramsSent, "datagrams_queued": s.DatagramsQueued, "datagrams_dropped": s.DatagramsDropped(),
			"frames_out": s.FramesOut, "frames_failed": s.FramesFailed, "frame_attempts": s.FrameAttempts, "bytes_out": s.BytesOut,
			"reassemblies": s.Reassemblies, "reassembled_bytes": s.ReassembledBytes, "queued_bytes": s.QueuedBytes,
			"recoveries": s.Recoveries, "fragments_recoverable": s.FragmentsRecoverable, "fragments_repeated": s.FragmentsRepeated,
			"recovery_acks_out": s.RecoveryAcksOut, "recovery_acks_in": s.RecoveryAcksIn, "recovery_acks_lost": s.RecoveryAcksLost,
		},
		Drops: maps.Collect(s.Drops),
	}
}

// ethernetLayer returns the counters of an Ethernet port; what it has discarded of what came
// in becomes part of p.
func ethernetLayer(p *api.Port, s ethernet.Stats) *api.Layer {
	l := &api.Layer{
		Counters: map[string]uint64{
			"frames_in": s.InFrames, "bytes_in": s.InBytes, "batches_in": s.InBatches, "delivered": s.Delivered, "frames_merged": s.Merged,
			"frames_out": s.OutFrames, "bytes_out": s.OutBytes, "batches_out": s.OutBatches, "reopened": s.Reopened,
		},
		Drops: map[string]uint64{},
	}
	for i, n := range s.Drops {
		if n == 0 {
			continue
		}
		d := ethernet.Drop(i)
		l.Drops[d.Error()] = n
		if d.Received() {
			p.AddDrop(d.Error(), n)
		}
	}
	return l
}

func (d *Daemon) hostLayer() *api.Layer {
	l := &api.Layer{Drops: map[string]uint64{}}
	count := func(in, inBytes, batches, delivered, out, outBytes uint64) {
		l.Counters = map[string]uint64{
			"packets_in": in, "bytes_in": inBytes, "batches_in": batches, "delivered": delivered, "packets_out": out, "bytes_out": outBytes,
		}
	}
	if d.tun != nil {
		s := d.tun.Stats()
		count(s.InPackets, s.InBytes, s.InBatches, s.Delivered, s.OutPackets, s.OutBytes)
		for i, n := range s.Drops {
			if n > 0 {
				l.Drops[tun.Drop(i).Error()] = n
			}
		}
		return l
	}
	s := d.stack.Stats()
	count(s.InPackets, s.InBytes, s.InBatches, s.Delivered, s.OutPackets, s.OutBytes)
	for i, n := range s.Drops {
		if n > 0 {
			l.Drops[hoststack.Drop(i).Error()] = n
		}
	}
	return l
}

func memory() api.Memory {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	return api.Memory{
		HeapBytes: samples[0].Value.Uint64(), TotalBytes: samples[1].Value.Uint64(),
		GCCycles: samples[2].Value.Uint64(), Goroutines: runtime.NumGoroutine(),
	}
}

// Neighbors implements [api.Backend].
func (d *Daemon) Neighbors(ctx context.Context) ([]api.Neighbor, error) {
	var out []api.Neighbor
	err := d.do(ctx, func(now time.Time) {
		for _, m := range d.meshes {
			for _, n := range m.nd.Snapshot() {
				a := neighbor(now, m.name, &n)
				m.sleeping(now, &a, n.LinkAddr)
				out = append(out, a)
			}
		}
	})
	return out, err
}

func neighbor(now time.Time, port string, n *nd.Neighbor) api.Neighbor {
	a := api.Neighbor{
		Port: port, Addr: n.Addr, LinkAddr: n.LinkAddr.String(), State: strings.ToLower(n.State),
		Registered: n.Registered, Router: n.Router, Classic: n.Classic, LinkFailures: n.LinkFailures, Held: n.Held,
	}
	if n.Registered {
		a.Lifetime = max(0, n.Expires.Sub(now).Seconds())
		a.ROVR = n.ROVR.String()
	}
	if n.HasTID {
		a.TID = &n.TID
	}
	if !n.LastHeard.IsZero() {
		ago := max(0, now.Sub(n.LastHeard).Seconds())
		a.LastHeard = &ago
		lqi := int(n.LQI)
		a.LQI = &lqi
		if n.RSSI != ipv6.RSSIUnknown {
			rssi := int(n.RSSI)
			a.RSSI = &rssi
		}
	}
	return a
}

// Routes implements [api.Backend].
func (d *Daemon) Routes(ctx context.Context) ([]api.Route, error) {
	var out []api.Route
	err := d.do(ctx, func(time.Time) {
		for _, a := range d.router.Addresses() {
			out = append(out, api.Route{Prefix: netip.PrefixFrom(a, 128), Port: d.host.Name(), Kind: "local"})
		}
		links := d.router.Links()
		for _, rt := range d.router.FIB().Routes() {
			r := api.Route{Prefix: rt.Prefix, NextHop: rt.NextHop, Kind: rt.Kind.String(), Metric: int(rt.Metric)}
			if rt.Kind != router.RouteUnreachable {
				r.Port = links[rt.Port].Name()
			}
			out = append(out, r)
		}
	})
	return out, err
}

// Config implements [api.Backend].
func (d *Daemon) Config(context.Context) (api.Config, error) {
	c := d.cfg.Redacted()
	return api.Config{TOML: c.TOML(), Values: c.Values()}, nil
}

// Ping implements [api.Backend].
func (d *Daemon) Ping(ctx context.Context, req api.PingRequest, emit func(api.PingReply) error) error {
	interval, timeout := req.Interval.Duration(), req.Timeout.Duration()
	if interval <= 0 {
		interval = time.Second
	}
	// As many as may be under way at once, and room for each outcome: the loop never
	// waits for us.
	results := make(chan router.PingResult, 128)
	id := uint16(rand.Uint32())
	send := func(seq int) error {
		var err error
		doErr := d.do(ctx, func(now time.Time) {
			err = d.router.Ping(now, router.Ping{
				Dst: req.Addr, Src: req.Source, Size: req.Size, HopLimit: uint8(req.HopLimit), ID: id, Seq: uint16(seq), Timeout: timeout,
				Done: func(r router.PingResult) {
					if r.Dup && len(results) >= cap(results)/2 {
						return // the rest is for first answers, of which there must be one each
					}
					select {
					case results <- r:
					default: // emit has been stuck for a hundred answers: the client is gone
					}
				},
			})
		})
		return errors.Join(doErr, err)
	}
	if timeout <= 0 {
		timeout = time.Second // as the router has it
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	// The members of a group answer one after the other: each is waited for until the last
	// request has run out.
	last := time.NewTimer(timeout)
	defer last.Stop()
	next, waiting := 1, 0
	for {
		var due, over <-chan time.Time
		switch {
		case req.Count == 0 || next <= req.Count:
			due = tick.C
		case waiting > 0:
		case !req.Addr.IsMulticast():
			return nil
		default:
			over = last.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			if err := send(next); err != nil {
				switch {
				case next == 1:
					return api.BadRequest("%w", err)
				case errors.Is(err, router.ErrPingBusy):
					tick.Reset(interval)
					continue
				}
				if err := emit(api.PingReply{Seq: next, Error: err.Error()}); err != nil {
					return err
				}
			} else {
				waiting++
				last.Reset(timeout)
				if err := emit(api.PingReply{Seq: next, Sent: true}); err != nil {
					return err
				}
			}
			next++
			tick.Reset(interval)
		case <-over:
			return nil
		case r := <-results:
			if !r.Dup {
				waiting--
			}
			if err := emit(pingReply(r)); err != nil {
				return err
			}
		}
	}
}

func pingReply(r router.PingResult) api.PingReply {
	a := api.PingReply{
		Seq: int(r.Seq), From: r.From, Bytes: r.Bytes, HopLimit: int(r.HopLimit), Dup: r.Dup,
		RTT: float64(r.RTT.Nanoseconds()) / 1000, Type: r.Type, Code: r.Code,
	}
	switch {
	case r.Err != nil:
		a.Error = api.PingTimeout
	case r.Type != 0:
		a.Error = api.ICMPErrorText(r.Type, r.Code)
	}
	return a
}

// Capture implements [api.Backend].
func (d *Daemon) Capture(ctx context.Context, req api.CaptureRequest, w io.Writer) error {
	names := []string{d.host.Name()}
	for _, m := range d.meshes {
		names = append(names, m.name)
	}
	if d.lan != nil {
		names = append(names, d.lan.link.Name())
	}
	for _, p := range req.Ports {
		if !slices.Contains(names, p) {
			return api.BadRequest("no port %q: there are %s", p, strings.Join(names, ", "))
		}
	}
	return d.bus.Subscribe(ctx, w, capture.Filter{Ports: req.Ports, Radio: req.Radio, IP: req.IP})
}

func (m *mesh) status() *api.Radio {
	s := m.radio.RadioStats()
	r := &api.Radio{
		URL: m.url, State: "up", Channel: m.radio.Channel(), PAN: fmt.Sprintf("0x%04x", m.pan), EUI64: m.lladdr.String(),
	}
	r.Counters = map[string]uint64{
		"received": s.Received, "delivered": s.Delivered, "consumed": s.Consumed, "forwarded": s.Forwarded,
		"acks_sent": s.AcksSent, "sent": s.Sent, "acked": s.Acked, "no_ack": s.NoAck, "channel_busy": s.ChannelBusy,
		"skipped": s.Skipped, "too_long": s.TooLong, "attempts": s.Attempts,
	}
	r.Drops = make(map[string]uint64, len(s.Drops))
	for _, d := range s.Drops {
		r.Drops[d.Reason] += d.Count
	}
	if z, ok := m.radio.(*zep.Radio); ok {
		h := z.HubStats()
		maps.Copy(r.Counters, map[string]uint64{
			"hub_copies": h.Copies, "hub_sniffer_copies": h.SnifferCopies, "hub_peers_learned": h.PeersLearned, "hub_peers_aged": h.PeersAged,
			"hub_peers_evicted": h.PeersEvicted, "hub_impaired": h.Impaired, "refused": h.Refused, "send_errors": h.SendErrors, "read_errors": h.ReadErrors,
		})
		r.Peers = len(z.Peers())
		for _, a := range z.LocalAddrs() {
			r.Local = append(r.Local, a.String())
		}
	}
	if c, ok := m.radio.(radios.Dongle); ok {
		maps.Copy(r.Counters, c.Counters())
		r.Firmware = c.Firmware()
	}
	c := m.health.state(time.Now(), m.pump.Err())
	r.State, r.Error, r.Outages, r.Downtime = c.State, c.Reason, c.Outages, c.Downtime.Seconds()
	if !c.Since.IsZero() {
		r.Since = &c.Since
	}
	if l := c.Last; !l.Since.IsZero() {
		r.Last = &api.Outage{Since: l.Since, Seconds: l.For.Seconds(), Reason: l.Reason}
	}
	m.radios.status(r)
	return r
}
