package macsec

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"border-router/ieee802154"
	"border-router/internal/config"
	"border-router/lowpan"
)

const (
	// KeepInterval is how often the counters of devices are kept where they have changed.
	KeepInterval = time.Minute

	retryAfter = time.Second // after counters could not be written
)

// A Keeper keeps the frame counters of one interface. [New] makes it; it works from
// [Keeper.Start] to [Keeper.Close].
type Keeper struct {
	cfg   Config
	names []string // of our counters in the store, one for each key
	rx    string   // key of the counters of devices in the store
	kept  uint64   // changes of the counters when they were kept last

	iface  *lowpan.Interface
	wanted chan uint32
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// A Store is what outlives the process; [border-router/internal/state.Store] is one.
type Store interface {
	Counter(name string) uint64
	SetCounter(name string, v uint64)              // written later
	Advance(name string, n uint64) (uint64, error) // with all that was set before, on the disk when it returns
	Get(key string) ([]byte, bool)
	Put(key string, v []byte) // written later
}

// A Config is what a [Keeper] works with.
type Config struct {
	Name     string // of the interface
	EUI64    uint64 // ours
	Security config.Security
	Store    Store
	// Do runs f on the goroutine that owns the interface, and returns when it has.
	Do     func(ctx context.Context, f func()) error
	Logger *slog.Logger // nil discards
}

// New reserves the first frame counters and returns the security for the interface. The
// Keeper is nil where there is no key, and so is the security.
func New(cfg Config) (*Keeper, *lowpan.Security, error) {
	c := &cfg.Security
	if !c.Key.Set() {
		return nil, nil, nil
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{cfg: cfg, rx: "mac_rx/" + cfg.Name, wanted: make(chan uint32, 1)}
	sec := &lowpan.Security{
		Key:        c.Key.Bytes(),
		Level:      uint8(c.Level),
		MinLevel:   uint8(c.MinLevel),
		KeyIDMode:  uint8(c.KeyIDMode),
		KeyIndex:   uint8(c.KeyIndex),
		KeySource:  uint64(c.KeySource),
		MaxDevices: c.MaxDevices,
	}
	keys := [][16]byte{sec.Key}
	for _, d := range c.Devices {
		sec.Devices = append(sec.Devices, lowpan.SecureDevice{
			EUI64: uint64(d.EUI64), Short: uint16(d.Short), HasKey: d.Key.Set(), Key: d.Key.Bytes(),
		})
		if d.Key.Set() {
			keys = append(keys, d.Key.Bytes())
		}
	}
	// There is one counter for all keys, and a record of it for each: so it can only start
	// again when every key is new.
	first := uint64(0)
	for _, key := range keys {
		name := fmt.Sprintf("mac_tx/%016x/%016x", cfg.EUI64, ieee802154.NewCipher(key).Fingerprint())
		k.names = append(k.names, name)
		first = max(first, cfg.Store.Counter(name))
	}
	if first == 0 {
		first = unknownCounter(time.Now())
	}
	if first >= lowpan.MaxCounter {
		return nil, nil, fmt.Errorf("%s: frame counter exhausted: nothing can be sent with this key any more; set a new security.key, here and in all devices", cfg.Name)
	}
	sec.Counter = uint32(first)
	sec.Reserved = uint32(min(first+lowpan.CounterStep, lowpan.MaxCounter))
	if err := k.write(sec.Reserved); err != nil {
		return nil, nil, fmt.Errorf("reserve frame counters of %s: %w", cfg.Name, err)
	}
	sec.Reserve = func(limit uint32) { k.wanted <- limit } // has room: one is asked for at a time
	sec.Known = k.read()
	return k, sec, nil
}

// unknownCounter is where to start without a record: that may be the first time, but the
// state may have been lost as well. It is above all that a device has used which has sent
// no more than 256 frames a minute since 2026.
func unknownCounter(now time.Time) uint64 {
	m := now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Minute
	return min(uint64(max(m, 0))*256, lowpan.MaxCounter/2)
}

// write has the store say, on the disk, that counters below limit may have been used.
func (k *Keeper) write(limit uint32) error {
	s := k.cfg.Store
	last := len(k.names) - 1
	for _, name := range k.names[:last] {
		s.SetCounter(name, max(s.Counter(name), uint64(limit)))
	}
	// The last one waits for the disk, and for those before with it.
	name := k.names[last]
	if n := s.Counter(name); n < uint64(limit) {
		_, err := s.Advance(name, uint64(limit)-n)
		return err
	}
	_, err := s.Advance(name, 0)
	return err
}

// Start begins to serve i, which was made with the security of New. A nil Keeper does
// nothing.
func (k *Keeper) Start(i *lowpan.Interface) {
	if k == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.iface, k.stop = i, cancel
	k.wg.Go(func() { k.serve(ctx) })
}

func (k *Keeper) serve(ctx context.Context) {
	tick := time.NewTicker(KeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case limit := <-k.wanted:
			k.reserve(ctx, limit)
		case <-tick.C:
			var counters []lowpan.DeviceCounter
			changes := k.kept
			if k.cfg.Do(ctx, func() {
				if k.iface.DeviceCounterChanges() != k.kept {
					counters, changes = k.iface.DeviceCounters(nil)
				}
			}) == nil && changes != k.kept {
				k.put(counters, changes)
			}
		}
	}
}

// reserve grants the interface more counters as soon as they are on the disk.
func (k *Keeper) reserve(ctx context.Context, limit uint32) {
	for {
		err := k.write(limit)
		if err == nil {
			k.cfg.Do(ctx, func() { k.iface.GrantCounters(limit) })
			return
		}
		k.cfg.Logger.Error("cannot reserve frame counters: what is sent will have to wait", "link", k.cfg.Name, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
		}
	}
}

// Close ends the Keeper and keeps what the interface knows. The goroutine that owns the
// interface must have ended. The store must still be open.
func (k *Keeper) Close() {
	if k == nil || k.stop == nil {
		return
	}
	k.stop()
	k.wg.Wait()
	k.stop = nil
	if counters, changes := k.iface.DeviceCounters(nil); changes != k.kept {
		k.put(counters, changes)
	}
}

// A record is 20 bytes, big-endian: EUI-64, fingerprint of the key, next counter.
const recordLen = 20

func (k *Keeper) put(counters []lowpan.DeviceCounter, changes uint64) {
	b := make([]byte, 0, recordLen*len(counters))
	for _, c := range counters {
		b = binary.BigEndian.AppendUint64(b, c.EUI64)
		b = binary.BigEndian.AppendUint64(b, c.Key)
		b = binary.BigEndian.AppendUint32(b, c.Next)
	}
	k.cfg.Store.Put(k.rx, b)
	k.kept = changes
}

func (k *Keeper) read() (counters []lowpan.DeviceCounter) {
	b, _ := k.cfg.Store.Get(k.rx)
	for ; len(b) >= recordLen; b = b[recordLen:] {
		counters = append(counters, lowpan.DeviceCounter{
			EUI64: binary.BigEndian.Uint64(b), Key: binary.BigEndian.Uint64(b[8:]), Next: binary.BigEndian.Uint32(b[16:]),
		})
	}
	return counters
}
