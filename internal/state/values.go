package state

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
)

func meta(key string) entry { return entry{"meta", key} }

// once returns the value of a key of n bytes, which make fills in where there is none and
// which is on the disk when it is returned. The lock makes the first caller win.
func (s *Store) once(key string, n int, fill func([]byte)) ([]byte, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if v, ok := s.get(meta(key)); ok && len(v) == n {
		return v, nil
	}
	v := make([]byte, n)
	fill(v)
	s.put(meta(key), v)
	return v, s.flushLocked()
}

// EUI64 returns the EUI-64 of the radio called name, as a big-endian number: random and
// locally administered (RFC 4291 section 2.5.1), generated once.
func (s *Store) EUI64(name string) (uint64, error) {
	v, err := s.once("eui64/"+name, 8, func(b []byte) {
		rand.Read(b)
		b[0] = b[0]&^1 | 2 // one station, locally administered
	})
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

// ULA returns the unique local /48 of this router (RFC 4193 section 3.2), generated once.
func (s *Store) ULA() (netip.Prefix, error) {
	v, err := s.once("ula", 6, func(b []byte) {
		rand.Read(b)
		b[0] = 0xfd
	})
	if err != nil {
		return netip.Prefix{}, err
	}
	var a [16]byte
	copy(a[:], v)
	a[0] = 0xfd
	return netip.PrefixFrom(netip.AddrFrom16(a), 48), nil
}

const (
	abroVersion = "abro_version"
	abroAhead   = 256 // versions that are kept at a time
)

// NextABROVersion returns a version number for the Authoritative Border Router Option
// that is larger than any before (RFC 6775 section 4.3). To be called once at each start.
func (s *Store) NextABROVersion() (uint32, error) {
	v, err := s.Next(abroVersion)
	return uint32(v), err
}

// KeepABROVersion has versions from the next start on be larger than v. That is written
// later, and for so many versions ahead that it has been for v before, unless the disk does
// nothing for the time of 128 of them.
func (s *Store) KeepABROVersion(v uint32) {
	if s.Counter(abroVersion) < uint64(v)+abroAhead/2 {
		s.SetCounter(abroVersion, uint64(v)+abroAhead)
	}
}

// Next adds one to the counter called name and returns its new value, which is on the
// disk then: no two calls return the same, over restarts and kills. The first is 1.
func (s *Store) Next(name string) (uint64, error) { return s.Advance(name, 1) }

// Advance adds n to the counter called name and returns its new value, which is on the
// disk then. A caller that takes n numbers at a time has to write only once for them, and
// loses those it did not use when it is killed.
func (s *Store) Advance(name string, n uint64) (uint64, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	v := s.Counter(name) + n
	s.SetCounter(name, v)
	if err := s.flushLocked(); err != nil {
		return 0, fmt.Errorf("counter %s: %w", name, err)
	}
	return v, nil
}

// Counter returns the counter called name, 0 where it was never set.
func (s *Store) Counter(name string) uint64 {
	if v, ok := s.get(meta("counter/" + name)); ok && len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// SetCounter sets the counter called name. It is written later.
func (s *Store) SetCounter(name string, v uint64) {
	s.put(meta("counter/"+name), binary.BigEndian.AppendUint64(nil, v))
}

// Get returns the bytes kept under key, which must not be changed.
func (s *Store) Get(key string) ([]byte, bool) { return s.get(meta("kv/" + key)) }

// Put keeps a copy of v under key. It is written later.
func (s *Store) Put(key string, v []byte) { s.put(meta("kv/"+key), append([]byte{}, v...)) }

// Delete removes what is kept under key. It is written later.
func (s *Store) Delete(key string) { s.put(meta("kv/"+key), nil) }
