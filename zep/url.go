package zep

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// Defaults of [Config].
const (
	DefaultPort    = 17754
	DefaultChannel = 26
	DefaultPAN     = 0x0023

	// DefaultAckWait is much longer than macAckWaitDuration (864 us): the peer is a
	// process that has to be scheduled first. Each attempt waits twice as long as the one
	// before, since a process may be kept from running for tens of milliseconds, and its
	// frames are not lost meanwhile.
	DefaultAckWait = 5 * time.Millisecond
	ackWaitGrowth  = 8 // the longest wait, in waits of the first attempt

	// DefaultPeerAge is far above the 15 minutes for which RIOT registers its address: a
	// node may be silent from one registration to the next and must be reachable all the
	// while. A dead peer costs one table place and its copies of broadcasts; when the table
	// is full, the one silent longest goes first anyway.
	DefaultPeerAge = 2 * time.Hour

	DefaultMaxPeers = 1024
	DefaultHello    = time.Minute
)

// A Mode says what the radio is.
type Mode uint8

// The modes.
const (
	Hub       Mode = iota // others connect to us
	Client                // we connect to a hub
	Broadcast             // all on one broadcast, multicast or unicast address
)

// String returns the mode as in a URL.
func (m Mode) String() string {
	switch m {
	case Client:
		return "client"
	case Broadcast:
		return "broadcast"
	}
	return "hub"
}

// A Config describes a radio. A zero field means its default.
type Config struct {
	Mode      Mode
	Listen    []netip.AddrPort // hub: 127.0.0.1 and ::1 at DefaultPort; broadcast: every address at the port of Remote
	Remote    []netip.AddrPort // client: the hub; broadcast: where to send
	Interface string           // broadcast: interface that joins a multicast group and sends to it; empty: the system's choice

	Channel uint8  // 11 to 26
	PAN     uint16 // own PAN identifier; 0: DefaultPAN, unless ParseURL was given pan=0
	EUI64   uint64 // own address; must be set before frames are expected, here or by SetAddress
	Short   uint16 // own short address; 0: none

	Pace            bool          // wait for the air time of each frame before the next; ParseURL sets it unless pace=off
	AckWait         time.Duration // time until a frame is sent again the first time
	MaxFrameRetries int           // macMaxFrameRetries, 3; negative: none
	Flood           bool          // hub: forward unicast frames to everybody, as RIOT's dispatcher does
	PeerAge         time.Duration // hub: a peer silent for so long is forgotten; a sniffer, silent by nature, after 12 times that
	MaxPeers        int           // hub: beyond it the peer silent longest is forgotten
	Hello           time.Duration // client: how often the hub is told that we are there

	// Known are peers of a hub from an earlier run: they are given frames before they are
	// heard, so that nodes need not do anything after a restart.
	Known []KnownPeer
	// OnPeer, where set, is told of each peer that a hub learns, of each change of what
	// [KnownPeer] says of it, and with gone when it is forgotten. It must not block, and
	// not call the radio.
	OnPeer func(p KnownPeer, gone bool)

	Tap    ieee802154.TapFunc // sees every frame; nil: none
	Logger *slog.Logger       // nil: discard

	// Impair decides over each frame on its way to one receiver, acknowledgments included:
	// lost, late, or twice. from or to is the zero AddrPort for the router itself. Sniffers
	// are not impaired. Calls are serialised; it must not call the radio and not keep frame,
	// which has no FCS.
	Impair func(from, to netip.AddrPort, frame []byte) (drop bool, delay time.Duration, duplicate bool)

	now           func() time.Time // tests
	listenDefault bool             // Listen was not chosen by the user
	panZero       bool             // PAN is 0: lwIP's, where the application sets none
}

// urlKeys are the query keys of a radio URL, with what they mean for the error message.
var urlKeys = map[string]string{
	"mode":    "hub, client or broadcast",
	"channel": "11 to 26",
	"pan":     "PAN identifier such as 0x0023",
	"eui64":   "own address, 16 hexadecimal digits",
	"short":   "own short address such as 0x1234",
	"pace":    "on or off",
	"ackwait": "duration such as 5ms",
	"retries": "0 to 7",
	"flood":   "on or off",
	"age":     "duration such as 2h",
	"peers":   "1 to 65535",
	"hello":   "duration such as 1m",
	"listen":  "ADDRESS:PORT",
	"iface":   "interface name",
}

