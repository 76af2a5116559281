package dongle

import (
	"io"
	"sync"
	"time"
)

// A pacedLine passes bytes at the pace of a serial line.
type pacedLine struct {
	io.ReadWriter
	byteTime time.Duration // of one byte, 8N1
	rmu, wmu sync.Mutex
	r, w     time.Time // when the bytes so far are through
}

// paceChunk is how many bytes are on their way at once.
const paceChunk = 64

// Paced returns line with the pace of a serial port of baud bit/s in both directions, 8N1:
// ten bits a byte. It is line itself where baud is 0.
func Paced(line io.ReadWriter, baud int) io.ReadWriter {
	if baud <= 0 {
		return line
	}
	return &pacedLine{ReadWriter: line, byteTime: 10 * time.Second / time.Duration(baud)}
}

// through returns when n bytes more are through a direction whose last were at t.
func (p *pacedLine) through(t time.Time, n int) time.Time {
	if now := time.Now(); t.Before(now) {
		t = now
	}
	return t.Add(time.Duration(n) * p.byteTime)
}

func (p *pacedLine) Read(b []byte) (int, error) {
	p.rmu.Lock()
	defer p.rmu.Unlock()
	n, err := p.ReadWriter.Read(b[:min(len(b), paceChunk)])
	p.r = p.through(p.r, n)
	time.Sleep(time.Until(p.r))
	return n, err
}

func (p *pacedLine) Write(b []byte) (done int, err error) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	for len(b) > 0 && err == nil {
		var n int
		n, err = p.ReadWriter.Write(b[:min(len(b), paceChunk)])
		done, b = done+n, b[n:]
		p.w = p.through(p.w, n)
		time.Sleep(time.Until(p.w))
	}
	return done, err
}
