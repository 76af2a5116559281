package state

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"border-router/ipv6"
)

// A Record is the registration of one address by a node (RFC 6775, RFC 8505).
type Record struct {
	Port     string        `json:"port"`            // name of the port
	Addr     netip.Addr    `json:"addr"`            // the address registered
	LinkAddr ipv6.LinkAddr `json:"lladdr,omitzero"` // where it is reached; zero behind another router
	ROVR     []byte        `json:"rovr,omitempty"`  // 8 to 32 bytes; the EUI-64 of an ARO
	TID      uint8         `json:"tid,omitempty"`   // transaction id, where EARO is set
	EARO     bool          `json:"earo,omitempty"`  // registered by RFC 8505, TID counts
	Classic  bool          `json:"classic,omitempty"`
	Expires  time.Time     `json:"expires"` // wall clock
}

func registration(port string, addr netip.Addr) entry {
	return entry{"registrations", port + "\x00" + addr.String()}
}

// PutRegistration keeps r in place of what was kept for its port and address. It is
// written later.
func (s *Store) PutRegistration(r Record) {
	r.Expires = r.Expires.Round(0).UTC() // the wall clock, to the letter
	v, err := json.Marshal(&r)
	if err != nil {
		s.log.Error("registration not kept", "link", r.Port, "addr", r.Addr, "err", err)
		return
	}
	s.put(registration(r.Port, r.Addr), v)
}

// DeleteRegistration removes what is kept for an address on a port. It is written later.
func (s *Store) DeleteRegistration(port string, addr netip.Addr) {
	s.put(registration(port, addr), nil)
}

// Registrations returns what is kept for a port, ordered by address; "" stands for all
// ports. Registrations that have run out, as they do while the router is down, are
// removed, and so is what cannot be read.
func (s *Store) Registrations(port string) ([]Record, error) {
	return s.registrations(port, time.Now()), nil
}

func (s *Store) registrations(port string, now time.Time) []Record {
	var recs []Record
	var gone []entry
	s.mu.Lock()
	for e, v := range s.values {
		if e.bucket != "registrations" || port != "" && !strings.HasPrefix(e.key, port+"\x00") {
			continue
		}
		var r Record
		err := json.Unmarshal(v, &r)
		if err == nil && registration(r.Port, r.Addr) != e {
			err = fmt.Errorf("registration of %q is kept under another name", r.Addr)
		}
		if err != nil || !r.Expires.After(now) {
			gone = append(gone, e)
			continue
		}
		recs = append(recs, r)
	}
	s.mu.Unlock()
	for _, e := range gone {
		s.put(e, nil)
	}
	slices.SortFunc(recs, func(a, b Record) int {
		if c := strings.Compare(a.Port, b.Port); c != 0 {
			return c
		}
		return a.Addr.Compare(b.Addr)
	})
	return recs
}
