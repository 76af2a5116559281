package lowpan

import (
	"math/rand/v2"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// newCoordinator returns the coordinator of our PAN.
func newCoordinator(cfg *InterfaceConfig, seed uint64) *ieee802154.Coordinator {
	return ieee802154.NewCoordinator(ieee802154.CoordinatorConfig{
		Ext: cfg.EUI64, Short: cfg.Short, PAN: cfg.PAN, Rand: rand.New(rand.NewPCG(seed, cfg.EUI64)),
	})
}

// macInput takes a beacon or MAC command; it returns 0 when it was taken.
func (i *Interface) macInput(now time.Time, b []byte, h *ieee802154.Frame) Drop {
	if i.sleep.coord == nil {
		return DropFrameType
	}
	if h.HasDstPAN && h.DstPAN != i.cfg.PAN && h.DstPAN != ieee802154.BroadcastPAN {
		return DropPAN
	}
	l := Link{Src: linkAddr(h.Src), Dst: linkAddr(h.Dst), PAN: i.cfg.PAN}
	if h.Dst.Mode != ieee802154.AddrNone && !i.ours(l.Dst) {
		return DropDestination
	}
	if h.Src.Mode != ieee802154.AddrNone && !i.origin(l.Src) {
		return DropSource
	}
	if h.Security {
		if i.sec == nil {
			return DropSecurity
		}
		if why := i.sec.open(b, h, &l); why != 0 {
			return why
		}
	}
	id, ok := h.Command()
	switch {
	case h.Type == ieee802154.TypeCommand && !ok:
		return DropMAC
	case ok && id == ieee802154.CommandDataRequest:
		if i.sec != nil && !h.Security && i.sec.cfg.MinLevel > 0 {
			return DropSecurityLevel // anybody could make a neighbour seem to sleep
		}
		if l.Src.IsZero() {
			return DropSource
		}
		if l.Dst == ipv6.BroadcastShort {
			return DropDestination
		}
		i.polled(now, h.Src)
	default:
		episode, err := i.sleep.coord.Input(now, h)
		if err != nil {
			return DropMAC
		}
		if episode {
			i.conflict(now)
		}
		if id == ieee802154.CommandAssociationRequest {
			i.refresh(l.Src)
		}
	}
	i.stats.FramesDelivered++
	i.stats.MACCommandsIn++
	return 0
}

// conflict tells that somebody else uses our PAN identifier. Nothing changes by itself: the
// nodes are configured with it.
func (i *Interface) conflict(now time.Time) {
	x, _ := i.sleep.coord.Conflict(now)
	how := "its beacon was heard"
	if x.Notified {
		how = "a device told of it"
	}
	i.log.Warn("another coordinator uses our PAN identifier; give one of the two another, and its nodes", "pan", i.cfg.PAN, "lladdr", x.Addr, "reason", how)
}

// PANConflict returns the last conflict of PAN identifiers; ok says that it goes on.
func (i *Interface) PANConflict(now time.Time) (x ieee802154.Conflict, ok bool) {
	if i.sleep.coord == nil {
		return x, false
	}
	return i.sleep.coord.Conflict(now)
}

// nextOwn puts the MAC's own frames into tx: beacons, commands, empty frames, data requests.
func (i *Interface) nextOwn(now time.Time, tx []ieee802154.TxFrame) (n int) {
	s := &i.sleep
	for n < len(tx) {
		b, kind, once := tx[n].Data[:0], flightOwn, false
		ok := false
		if s.coord != nil {
			var to ieee802154.Addr
			if b, to, ok = s.coord.Append(now, b, i.dsn, s.pending); ok && to.Mode != ieee802154.AddrNone {
				i.dsn++
				once = true
				i.refresh(linkAddr(to))
			}
			if !ok && s.nothing.n > 0 {
				b, ok = i.empty(b, s.nothing.pop()), true
			}
		}
		if !ok && s.poller != nil {
			if i.sec != nil && !i.sec.ready() {
				break // until counters are granted
			}
			if b, ok = s.poller.Append(now, b, i.dsn, i.cfg.PAN, s.parent, ieee802154.Extended(i.cfg.EUI64)); ok {
				i.dsn++
				kind = flightPoll
				b = i.sealCommand(b)
				i.switchReceiver()
			}
		}
		if !ok {
			s.own = false
			break
		}
		tx[n] = ieee802154.TxFrame{Data: b, Indirect: once}
		i.flight = append(i.flight, flight{kind: kind})
		n++
	}
	return n
}

// sealCommand secures the command frame b to our coordinator, where frames are secured.
func (i *Interface) sealCommand(b []byte) []byte {
	if i.sec == nil {
		return b
	}
	f := &i.frame
	if f.Parse(b) != nil {
		return b
	}
	payload := [8]byte{}
	f.Payload = payload[:copy(payload[:], f.Payload)] // it is written over
	f.Version, f.Security, f.Sec = ieee802154.Version2006, true, i.sec.out
	b, err := i.sec.key(linkAddr(f.Dst)).Seal(b[:0], f, i.cfg.EUI64)
	if err != nil {
		panic("lowpan: data request: " + err.Error()) // it is one of ours
	}
	i.sec.out.FrameCounter++
	i.sec.ask()
	return b
}

// empty appends the frame that says that nothing waits for a.
func (i *Interface) empty(b []byte, a ieee802154.Addr) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeData, PANIDCompression: true, Seq: i.dsn, DstPAN: i.cfg.PAN, Dst: a, Src: ieee802154.Extended(i.cfg.EUI64)}
	i.dsn++
	b, _ = f.AppendBinary(b) // these addresses always can be
	return b
}

// SetParent says which coordinator a device that sleeps polls; with the zero address it
// listens all the time.
func (i *Interface) SetParent(now time.Time, dst ipv6.LinkAddr) {
	s := &i.sleep
	if s.poller == nil {
		return
	}
	s.parent = macAddr(dst)
	s.poller.Sleep(now, !dst.IsZero())
	i.switchReceiver()
}

// received takes note of a frame with data for a device that sleeps.
func (i *Interface) received(now time.Time, h *ieee802154.Frame) {
	if h.Dst.IsBroadcast() || h.Src != i.sleep.parent {
		return
	}
	i.sleep.poller.Received(now, h.Pending)
	i.switchReceiver()
}

// switchReceiver switches the receiver of a device that sleeps off or on.
func (i *Interface) switchReceiver() {
	s := &i.sleep
	if s.poller == nil || s.receiver == nil {
		return
	}
	if off := !s.poller.Receiver(); off != s.off {
		s.off = off
		s.receiver.SetReceiver(!off)
	}
}
