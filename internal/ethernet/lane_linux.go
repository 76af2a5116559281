package ethernet

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rxBatch    = 16 // frames taken for one wake-up
	numBatches = 4  // batches between the reader of a lane and the loop; with none free, frames wait in the kernel

	// maxFrame is the largest that a packet socket shows: merged segments. Memory that no
	// such frame has touched is not really there.
	maxFrame = vnetHeaderLen + headerLen + 4 + 65535
	// neighborSlot is the room for a frame of neighbor discovery, which nothing merges.
	neighborSlot = vnetHeaderLen + headerLen + 4 + 9216
)

// A laneConfig says what a lane may take of the loop, which does one batch after the other.
type laneConfig struct {
	batches int
	slot    int     // room for one frame in bytes
	rate    float64 // frames a second for longer; 0: as many as there are
	burst   float64 // frames at once
	drop    Drop    // what the kernel had no room for
}

// Of neighbor discovery as much is done as can be: the more of a flood is left out, the less
// of what hosts mean is heard, and then they do not send to us any more. Whatever else is for
// ourselves is a little on any LAN and costs more than what is forwarded. Its rate is far more
// than anybody needs, and what a flood of echo requests gets back; beyond it frames wait in the
// kernel, which discards at the least cost what it has no room for.
var laneConfigs = [numLanes]laneConfig{
	laneTransit:  {batches: numBatches, slot: maxFrame, drop: DropKernel},
	laneNeighbor: {batches: 2, slot: neighborSlot, drop: DropKernelNeighbor},
	laneOwn:      {batches: 2, slot: maxFrame, rate: 20_000, burst: 4096, drop: DropKernelOwn},
}

// An inlet is the port's side of a lane: the batches that its reader fills.
type inlet struct {
	laneConfig
	free chan *batch

	// Of the reader: what it may still take, as of when.
	tokens float64
	last   time.Time
	timer  *time.Timer
}

func newInlet(p *Port, cfg laneConfig) *inlet {
	in := &inlet{laneConfig: cfg, free: make(chan *batch, cfg.batches), tokens: cfg.burst}
	for range cfg.batches {
		in.free <- newBatch(p, in)
	}
	return in
}

func (in *inlet) recycle(b *batch) {
	b.n = 0
	in.free <- b // has room for every batch
}

// pause returns how long the reader is to wait now that it has taken n frames.
func (in *inlet) pause(now time.Time, n int) time.Duration {
	if in.rate == 0 {
		return 0
	}
	if d := now.Sub(in.last); d > 0 {
		in.tokens = min(in.burst, in.tokens+d.Seconds()*in.rate)
		in.last = now
	}
	if in.tokens -= float64(n); in.tokens >= 0 {
		return 0
	}
	// Until there is as much as one batch again.
	return time.Duration((rxBatch - in.tokens) / in.rate * float64(time.Second))
}

// wait waits for d; it reports false where done has ended it.
func (in *inlet) wait(d time.Duration, done <-chan struct{}) bool {
	if in.timer == nil {
		in.timer = time.NewTimer(d)
	} else {
		in.timer.Reset(d)
	}
	select {
	case <-in.timer.C:
		return true
	case <-done:
		in.timer.Stop()
		return false
	}
}

// read hands frames of a lane to the loop until the connection fails, and returns how.
func (p *Port) read(c *conn, in *inlet) error {
	for {
		var b *batch
		select {
		case b = <-in.free:
		case <-p.done:
			return os.ErrClosed
		}
		err := c.next(b)
		n := b.n
		if n == 0 {
			in.recycle(b)
		} else {
			bytes := 0
			for _, l := range b.len[:n] {
				bytes += l
			}
			p.count.inFrames.Add(uint64(n))
			p.count.inBytes.Add(uint64(bytes))
			p.count.inBatches.Add(1)
			if !p.post(b) {
				p.count.drops[DropLoopClosed].Add(uint64(n))
				in.recycle(b)
			}
			if d := in.pause(time.Now(), n); d > 0 && !in.wait(d, p.done) {
				return os.ErrClosed
			}
		}
		if c.tap && errors.Is(err, unix.EIO) {
			// Told when the interface is set down. The file is good for when it comes up.
			continue
		}
		if err != nil {
			return err
		}
	}
}
