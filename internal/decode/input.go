package decode

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
)

// Limits of one input.
const (
	maxLine   = 1 << 20
	maxPacket = 1 << 18
)

// Read decodes all of in: pcap or pcapng, compressed by gzip or not, or lines of text. What
// cannot be read is counted and reported in its place; the error says that the input as a
// whole cannot be read on, or the output not be written.
func (d *Decoder) Read(ctx context.Context, in io.Reader) error {
	br := bufio.NewReaderSize(in, 64<<10)
	head, err := br.Peek(4)
	if len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(br)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		br = bufio.NewReaderSize(z, 64<<10)
		head, _ = br.Peek(4)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	defer d.endStream()
	if len(head) == 4 {
		switch binary.BigEndian.Uint32(head) {
		case 0x0a0d0d0a:
			return d.readNg(ctx, br)
		case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
			return d.readPcap(ctx, br)
		}
	}
	return eachLine(ctx, skipMark(br), d.out.flush, func(n uint64, b []byte, err error) error {
		d.text(n, b, err)
		return d.end()
	})
}

// skipMark takes the byte order mark of UTF-8 off the start of text.
func skipMark(in *bufio.Reader) *bufio.Reader {
	if b, _ := in.Peek(3); string(b) == "\xef\xbb\xbf" {
		in.Discard(len(b))
	}
	return in
}

// text decodes a line of JSON or hexadecimal.
func (d *Decoder) text(n uint64, b []byte, err error) {
	b = bytes.TrimSpace(b)
	switch {
	case err != nil:
		d.begin(n).unreadable(err)
	case len(b) == 0:
		d.begin(n).unreadable(errEmpty)
	case b[0] == '{':
		d.line(n, b)
	default:
		r := d.begin(n)
		if d.hex, err = unhex(d.hex[:0], b); err != nil {
			r.unreadable(errText)
			return
		}
		d.useKey(d.opt.Key)
		d.frame(d.hex, fcsNone, &moment{time.Unix(0, 0)}) // lines have no time: nothing times out
	}
}

var (
	errEmpty = errors.New("empty line")
	errText  = errors.New("neither JSON nor hexadecimal")
)

var errLong = fmt.Errorf("line of more than %d bytes", maxLine)

// eachLine calls f for each line, numbered from 1, with an error for one that is too long.
// Before it waits for more input it calls idle.
func eachLine(ctx context.Context, in *bufio.Reader, idle func() error, f func(n uint64, b []byte, err error) error) error {
	var long []byte // beginning of a line that the buffer of in does not hold
	for n := uint64(1); ; {
		if n&0xff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if in.Buffered() == 0 {
			if err := idle(); err != nil {
				return err
			}
		}
		b, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(long) <= maxLine {
				long = append(long, b...)
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil
		if len(long) > 0 {
			if len(long) <= maxLine {
				long = append(long, b...)
			}
			b = long
		}
		if len(b) == 0 && end {
			return nil
		}
		var tooLong error
		if len(b) > maxLine {
			tooLong = errLong
		}
		if err := f(n, b, tooLong); err != nil {
			return err
		}
		n++
		if cap(long) > 1<<16 {
			long = nil
		}
		if long = long[:0]; end {
			return nil
		}
	}
}

// readPcap decodes a pcap file.
func (d *Decoder) readPcap(ctx context.Context, in *bufio.Reader) error {
	r, err := pcapgo.NewReader(in)
	if err != nil {
		return fmt.Errorf("pcap: %w", err)
	}
	return d.packets(ctx, in, func() ([]byte, gopacket.CaptureInfo, uint16, error) {
		b, ci, err := r.ZeroCopyReadPacketData()
		return b, ci, linkOf(uint32(r.LinkType())), err
	})
}

// readNg decodes a pcapng file.
func (d *Decoder) readNg(ctx context.Context, in *bufio.Reader) error {
	r, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return fmt.Errorf("pcapng: %w", err)
	}
	return d.packets(ctx, in, func() ([]byte, gopacket.CaptureInfo, uint16, error) {
		b, ci, err := r.ZeroCopyReadPacketData()
		if err != nil {
			return nil, ci, 0, err
		}
		i, err := r.Interface(ci.InterfaceIndex)
		return b, ci, uint16(i.LinkType), err
	})
}

// packets decodes the packets of a capture. A file that ends inside a packet, as one does
// while it is written, is an error after all that came before.
func (d *Decoder) packets(ctx context.Context, in *bufio.Reader, next func() ([]byte, gopacket.CaptureInfo, uint16, error)) error {
	d.useKey(d.opt.Key)
	for n := uint64(1); ; n++ {
		if n&0xff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if in.Buffered() == 0 {
			if err := d.out.flush(); err != nil {
				return err
			}
		}
		b, ci, link, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the capture ends inside packet %d", n)
		case err != nil:
			return fmt.Errorf("packet %d: %w", n, err)
		}
		r := d.begin(n)
		r.time = ci.Timestamp
		if len(b) > maxPacket {
			b = b[:maxPacket]
		}
		d.packet(link, b, ci.Length, &moment{ci.Timestamp})
		if err := d.end(); err != nil {
			return err
		}
	}
}
