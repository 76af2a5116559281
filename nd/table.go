package nd

import (
	"encoding/binary"
	"net/netip"

	"border-router/internal/addrtable"
)

// tableKey is the key of a in the tables of neighbors, without regard to a zone.
func tableKey(a netip.Addr) addrtable.Key {
	b := a.As16()
	return addrtable.Key{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// entriesOf returns the values of t, in no order; t may be changed while one goes through them.
func entriesOf[E any](t *addrtable.Table[E]) []E {
	l := make([]E, 0, t.Len())
	for _, e := range t.All() {
		l = append(l, *e)
	}
	return l
}
