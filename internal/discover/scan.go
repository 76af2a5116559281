package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"border-router/ieee802154"
	"border-router/internal/radios"
)

// DefaultDwell is how long a scan stays on a channel: a little more than the duration 3 of
// section 8.4.2 (138 ms), which is what most coordinators reckon with.
const DefaultDwell = 200 * time.Millisecond

// A ScanConfig says what to scan.
type ScanConfig struct {
	Target   string        // URL of the radio, or path of a port, which is probed
	Channels []uint8       // nil: 11 to 26
	Dwell    time.Duration // on each channel, once for the energy and once for beacons; 0: DefaultDwell
	Prober   Prober
	// Progress, where set, is told of each channel that is done.
	Progress func(ChannelReport)
}

// A ChannelReport is what was found on one channel.
type ChannelReport struct {
	Channel uint8    `json:"channel"`
	MHz     int      `json:"mhz"`
	Energy  *int8    `json:"energy_dbm"` // the strongest signal; nil: not measured
	Frames  int      `json:"frames"`     // heard, beacons included
	PANs    []string `json:"pans"`       // of those frames
}

// A Report is the result of a scan.
type Report struct {
	Radio     string          `json:"radio"` // its URL
	Channels  []ChannelReport `json:"channels"`
	Beacons   []Beacon        `json:"beacons"`
	Suggested uint8           `json:"suggested_channel"`
	Reason    string          `json:"reason"`
	Notes     []string        `json:"notes,omitempty"` // what could not be done
}

// Frequency returns the centre of a channel of the 2.4 GHz band, MHz.
func Frequency(channel uint8) int { return 2405 + 5*(int(channel)-11) }

// maxHeard bounds what is remembered of a channel: PANs, and coordinators.
const maxHeard = 256

// A listener collects what is heard on the channel that is scanned.
type listener struct {
	mu      sync.Mutex
	channel uint8
	frames  int
	pans    map[uint16]bool
	beacons []Beacon
}

func (l *listener) begin(channel uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channel, l.frames, l.pans = channel, 0, map[uint16]bool{}
}

func (l *listener) hear(f *ieee802154.RxFrame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.channel == 0 || f.Channel != 0 && f.Channel != l.channel {
		return
	}
	l.frames++
	var h ieee802154.Frame
	if h.Parse(f.Data) == nil && len(l.pans) < maxHeard {
		if pan, ok := h.SourcePAN(); ok && pan != ieee802154.BroadcastPAN {
			l.pans[pan] = true
		}
	}
	b, ok := parseBeacon(f)
	if !ok {
		return
	}
	b.Channel = l.channel
	for i := range l.beacons {
		o := &l.beacons[i]
		if o.Channel == b.Channel && o.PAN == b.PAN && o.Coordinator == b.Coordinator {
			b.Count += o.Count
			*o = b
			return
		}
	}
	if len(l.beacons) < maxHeard {
		l.beacons = append(l.beacons, b)
	}
}

func (l *listener) report(channel uint8) ChannelReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := ChannelReport{Channel: channel, MHz: Frequency(channel), Frames: l.frames, PANs: []string{}}
	for pan := range l.pans {
		c.PANs = append(c.PANs, panText(pan))
	}
	slices.Sort(c.PANs)
	return c
}

// Scan measures the energy of each channel, asks for beacons there, and suggests a channel.
// The radio must be nobody's; it is set up anew by whoever uses it next.
func Scan(ctx context.Context, cfg ScanConfig) (*Report, error) {
	if cfg.Dwell <= 0 {
		cfg.Dwell = DefaultDwell
	}
	if len(cfg.Channels) == 0 {
		for c := uint8(11); c <= 26; c++ {
			cfg.Channels = append(cfg.Channels, c)
		}
	}
	target, err := cfg.Prober.scanTarget(ctx, cfg.Target)
	if err != nil {
		return nil, err
	}
	var l listener
	a, err := cfg.Prober.openAir(ctx, target, l.hear)
	if err != nil {
		return nil, err
	}
	defer a.close()
	out := &Report{Radio: target, Beacons: []Beacon{}}
	note := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(out.Notes, s) {
			out.Notes = append(out.Notes, s)
		}
	}
	seq := uint8(rand.Uint32())
	canMeasure := true
	for _, channel := range cfg.Channels {
		if sa, ok := a.(*spinelAir); ok && !slices.Contains(sa.info.Channels, channel) {
			note("channel %d: the radio does not have it", channel)
			continue
		}
		if err := a.tune(ctx, channel); err != nil {
			return nil, fmt.Errorf("channel %d: %w", channel, err)
		}
		var energy *int8
		if canMeasure {
			e, err := a.energy(ctx, channel, cfg.Dwell)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				canMeasure = false
				note("energy not measured: %v", strings.TrimPrefix(err.Error(), errors.ErrUnsupported.Error()+": "))
			case err != nil:
				return nil, err
			default:
				energy = &e
			}
		}
		l.begin(channel)
		if err := request(ctx, a, &seq, cfg.Dwell); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			note("channel %d: %v", channel, err)
		}
		if z, ok := a.(*zepAir); ok && z.refused() {
			return nil, fmt.Errorf("%s: no hub answers there: start one with border-router run or sim, or give the address of one", target)
		}
		c := l.report(channel)
		c.Energy = energy
		out.Channels = append(out.Channels, c)
		if cfg.Progress != nil {
			cfg.Progress(c)
		}
	}
	if len(out.Channels) == 0 {
		return nil, errors.New("the radio has none of the channels")
	}
	l.begin(0)
	out.Beacons = append(out.Beacons, l.beacons...)
	slices.SortFunc(out.Beacons, func(a, b Beacon) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), strings.Compare(a.PAN, b.PAN), strings.Compare(a.Coordinator, b.Coordinator))
	})
	out.Suggested, out.Reason = suggest(out.Channels)
	return out, nil
}