// ParseURL reads a radio URL such as
//
//	zep://                                        hub on 127.0.0.1 and ::1, port 17754
//	zep://[::1]:17754?mode=hub&channel=26&pan=0x0023
//	zep://[::1]:17754?mode=client&eui64=02:00:00:ff:fe:00:00:01
//	zep://239.1.2.3:17754?mode=broadcast&iface=eth0
//
// The host is the address to listen on for a hub, the hub for a client, and the address to
// send to in broadcast mode. Other keys: short, pace, ackwait, retries, flood, age, peers,
// hello, listen. An error says what would be right.
func ParseURL(s string) (Config, error) {
	fail := func(format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("radio %q: "+format, append([]any{s}, args...)...)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail("not a URL; want zep://[::1]:%d?mode=hub (an IPv6 address stands in brackets)", DefaultPort)
	}
	if u.Scheme != "zep" {
		return fail("scheme %q; want zep://", u.Scheme)
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" || strings.Trim(u.Path, "/") != "" {
		return fail("want zep://ADDRESS:PORT?KEY=VALUE and nothing else")
	}
	c := Config{Channel: DefaultChannel, PAN: DefaultPAN, Pace: true}
	if err := driver.Query(u, urlKeys, c.setKey); err != nil {
		return fail("%v", err)
	}
	addrs, err := hostAddrs(u)
	if err != nil {
		return fail("%v", err)
	}
	switch c.Mode {
	case Hub:
		if len(c.Listen) > 0 {
			return fail("a hub listens on the address of the URL; leave out listen=")
		}
		c.Listen = addrs
		c.listenDefault = u.Hostname() == "" || u.Hostname() == "localhost"
	case Client:
		if len(addrs) > 1 {
			addrs = addrs[1:] // a hub on both loopback addresses hears this one too
		}
		if addrs[0].Port() == 0 || addrs[0].Addr().IsUnspecified() {
			return fail("a client needs the address and port of its hub")
		}
		c.Remote = addrs
	case Broadcast:
		if u.Hostname() == "" {
			return fail("broadcast mode needs an address to send to, such as zep://255.255.255.255:%d?mode=broadcast", DefaultPort)
		}
		if addrs[0].Port() == 0 || addrs[0].Addr().IsUnspecified() {
			return fail("broadcast mode needs the address and port to send to")
		}
		c.Remote = addrs[:1]
	}
	if c.Flood && c.Mode != Hub {
		return fail("flood=on is for mode=hub")
	}
	return c, nil
}

func hostAddrs(u *url.URL) ([]netip.AddrPort, error) {
	port := uint16(DefaultPort)
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("port %q; want 1 to 65535", p)
		}
		port = uint16(n)
	}
	switch h := u.Hostname(); h {
	case "", "localhost":
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port),
			netip.AddrPortFrom(netip.IPv6Loopback(), port),
		}, nil
	default:
		a, err := netip.ParseAddr(h)
		if err != nil {
			return nil, fmt.Errorf("host %q is no IP address; names other than localhost are not looked up", h)
		}
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), port)}, nil
	}
}

func (c *Config) setKey(k, v string) (err error) {
	onOff := func() bool {
		switch v {
		case "on", "true", "yes", "1":
			return true
		case "off", "false", "no", "0":
			return false
		}
		err = fmt.Errorf("neither on nor off")
		return false
	}
	duration := func() time.Duration {
		d, e := time.ParseDuration(v)
		if e != nil || d <= 0 {
			err = fmt.Errorf("not a duration")
		}
		return d
	}
	switch k {
	case "mode":
		i := slices.Index([]string{"hub", "client", "broadcast"}, v)
		if i < 0 {
			return fmt.Errorf("unknown mode")
		}
		c.Mode = Mode(i)
	case "channel":
		return driver.Number(&c.Channel, v, 11, 26)
	case "pan":
		err = driver.Number(&c.PAN, v, 0, 0xfffe)
		c.panZero = c.PAN == 0
	case "eui64":
		return driver.EUI64(&c.EUI64, v)
	case "short":
		return driver.Short(&c.Short, v)
	case "pace":
		c.Pace = onOff()
	case "flood":
		c.Flood = onOff()
	case "ackwait":
		c.AckWait = duration()
	case "age":
		c.PeerAge = duration()
	case "hello":
		c.Hello = duration()
	case "retries":
		return driver.Retries(&c.MaxFrameRetries, v)
	case "peers":
		return driver.Number(&c.MaxPeers, v, 1, 65535)
	case "listen":
		a, e := netip.ParseAddrPort(v)
		if e != nil {
			return fmt.Errorf("not an address with a port")
		}
		c.Listen = []netip.AddrPort{a}
	case "iface":
		if _, e := net.InterfaceByName(v); e != nil {
			return e
		}
		c.Interface = v
	}
	return err
}
