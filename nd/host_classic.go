package nd

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"time"

	"border-router/ipv6"
)

// startDAD begins duplicate address detection of a (RFC 4862 section 5.4): a group to
// listen to, a solicitation, a second to wait.
func (h *Host) startDAD(now time.Time, a netip.Addr) {
	h.timers.Set(hostTimer{timerDAD, a}, now.Add(dadTime))
	// The first report again after a while, since it may be lost (RFC 2710 section 4).
	h.timers.Set(hostTimer{timerReport, a}, now.Add(dadTime+time.Duration(h.rand.Int64N(int64(time.Second)))))
	h.sendReport(now, a)
	b, _ := NeighborSolicitation{Target: a}.AppendBinary(begin(h.buf[:0]))
	h.send(now, b, unspecified, SolicitedNode(a), ipv6.LinkAddr{})
}

// endDAD makes a usable: nobody objected.
func (h *Host) endDAD(now time.Time, addr netip.Addr) {
	if a := h.addr(addr); a != nil && !a.ready {
		a.ready = true
		h.ev.AddressAdded(now, addr, a.bits)
	}
}

// failDAD gives a up: somebody has it.
func (h *Host) failDAD(now time.Time, addr netip.Addr) {
	h.timers.Remove(hostTimer{timerDAD, addr})
	h.timers.Remove(hostTimer{timerReport, addr})
	h.stats.Refused++
	h.log.LogAttrs(context.Background(), slog.LevelWarn, "duplicate address", slog.Any("addr", addr))
}

// handleQuery answers a multicast listener query (RFC 2710 section 4).
func (h *Host) handleQuery(now time.Time, b []byte) error {
	if !h.cfg.Classic {
		return DropType // a host of RFC 6775 joins no solicited-node group
	}
	if len(b) < 24 {
		return DropTruncated
	}
	if b[1] != 0 {
		return DropCode
	}
	group := netip.AddrFrom16([16]byte(b[8:24]))
	delay := max(time.Duration(binary.BigEndian.Uint16(b[4:]))*time.Millisecond, time.Millisecond)
	for i := range h.addrs {
		a := h.addrs[i].addr
		if group.IsUnspecified() || group == SolicitedNode(a) {
			h.timers.Set(hostTimer{timerReport, a}, now.Add(time.Duration(h.rand.Int64N(int64(delay)))))
		}
	}
	return nil
}

// sendReport reports that we listen to the solicited-node group of a: MLDv1 (RFC 2710), with
// a Router Alert in a hop-by-hop header (RFC 2711).
func (h *Host) sendReport(now time.Time, a netip.Addr) {
	src := h.ll
	if v := h.addr(h.ll); v == nil || !v.ready {
		src = unspecified // RFC 3590 section 4
	}
	group := SolicitedNode(a)
	g := group.As16()
	b := ipv6.AppendHeader(h.buf[:0], 0, 0, 8+24, ipv6.ProtoHopByHop, 1, src, group)
	b = append(b, ipv6.ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0)
	b = append(b, typeMLDReport, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, g[:]...)
	m := b[ipv6.HeaderLen+8:]
	binary.BigEndian.PutUint16(m[2:], ipv6.Checksum(src.As16(), g, ipv6.ProtoICMPv6, m))
	h.buf = nil
	h.out.SendPacket(now, ipv6.Packet(b), ipv6.LinkAddr{})
	h.buf = b
}
