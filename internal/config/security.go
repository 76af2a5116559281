package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"border-router/ipv6"
)

// Security is how frames are secured (IEEE 802.15.4 section 9, AES-CCM*). It applies to
// every mesh port; without a Key nothing is secured.
type Security struct {
	Key        Key            `toml:"key" flag:"key"`
	Level      int            `toml:"level" range:"1..7"`     // of what is sent
	MinLevel   int            `toml:"min_level" range:"0..7"` // of what is received
	KeyIDMode  int            `toml:"key_id_mode" range:"0..3"`
	KeyIndex   int            `toml:"key_index" range:"0..255"`
	KeySource  KeySource      `toml:"key_source"`
	Devices    []SecureDevice `toml:"devices" flag:"security-device"`
	MaxDevices int            `toml:"max_devices" range:"1..100000"`
}

// DefaultSecurity returns the defaults: level 5 as Thread, Contiki-NG and Zephyr have it.
func DefaultSecurity() Security {
	return Security{Level: 5, MinLevel: 5, KeyIDMode: 1, KeyIndex: 1, MaxDevices: 4096}
}

// Check reports what is wrong with settings that are each fine by themselves.
func (s *Security) Check() error {
	var errs []error
	s.check(func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) })
	return errors.Join(errs...)
}

func (s *Security) check(fail func(format string, args ...any)) {
	if !s.Key.Set() {
		if len(s.Devices) > 0 {
			fail("security.devices: want security.key as well, which broadcasts are secured with")
		}
		return
	}
	seen := make(map[EUI64]bool)
	shorts := make(map[ShortAddr]bool)
	for _, d := range s.Devices {
		if seen[d.EUI64] {
			fail("security.devices: %s stands there twice", ipv6.EUI64(uint64(d.EUI64)))
		}
		if d.Short != 0 && shorts[d.Short] {
			fail("security.devices: short=0x%04x stands there twice", uint16(d.Short))
		}
		seen[d.EUI64], shorts[d.Short] = true, true
	}
	if len(s.Devices) > s.MaxDevices {
		fail("security.devices: want at most security.max_devices, which is %d", s.MaxDevices)
	}
	if s.KeyIDMode == 2 && s.KeySource>>32 != 0 {
		fail("security.key_source: want 4 bytes in key identifier mode 2")
	}
}

// redacted returns s without its keys.
func (s Security) redacted() Security {
	s.Key.hidden = s.Key.Set()
	s.Devices = append([]SecureDevice(nil), s.Devices...)
	for i := range s.Devices {
		s.Devices[i].Key.hidden = s.Devices[i].Key.Set()
	}
	return s
}

// Redacted returns a copy of c that shows no key.
func (c *Config) Redacted() *Config {
	r := *c
	r.Security = r.Security.redacted()
	return &r
}

// A Key is an AES-128 key, or none: 32 digits in hexadecimal, or "file:PATH" of a file
// that holds them and nothing else.
type Key struct {
	b      [16]byte
	set    bool
	file   string
	hidden bool
}

// NewKey returns the key b.
func NewKey(b [16]byte) Key { return Key{b: b, set: true} }

// Set reports whether there is a key.
func (k Key) Set() bool { return k.set }

// Bytes returns the key, zeros where there is none.
func (k Key) Bytes() [16]byte { return k.b }

// String does not return the key.
func (k Key) String() string {
	switch {
	case !k.set:
		return ""
	case k.file != "" && !k.hidden:
		return "file:" + k.file
	}
	return "hidden"
}

// MarshalText returns the text form; "hidden" in a [Config.Redacted].
func (k Key) MarshalText() ([]byte, error) {
	if !k.set || k.hidden || k.file != "" {
		return []byte(k.String()), nil
	}
	return []byte(hex.EncodeToString(k.b[:])), nil
}

