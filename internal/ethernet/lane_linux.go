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
	drop    Drop    // what the kernel had no room for
}

const laneBurst = 4096 // frames at once of a lane with a rate

// Of neighbor discovery as much is done as can be: the more of a flood is left out, the less
// of what hosts mean is heard, and then they do not send to us any more. Whatever else is for
// ourselves is a little on any LAN and costs more than what is forwarded. Its rate is far more
// than anybody needs, and what a flood of echo requests gets back; beyond it frames wait in the
// kernel, which discards at the least cost what it has no room for.
var laneConfigs = [numLanes]laneConfig{
	laneTransit:  {batches: numBatches, slot: maxFrame, drop: DropKernel},
	laneNeighbor: {batches: 2, slot: neighborSlot, drop: DropKernelNeighbor},
	laneOwn:      {batches: 2, slot: maxFrame, rate: 20_000, drop: DropKernelOwn},
}

// aloneBurst is the same where all have one queue, in which a burst stands before what is
// forwarded.
const aloneBurst = 512

// A bucket holds frames to a rate.
type bucket struct {
	rate, burst float64 // frames a second, and at once
	tokens      float64 // as of last
	last        time.Time
}

func newBucket(rate, burst float64) bucket {
	return bucket{rate: rate, burst: burst, tokens: burst}
}

// fill counts what has come by now.
func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
		b.last = now
	}
}

// An inlet is the port's side of a lane: the batches that its reader fills.
type inlet struct {
	laneConfig
	free chan *batch

	// Of the reader.
	bucket bucket
	alone  bool   // all lanes come by this one
	own    bucket // where alone: what it may take of laneOwn
	timer  *time.Timer
}

func newInlet(p *Port, cfg laneConfig) *inlet {
	in := &inlet{
		laneConfig: cfg, free: make(chan *batch, cfg.batches),
		bucket: newBucket(cfg.rate, laneBurst), own: newBucket(laneConfigs[laneOwn].rate, aloneBurst),
	}
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
	in.bucket.fill(now)
	if in.bucket.tokens -= float64(n); in.bucket.tokens >= 0 {
		return 0
	}
	// Until there is as much as one batch again.
	return time.Duration((rxBatch - in.bucket.tokens) / in.rate * float64(time.Second))
}

// limit discards from a batch of all lanes what is for ourselves beyond the rate of that, and
// reports whether anything is left. The kernel would do it at less cost.
func (in *inlet) limit(now time.Time, b *batch) bool {
	own, left, head := b.p.ownSet.Load(), 0, 0
	if b.vnet {
		head = vnetHeaderLen
	}
	in.own.fill(now)
	for i, n := range b.len[:b.n] {
		if n >= head && laneOf(b.slab[i*b.slot+head:i*b.slot+n], own) == laneOwn {
			if in.own.tokens < 1 {
				b.len[i] = 0
				b.p.count.drops[DropOwnRate].Add(1)
				continue
			}
			in.own.tokens--
		}
		left++
	}
	return left > 0
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
			now := time.Now()
			if in.alone && !in.limit(now, b) {
				in.recycle(b)
				continue
			}
			p.count.inBatches.Add(1)
			if !p.post(b) {
				p.count.drops[DropLoopClosed].Add(uint64(b.left()))
				in.recycle(b)
			}
			if d := in.pause(now, n); d > 0 && !in.wait(d, p.done) {
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
