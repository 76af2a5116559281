package daemon

import (
	"encoding/json"
	"net/netip"
	"time"

	"border-router/lowpan"
	"border-router/nd"
)

// contextIDs gives the prefixes of a mesh their compression contexts. Nodes keep a context
// for as long as they were told, through restarts of the router too: a number must not get
// another prefix in that time (RFC 6775 section 7.2), and what they compress with it has to
// be understood. So the numbers are kept, and the one that was told of longest ago goes
// first.
type contextIDs struct {
	IDs [16]contextID `json:"ids"`
}

type contextID struct {
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Used   int64        `json:"used,omitempty"` // Unix time at which it was announced last
}

const keyContexts = "contexts."

// loadContexts reads what was kept; the numbers of the configuration are not ours to give.
func (d *Daemon) loadContexts(m *mesh) {
	if b, ok := d.store.Get(keyContexts + m.name); ok {
		if json.Unmarshal(b, &m.contexts) != nil {
			m.contexts = contextIDs{}
		}
	}
	for i := range m.contexts.IDs {
		if p := m.contexts.IDs[i].Prefix; p.IsValid() && (!p.Addr().Is6() || p.Bits() > 128) {
			m.contexts.IDs[i] = contextID{}
		}
	}
	for _, x := range d.cfg.ND.Contexts {
		m.contexts.IDs[x.ID] = contextID{}
	}
}

// tellContexts returns the contexts that nodes are to be told of: those of prefixes, of which
// the first is in use and compressed with, and of the configuration. The adaptation layer
// gets them, and those that nodes may still have.
func (d *Daemon) tellContexts(now time.Time, m *mesh, prefixes []netip.Prefix) (list []nd.ContextOption) {
	var used [16]bool
	for _, x := range d.cfg.ND.Contexts {
		used[x.ID] = true
		list = append(list, nd.ContextOption{ID: int(x.ID), Prefix: x.Prefix, Compress: x.Compress, Lifetime: d.cfg.ND.ContextLifetime})
	}
	c := &m.contexts
	ids := make([]int, len(prefixes))
	for i, p := range prefixes {
		ids[i] = -1
		for id := range c.IDs {
			if c.IDs[id].Prefix == p && !used[id] {
				ids[i], used[id] = id, true
				break
			}
		}
	}
	for i, p := range prefixes {
		if ids[i] < 0 {
			ids[i] = c.free(&used)
		}
		id := ids[i]
		if id < 0 {
			continue
		}
		used[id] = true
		c.IDs[id] = contextID{Prefix: p, Used: now.Unix()}
		list = append(list, nd.ContextOption{ID: id, Prefix: p, Compress: p == m.prefix, Lifetime: d.cfg.ND.ContextLifetime})
	}
	var told [16]bool
	for _, x := range list {
		told[x.ID] = true
		m.iface.SetContext(x.ID, lowpan.Context{Prefix: x.Prefix, Compress: x.Compress})
	}
	for id, x := range c.IDs {
		if !told[id] {
			m.iface.SetContext(id, lowpan.Context{Prefix: x.Prefix})
		}
	}
	if b, err := json.Marshal(c); err == nil {
		d.store.Put(keyContexts+m.name, b)
	}
	return list
}

// free returns the number that is to get a prefix next: one that had none, else the one that
// was told of longest ago; -1 where all are in use.
func (c *contextIDs) free(used *[16]bool) int {
	best := -1
	for id, x := range c.IDs {
		if used[id] {
			continue
		}
		if !x.Prefix.IsValid() {
			return id
		}
		if best < 0 || x.Used < c.IDs[best].Used {
			best = id
		}
	}
	return best
}