// UnmarshalText reads the text form. A file is read at once.
func (k *Key) UnmarshalText(b []byte) error {
	const want = `want a key of 16 bytes: 32 digits in hexadecimal, or "file:PATH" of a file with them`
	if len(b) == 0 {
		*k = Key{}
		return nil
	}
	text, from := string(b), ""
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("%w: %s", err, want)
		}
		text, from = strings.TrimSpace(string(content)), name
	}
	text = strings.NewReplacer(":", "", "-", "", " ", "").Replace(text)
	// What is wrong is not shown: it may be a key all but for one digit.
	d, err := hex.DecodeString(text)
	if err != nil || len(d) != 16 {
		return errors.New(want)
	}
	*k = Key{b: [16]byte(d), set: true, file: from}
	return nil
}

// A KeySource identifies who gave out a key: 4 bytes in key identifier mode 2, 8 in mode 3,
// as a big-endian number; 0: not said.
type KeySource uint64

// MarshalText returns 8 or 16 digits in hexadecimal, or nothing for 0.
func (s KeySource) MarshalText() ([]byte, error) {
	switch {
	case s == 0:
		return nil, nil
	case s>>32 == 0:
		return fmt.Appendf(nil, "0x%08x", uint64(s)), nil
	}
	return fmt.Appendf(nil, "0x%016x", uint64(s)), nil
}

// UnmarshalText reads hexadecimal with 0x before it, or nothing.
func (s *KeySource) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = 0
		return nil
	}
	h, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(h, 16, 64)
	if !ok || err != nil {
		return errors.New(`want a key source of 4 or 8 bytes, such as "0xa1b2c3d4"`)
	}
	*s = KeySource(n)
	return nil
}

// A SecureDevice is what is known of a device: "EUI64", with ",short=ADDR" where it may
// send from a short address, and ",key=KEY" where it has a key of its own.
type SecureDevice struct {
	EUI64 EUI64
	Short ShortAddr // 0: none
	Key   Key       // not set: none
}

// MarshalText returns the text form.
func (d SecureDevice) MarshalText() ([]byte, error) {
	b, err := d.EUI64.MarshalText()
	if err != nil {
		return nil, err
	}
	if d.Short != 0 {
		b = fmt.Appendf(b, ",short=0x%04x", uint16(d.Short))
	}
	if d.Key.Set() {
		k, _ := d.Key.MarshalText()
		b = append(append(b, ",key="...), k...)
	}
	return b, nil
}

// UnmarshalText reads the text form.
func (d *SecureDevice) UnmarshalText(b []byte) error {
	const want = `want EUI64[,short=ADDR][,key=KEY], such as "02:00:5e:10:00:00:00:01,short=0x0001"`
	parts := strings.Split(string(b), ",")
	var x SecureDevice
	if err := x.EUI64.UnmarshalText([]byte(parts[0])); err != nil || x.EUI64 == 0 {
		return errors.New(want)
	}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		var err error
		switch {
		case name == "short" && x.Short == 0 && value != "none":
			err = x.Short.UnmarshalText([]byte(value))
		case name == "key" && !x.Key.Set() && value != "":
			err = x.Key.UnmarshalText([]byte(value))
		default:
			return errors.New(want)
		}
		if err != nil {
			return err
		}
	}
	*d = x
	return nil
}

// SecurityKeys returns the keys of the section.
func SecurityKeys() (keys []string) {
	for _, f := range new(Config).Fields() {
		if strings.HasPrefix(f.Key, "security.") {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// AddFlags gives add the flags of s that a device has, as those of a router are called.
func (s *Security) AddFlags(add func(v *Value, name, usage string)) {
	c := &Config{Security: *s}
	used := map[string]any{
		"security.key": &s.Key, "security.level": &s.Level, "security.min_level": &s.MinLevel,
		"security.key_id_mode": &s.KeyIDMode, "security.key_index": &s.KeyIndex, "security.key_source": &s.KeySource,
		"security.devices": &s.Devices,
	}
	for _, f := range c.Fields() {
		if p, ok := used[f.Key]; ok {
			add(Var(p, f.Value.bounds), f.Flag, usage(f.Doc))
		}
	}
}
