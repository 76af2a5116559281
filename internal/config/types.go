package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"border-router/internal/radios"
	"border-router/ipv6"
)

// A Radio is the URL of a radio, such as "zep://[::1]:17754?mode=hub&channel=26", or "auto".
// It has been checked by [radios.Parse] or [radios.AutoQuery].
type Radio string

// Scheme returns what stands before "://".
func (r Radio) Scheme() string {
	s, _, _ := strings.Cut(string(r), ":")
	return s
}

// UnmarshalText checks the URL.
func (r *Radio) UnmarshalText(b []byte) error {
	const want = `want the URL of a radio, such as "zep://?channel=26&pan=0x0023" or "spinel:///dev/ttyACM0", or "auto"`
	if radios.IsAuto(string(b)) {
		if _, err := radios.AutoQuery(string(b)); err != nil {
			return err
		}
		*r = Radio(b)
		return nil
	}
	scheme, _, ok := strings.Cut(string(b), "://")
	switch {
	case !ok && strings.HasPrefix(scheme, "/"):
		return fmt.Errorf(`want a URL: "spinel://%s" or "slip://%s", of which "border-router radios" tells the right one, or "auto"`, scheme, scheme)
	case !ok:
		return errors.New(want)
	case !slices.Contains(radios.Schemes(), scheme):
		return fmt.Errorf("unknown scheme %q, there are %s: %s", scheme, strings.Join(radios.Schemes(), ", "), want)
	}
	if _, err := radios.Parse(string(b)); err != nil {
		return err
	}
	*r = Radio(b)
	return nil
}

// IsAuto reports whether the radio is to be found.
func (r Radio) IsAuto() bool { return radios.IsAuto(string(r)) }

// MarshalText returns the URL.
func (r Radio) MarshalText() ([]byte, error) { return []byte(r), nil }

// validDevice reports whether the kernel takes name for a network device (dev_valid_name),
// and whether it needs no escaping in a URL.
func validDevice(name string) bool {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return false
	}
	name = strings.Replace(name, "%d", "", 1) // stands for a free number
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/:?#%", c) >= 0 {
			return false
		}
	}
	return true
}

// A Context is a header-compression context that the router hands out beyond context 0,
// which is the mesh's prefix (RFC 6775 section 4.2): "ID=PREFIX", or "ID=PREFIX,decompress"
// for one that nodes must not compress with yet.
type Context struct {
	ID       uint8 // 1 to 15
	Prefix   netip.Prefix
	Compress bool
}

// String returns the text form.
func (c Context) String() string {
	s := fmt.Sprintf("%d=%s", c.ID, c.Prefix)
	if !c.Compress {
		s += ",decompress"
	}
	return s
}

// MarshalText returns the text form.
func (c Context) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the text form.
func (c *Context) UnmarshalText(b []byte) error {
	const want = `want ID=PREFIX with an ID from 1 to 15 and an IPv6 prefix, such as "1=2001:db8:1::/64", and ",decompress" behind it where nodes may not compress with it yet`
	s, only := strings.CutSuffix(string(b), ",decompress")
	id, prefix, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New(want)
	}
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || n < 1 || n > 15 {
		return errors.New(want)
	}
	p, err := netip.ParsePrefix(prefix)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() == 0 {
		return errors.New(want)
	}
	if p != p.Masked() {
		return fmt.Errorf("bits are set beyond the prefix length, want %q", p.Masked())
	}
	*c = Context{ID: uint8(n), Prefix: p, Compress: !only}
	return nil
}

// OnLink says which nodes are told of the prefix a second time, with the L flag, as some
// hosts of RFC 4861 need it to form an address. RFC 6775 section 5.4 has the hosts of a
// 6LoWPAN ignore that option.
type OnLink string

// The modes.
const (
	OnLinkAuto   OnLink = "auto"   // nodes that behave as hosts of RFC 4861
	OnLinkNever  OnLink = "never"  // strictly RFC 6775
	OnLinkAlways OnLink = "always" // every router advertisement
)

// MarshalText returns the name.
func (o OnLink) MarshalText() ([]byte, error) { return []byte(o), nil }

// UnmarshalText reads the name.
func (o *OnLink) UnmarshalText(b []byte) error {
	switch x := OnLink(b); x {
	case OnLinkAuto, OnLinkNever, OnLinkAlways:
		*o = x
		return nil
	}
	return errors.New(`want "auto", "never" or "always"`)
}

// A Domain is a domain name (RFC 1035 section 2.3.1, RFC 8106 section 5.2), without a dot
// at the end.
type Domain string

// MarshalText returns the name.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d), nil }

// UnmarshalText reads a name; a dot at its end is left out.
func (d *Domain) UnmarshalText(b []byte) error {
	const want = `want a domain name, such as "home.arpa"`
	s := strings.TrimSuffix(string(b), ".")
	if len(s) > 253 {
		return errors.New(want)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New(want)
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return errors.New(want)
			}
		}
	}
	*d = Domain(s)
	return nil
}

