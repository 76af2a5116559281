package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"border-router/internal/radios"
	"border-router/ipv6"
)

// firstAnswer is how long a radio is waited for at the start that has to tell its address,
// where it is not known from an earlier run. A later one is taken in when it comes.
var firstAnswer = 3 * time.Second

// nextAnswer is the same where the address is known.
const nextAnswer = time.Second

// errAddress says that a radio has another address than the one that the router runs with:
// what was built on that has to be built again.
var errAddress = errors.New("the radio has another address")

// radioChanged is told by the radio that it is up or away.
func (d *Daemon) radioChanged(m *mesh, up bool, err error) {
	lasted := m.health.changed(time.Now(), up, err)
	c := m.health.state(time.Now(), nil)
	switch {
	case lasted < 0:
		// Another reason for the same; the driver has told it.
	case !up:
		d.log.Warn("radio away: the nodes of its mesh are not reached", "link", m.name, "radio", m.url, "err", err,
			"outages", c.Outages, "what_to_do", remedy(m.url, err))
	case c.Outages > 0 || lasted > 0:
		d.log.Info("radio back", "link", m.name, "after", lasted.Round(time.Millisecond), "outages", c.Outages)
	}
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// watch acts on the comings of a radio until ctx ends: nodes may have given the router up
// while it was away, so it announces itself; and it may be another radio.
func (d *Daemon) watch(ctx context.Context, m *mesh) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.news:
		}
		if m.health.state(time.Now(), nil).State != "up" {
			continue
		}
		if a, ok := m.radio.(radios.Addressed); ok {
			eui64, err := a.Address(ctx)
			if err != nil {
				continue // away again
			}
			if ipv6.EUI64(eui64) != m.lladdr {
				d.store.Put(addressKey(m.name), binary.BigEndian.AppendUint64(nil, eui64))
				d.lost(fmt.Errorf("%s: %w", m.name, errAddress))
				return
			}
		}
		if d.do(ctx, m.nd.Announce) != nil {
			return
		}
	}
}

// lost ends the daemon.
func (d *Daemon) lost(err error) { d.downOnce.Do(func() { d.down <- err }) }

// tellMove has the nodes told that the router is not at the address of the last time any more.
func (d *Daemon) tellMove(m *mesh, eui64 uint64) {
	key := "radio/last/" + m.name
	if b, ok := d.store.Get(key); ok && len(b) == 8 {
		m.nd.Moved(ipv6.LinkLocal(ipv6.EUI64(binary.BigEndian.Uint64(b))))
	}
	d.store.Put(key, binary.BigEndian.AppendUint64(nil, eui64))
}

func addressKey(port string) string { return "radio/eui64/" + port }

// ownAddress returns the address that the radio has by itself. One that is away has the
// address of the last time; one that was never there, one that is made up until it comes.
func (d *Daemon) ownAddress(ctx context.Context, m *mesh, a radios.Addressed) (uint64, error) {
	last, seen := d.store.Get(addressKey(m.name))
	seen = seen && len(last) == 8
	patience := firstAnswer
	if seen {
		patience = nextAnswer
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	eui64, reason := a.Address(wait)
	switch {
	case reason == nil:
		if !seen || eui64 != binary.BigEndian.Uint64(last) {
			if seen {
				d.log.Warn("another radio than before: its nodes have to register again", "link", m.name, "lladdr", ipv6.EUI64(eui64))
			}
			d.store.Put(addressKey(m.name), binary.BigEndian.AppendUint64(nil, eui64))
		}
		return eui64, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case seen:
		eui64 = binary.BigEndian.Uint64(last)
	default:
		var err error
		if eui64, err = d.store.EUI64(m.name); err != nil {
			return 0, fmt.Errorf("generate the EUI-64 of %s: %w", m.name, err)
		}
	}
	if errors.Is(reason, context.DeadlineExceeded) { // the driver has told why, or will
		d.log.Warn("waiting for the radio", "link", m.name, "radio", m.url, "err", "it has not answered yet")
	} else {
		d.log.Warn("waiting for the radio", "link", m.name, "radio", m.url, "err", reason, "what_to_do", remedy(m.url, reason))
	}
	return eui64, nil
}
