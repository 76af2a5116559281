package ieee802154

// MaxPending is how many addresses a [MAC] says frame pending for.
const MaxPending = 256

// A SourceMatcher is a [Radio] that looks up, while it acknowledges a data request, whether
// frames wait for its sender: in a table in hardware, or in a [MAC]. The frames themselves
// stay with the layer above, which gives one to Transmit when the data request arrives.
// Neither method blocks for long.
type SourceMatcher interface {
	// SetPending says whether frames wait for a. The error is that of a full table.
	SetPending(a Addr, pending bool) error
	// SetSourceMatch with false says frame pending to everybody, whatever the table holds:
	// "if the coordinator cannot determine in time whether it has data pending, it shall
	// set the Frame Pending field to one" (section 6.7.3).
	SetSourceMatch(on bool)
}

// A Sleeper is a [Radio] whose receiver can be switched off. It can transmit all the same,
// and hears the acknowledgment of what it sends.
type Sleeper interface {
	SetReceiver(on bool)
}

type pendingError struct{}

func (pendingError) Error() string { return "no room for another address with pending frames" }

// ErrPendingFull is the error of [MAC.SetPending].
var ErrPendingFull error = pendingError{}

// SetPending says whether frames wait for a; see [SourceMatcher].
func (m *MAC) SetPending(a Addr, pending bool) error {
	for i, b := range m.pending {
		if a != b {
			continue
		}
		if !pending {
			last := len(m.pending) - 1
			m.pending[i] = m.pending[last]
			m.pending = m.pending[:last]
		}
		return nil
	}
	if !pending {
		return nil
	}
	if len(m.pending) == MaxPending {
		return ErrPendingFull
	}
	m.pending = append(m.pending, a)
	return nil
}

// SetSourceMatch says whether acknowledgments follow SetPending, as they do at first; see
// [SourceMatcher].
func (m *MAC) SetSourceMatch(on bool) { m.pendingAll = !on }

// SetReceiver switches reception off and on. While it is off only an acknowledgment that is
// awaited is heard; everything else is dropped as [DropAsleep].
func (m *MAC) SetReceiver(on bool) { m.asleep = !on }

// framePending reports whether the acknowledgment of f is to say that frames wait for its
// sender. "The Frame Pending field may be set in acknowledgments of data requests only"
// (section 7.3.3); of an enciphered command it cannot be told what it asks.
func (m *MAC) framePending(f *Frame) bool {
	if f.Type != TypeCommand {
		return false
	}
	if id, ok := f.Command(); ok && id != CommandDataRequest {
		return false
	}
	m.stats.DataRequests++
	if m.pendingAll {
		return true
	}
	for _, a := range m.pending {
		if a == f.Src {
			return true
		}
	}
	return false
}