// A Level is the least severe level that is logged.
type Level slog.Level

// The levels.
const (
	LevelDebug = Level(slog.LevelDebug)
	LevelInfo  = Level(slog.LevelInfo)
	LevelWarn  = Level(slog.LevelWarn)
	LevelError = Level(slog.LevelError)
)

// String returns "debug", "info", "warn" or "error".
func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// MarshalText returns what String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level's name.
func (l *Level) UnmarshalText(b []byte) error {
	for _, x := range []Level{LevelDebug, LevelInfo, LevelWarn, LevelError} {
		if string(b) == x.String() {
			*l = x
			return nil
		}
	}
	return errors.New(`want "debug", "info", "warn" or "error"`)
}

// A Format is how log lines look.
type Format string

// The formats.
const (
	FormatText Format = "text" // key=value
	FormatJSON Format = "json"
)

// MarshalText returns the name.
func (f Format) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText reads the name.
func (f *Format) UnmarshalText(b []byte) error {
	switch x := Format(b); x {
	case FormatText, FormatJSON:
		*f = x
		return nil
	}
	return errors.New(`want "text" or "json"`)
}

// Logger returns a logger that writes to w.
func (l Log) Logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.Level(l.Level)}
	if l.Format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// NDMode says which neighbor discovery a device speaks.
type NDMode uint16

// The modes.
const (
	ND6775 NDMode = 6775 // registers its addresses (RFC 6775, RFC 8505)
	ND4861 NDMode = 4861 // plain neighbor discovery, as lwIP over 802.15.4 does
)

// MarshalText returns the number of the RFC.
func (m NDMode) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(m), 10), nil }

// UnmarshalText reads the number of the RFC.
func (m *NDMode) UnmarshalText(b []byte) error {
	switch string(b) {
	case "6775":
		*m = ND6775
	case "4861":
		*m = ND4861
	default:
		return errors.New("want 6775 (registers its addresses) or 4861 (plain neighbor discovery, as lwIP)")
	}
	return nil
}

// An EUI64 is an IEEE EUI-64 as a big-endian number; 0 means "make one up".
type EUI64 uint64

// MarshalText returns eight bytes with colons between, or nothing for 0.
func (e EUI64) MarshalText() ([]byte, error) {
	if e == 0 {
		return nil, nil
	}
	return ipv6.EUI64(uint64(e)).MarshalText()
}

// UnmarshalText reads eight bytes in hexadecimal, with colons, dashes or nothing between.
func (e *EUI64) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*e = 0
		return nil
	}
	a, err := ipv6.ParseLinkAddr(strings.TrimPrefix(string(b), "0x"))
	// Bit 0 of the first byte marks a group; all zeros and all ones are nobody's.
	if err != nil || a.Len() != 8 || a.Uint64() == 0 || a.Uint64()>>56&1 != 0 {
		return errors.New(`want the EUI-64 of a device: 8 bytes in hexadecimal, such as "02:00:5e:10:00:00:00:01", the first one even`)
	}
	*e = EUI64(a.Uint64())
	return nil
}

// ShortNone means that a device has no short address.
const ShortNone ShortAddr = 0xffff

// A ShortAddr is an IEEE 802.15.4 short address, [ShortNone], or 0: not said.
type ShortAddr uint16

// MarshalText returns four digits in hexadecimal, "none", or nothing for 0.
func (s ShortAddr) MarshalText() ([]byte, error) {
	switch s {
	case 0:
		return nil, nil
	case ShortNone:
		return []byte("none"), nil
	}
	return fmt.Appendf(nil, "0x%04x", uint16(s)), nil
}

// UnmarshalText reads hexadecimal with 0x before it, "none", or nothing.
func (s *ShortAddr) UnmarshalText(b []byte) error {
	switch string(b) {
	case "":
		*s = 0
		return nil
	case "none":
		*s = ShortNone
		return nil
	}
	// fffe is "has no short address yet" (IEEE 802.15.4 macShortAddress), ffff broadcast;
	// 0000 is by custom the coordinator's.
	h, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(h, 16, 16)
	if !ok || err != nil || n == 0 || n >= 0xfffe {
		return errors.New(`want a short address from "0x0001" to "0xfffd", or "none"`)
	}
	*s = ShortAddr(n)
	return nil
}

// A Percent is a share in percent, 0 to 100.
type Percent float64

// Fraction returns the share as a probability, 0 to 1.
func (p Percent) Fraction() float64 { return float64(p) / 100 }

// MarshalText returns the number without a sign behind it.
func (p Percent) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(p), 'g', -1, 64), nil
}

// UnmarshalText reads a number, with or without "%" behind it.
func (p *Percent) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(strings.TrimSuffix(string(b), "%"), 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return errors.New("want a percentage from 0 to 100")
	}
	*p = Percent(f)
	return nil
}
