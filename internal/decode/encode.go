package decode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
)

// An Encoder turns lines of JSON with IPv6 packets into lines with the MAC frames that
// carry them. It is for one goroutine.
type Encoder struct {
	opt Options
	sum Summary
	w   *bufio.Writer

	in     line
	own    lowpan.Contexts
	tag    uint16
	id     []byte
	pkt    []byte
	whole  []byte
	frames []byte // one after the other
	ends   []int
	buf    []byte
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer, opt Options) *Encoder {
	return &Encoder{opt: opt, w: bufio.NewWriterSize(w, 64<<10)}
}

// Summary returns what has been read so far.
func (e *Encoder) Summary() Summary { return e.sum }

// Flush writes what is buffered.
func (e *Encoder) Flush() error { return e.w.Flush() }

// Read encodes every line of in.
func (e *Encoder) Read(ctx context.Context, in io.Reader) error {
	return eachLine(ctx, skipMark(bufio.NewReaderSize(in, 64<<10)), e.w.Flush, func(n uint64, b []byte, err error) error {
		if err == nil {
			err = e.line(n, b)
		} else {
			e.id = strconv.AppendUint(e.id[:0], n, 10)
		}
		e.sum.Inputs++
		e.buf = append(e.buf[:0], `{"id":`...)
		e.buf = append(e.buf, e.id...)
		if err != nil {
			e.sum.Errors++
			e.buf = append(e.buf, `,"frames":null,"compressed_hex":null,"error":`...)
			e.buf = appendString(e.buf, err.Error())
		} else {
			e.sum.Delivered += uint64(len(e.ends))
			e.buf = append(e.buf, `,"frames":[`...)
			start := 0
			for i, end := range e.ends {
				if i > 0 {
					e.buf = append(e.buf, ',')
				}
				e.buf = appendHex(e.buf, e.frames[start:end])
				start = end
			}
			e.buf = append(e.buf, `],"compressed_hex":`...)
			e.buf = appendHex(e.buf, e.whole)
		}
		e.buf = append(e.buf, '}', '\n')
		_, err = e.w.Write(e.buf)
		return err
	})
}

// line encodes one line into e.frames and e.whole.
func (e *Encoder) line(n uint64, b []byte) error {
	e.id = strconv.AppendUint(e.id[:0], n, 10)
	e.frames, e.ends, e.whole = e.frames[:0], e.ends[:0], e.whole[:0]
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return errors.New("empty line")
	}
	l := &e.in
	err := l.parse(b)
	if len(l.ID) > 0 {
		e.id = append(e.id[:0], l.ID...)
	}
	if err != nil {
		return err
	}
	c := &e.own
	*c = e.opt.Contexts
	if len(l.Contexts) > 0 {
		*c = lowpan.Contexts{}
		if err := l.contexts(c); err != nil {
			return err
		}
	}
	if err := l.rpl(c, &e.opt.Contexts); err != nil {
		return err
	}
	if !l.IPv6.ok {
		return errors.New("nothing to encode: want ipv6_hex")
	}
	if e.pkt, err = unhex(e.pkt[:0], l.IPv6.s); err != nil {
		return fmt.Errorf("ipv6_hex: %w", err)
	}
	p, err := ipv6.Parse(e.pkt)
	if err != nil {
		return fmt.Errorf("ipv6_hex: %w", err)
	}
	if len(p) != len(e.pkt) {
		return errors.New("ipv6_hex: longer than the packet says")
	}
	if len(p) > lowpan.MaxDatagram {
		return fmt.Errorf("ipv6_hex: %w", lowpan.DropTooLong)
	}
	link, err := l.link(e.opt.PAN)
	if err != nil {
		return err
	}
	if link.Dst.IsZero() && p.IsMulticast() {
		link.Dst = ipv6.BroadcastShort
	}
	if link.Src.IsZero() || link.Dst.IsZero() {
		return errors.New("want l2_src and l2_dst")
	}
	o := lowpan.CompressOptions{
		ElideUDPChecksum: e.opt.ChecksumElision || l.ElideChecksum,
		PlainExtHeaders:  e.opt.PlainExtHeaders,
		RoutingHeaders:   e.opt.RoutingHeaders || l.RoutingHeaders,
		GHC:              e.opt.GHC || l.GHC,
	}
	hdr, consumed, err := c.Compress(e.whole, p, link, o)
	if err != nil {
		return err
	}
	e.whole = append(hdr, p[consumed:]...)

	f := macHeader(link)
	hl := 2 + 1 + 2 + link.Dst.Len() + link.Src.Len()
	seq, room := uint8(0), ieee802154.MaxFrame-ieee802154.FCSLen-hl
	if l.MaxPayload.ok && l.MaxPayload.v < int64(room) {
		if l.MaxPayload.v < 1 {
			return errors.New("max_payload: less than a byte")
		}
		room = int(l.MaxPayload.v)
	}
	err = c.Fragment(p, link, o, room, e.tag, func(payload []byte, last bool) {
		f.Seq, f.Payload = seq, payload
		f.Pending = !last && f.AckRequest
		seq++
		b, err := f.AppendBinary(e.frames)
		if err != nil {
			panic("decode: MAC frame: " + err.Error())
		}
		e.frames = b
		e.ends = append(e.ends, len(b))
	})
	if len(e.ends) > 1 {
		e.tag++
	}
	return err
}

// macHeader returns the header of a data frame as the router sends it: version 2006, one
// PAN identifier, an acknowledgment asked for unless it is a broadcast.
func macHeader(l lowpan.Link) ieee802154.Frame {
	f := ieee802154.Frame{
		Type:             ieee802154.TypeData,
		Version:          ieee802154.Version2006,
		PANIDCompression: true,
		DstPAN:           l.PAN,
		AckRequest:       l.Dst != ipv6.BroadcastShort,
	}
	addr := func(a ipv6.LinkAddr) ieee802154.Addr {
		if a.Len() == 2 {
			return ieee802154.Short(uint16(a.Uint64()))
		}
		return ieee802154.Extended(a.Uint64())
	}
	f.Dst, f.Src = addr(l.Dst), addr(l.Src)
	return f
}