// request asks for beacons, and once more in the middle of dwell.
func request(ctx context.Context, a air, seq *uint8, dwell time.Duration) error {
	var failed error
	for range 2 {
		*seq++
		if err := a.send(beaconRequest(nil, *seq)); err != nil {
			failed = err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(dwell / 2):
		}
	}
	return failed
}

// scanTarget returns the URL to scan with: that of the port where the target is a path, and
// that of the one radio there is where it is "auto" or empty.
func (p *Prober) scanTarget(ctx context.Context, target string) (string, error) {
	if target == "" || radios.IsAuto(target) {
		f := Finder{Prober: *p}
		r, all, err := f.Find(ctx, "")
		switch {
		case err != nil:
			return "", err
		case r == nil:
			return "", errors.New(Missing(all))
		}
		return r.Radio.URL, nil
	}
	if !strings.Contains(target, "://") {
		r := p.ProbeTarget(ctx, target)
		if r.State != StateRadio {
			return "", fmt.Errorf("%s: %s", target, r.Detail)
		}
		return r.Radio.URL, nil
	}
	if u, err := url.Parse(target); err == nil && u.Path != "" && (u.Scheme == string(Spinel) || u.Scheme == string(Slip)) {
		if hs := p.System.Holders(u.Path); len(hs) > 0 {
			return "", fmt.Errorf("%s: in use by %s; stop it for the scan", target, holdersText(hs))
		}
	}
	return target, nil
}

// preferred are the channels to take first where nothing else decides: those between the
// usual three of Wi-Fi, then the rest; 26 is last, since some radios may send there with
// little power only.
var preferred = []uint8{25, 20, 15, 24, 19, 14, 21, 16, 11, 22, 17, 12, 23, 18, 13, 26}

// near is how many dB make no difference between two channels.
const near = 6

// suggest chooses a channel without a PAN and with little energy.
func suggest(channels []ChannelReport) (uint8, string) {
	empty := slices.DeleteFunc(slices.Clone(channels), func(c ChannelReport) bool { return len(c.PANs) > 0 })
	from, why := empty, "no PAN was heard there"
	if len(empty) == 0 {
		from = slices.Clone(channels)
		why = "a PAN was heard on every channel; this one has the fewest"
		fewest := len(slices.MinFunc(from, func(a, b ChannelReport) int { return cmp.Compare(len(a.PANs), len(b.PANs)) }).PANs)
		from = slices.DeleteFunc(from, func(c ChannelReport) bool { return len(c.PANs) > fewest })
	}
	lowest := int8(127)
	for _, c := range from {
		if c.Energy != nil {
			lowest = min(lowest, *c.Energy)
		}
	}
	quiet := slices.DeleteFunc(slices.Clone(from), func(c ChannelReport) bool {
		return lowest != 127 && (c.Energy == nil || int(*c.Energy) > int(lowest)+near)
	})
	best := slices.MinFunc(quiet, func(a, b ChannelReport) int {
		return cmp.Or(cmp.Compare(a.Frames, b.Frames), cmp.Compare(slices.Index(preferred, a.Channel), slices.Index(preferred, b.Channel)))
	})
	if best.Energy != nil {
		why += fmt.Sprintf(", and it is quiet (%d dBm)", *best.Energy)
		if *best.Energy > -75 {
			why = strings.Replace(why, "it is quiet", "no other is quieter", 1)
		}
	}
	return best.Channel, why
}
