package decode

import (
	"bufio"
	"io"
	"time"

	"border-router/internal/capture"
)

// An output writes results in one format.
type output struct {
	w      *bufio.Writer
	format Format
	buf    []byte
	n      int64
	err    error
}

func newOutput(w io.Writer, f Format) *output {
	o := &output{w: bufio.NewWriterSize(w, 64<<10), format: f}
	if f == FormatPcapng {
		o.buf = capture.AppendSection(o.buf, "border-router")
		o.buf = capture.AppendInterface(o.buf, capture.LinkTypeIPv6, "6lowpan", "decompressed IPv6")
		_, o.err = o.w.Write(o.buf)
	}
	return o
}

func (o *output) flush() error {
	if err := o.w.Flush(); o.err == nil {
		o.err = err
	}
	return o.err
}

func (o *output) write(r *result) error {
	o.buf = o.buf[:0]
	switch o.format {
	case FormatJSON:
		o.buf = append(r.appendJSON(o.buf), '\n')
	case FormatTree:
		o.buf = r.appendTree(o.buf)
	case FormatPcapng:
		at := r.time
		if at.IsZero() { // lines have no time: the order shows
			o.n++
			at = time.UnixMicro(o.n)
		}
		for _, p := range r.packets {
			o.buf = capture.AppendIPv6(o.buf, capture.Packet{Time: at}, p)
		}
	}
	_, o.err = o.w.Write(o.buf)
	return o.err
}
