package coap

import (
	"net/netip"
	"slices"
	"time"
)

// maxLeisurely bounds the answers that wait: a request to a group is answered late, so that
// the requests of a flood would add up.
const maxLeisurely = 16

// delayed is an answer to a request that came to a group.
type delayed struct {
	at time.Time
	to netip.AddrPort
	b  []byte
}

// AllCoAPNodes are the groups that every server belongs to: All CoAP Nodes, of link, realm
// and site scope (RFC 7252 section 12.8, RFC 7346).
func AllCoAPNodes() []netip.Addr { return slices.Clone(allCoAPNodes) }

var allCoAPNodes = []netip.Addr{
	netip.MustParseAddr("ff02::fd"), netip.MustParseAddr("ff03::fd"), netip.MustParseAddr("ff05::fd"),
}

// atLeisure has a sent at a random time within the leisure, so that not all members of the
// group answer at once (RFC 7252 section 8.2). It comes from a unicast address, that the
// stack chooses.
func (e *endpoint) atLeisure(now time.Time, a *answer) error {
	if len(e.leisurely) >= maxLeisurely {
		return DropLeisure
	}
	at := now
	if e.cfg.Leisure > 0 {
		at = at.Add(time.Duration(e.rand.Int64N(int64(e.cfg.Leisure))))
	}
	e.leisurely = append(e.leisurely, delayed{at, a.to, slices.Clone(e.encode(a))})
	e.stats.Answered++
	e.advanceLeisure(now)
	return nil
}

// advanceLeisure sends the answers whose time has come.
func (e *endpoint) advanceLeisure(now time.Time) {
	e.leisurely = slices.DeleteFunc(e.leisurely, func(d delayed) bool {
		if d.at.After(now) {
			return false
		}
		e.send(d.to, netip.Addr{}, d.b)
		return true
	})
}
