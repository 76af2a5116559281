package config

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags are the command-line flags of a [Config]: --config FILE and one for each key.
// They are read with the command line and applied by [Flags.Load], after the file.
type Flags struct {
	File string // of --config

	base func() *Config
	set  []setting
}

type setting struct{ key, text string }

// NewFlags adds the flags to fs. base returns what file and flags change, such as
// [Default]. A key of omit gets no flag.
func NewFlags(fs *pflag.FlagSet, base func() *Config, omit ...string) *Flags {
	f := &Flags{base: base}
	fs.SortFlags = false // the order of the reference file
	fs.StringVar(&f.File, "config", "", "TOML `FILE` with settings; a flag wins over it")
	for _, field := range base().Fields() {
		if slices.Contains(omit, field.Key) {
			continue
		}
		v := &flagValue{Value: field.Value, key: field.Key, flags: f}
		flag := fs.VarPF(v, field.Flag, "", usage(field.Doc))
		flag.Annotations = map[string][]string{AnnotationKey: {field.Key}}
		if field.Value.IsBool() {
			flag.NoOptDefVal = "true"
		}
	}
	return f
}

// AnnotationKey is the annotation of a flag under which the key of the file stands.
const AnnotationKey = "config_key"

// Load returns the settings: defaults, the file over them, the flags over that. They have
// been checked ([Config.Check]) but not resolved ([Config.Resolve]).
func (f *Flags) Load() (*Config, error) {
	c := f.base()
	if f.File != "" {
		if err := c.Load(f.File); err != nil {
			return nil, err
		}
	}
	fields := make(map[string]*Value)
	for _, field := range c.Fields() {
		fields[field.Key] = field.Value
	}
	for _, s := range f.set {
		if err := fields[s.key].Set(s.text); err != nil {
			return nil, err
		}
	}
	return c, c.Check()
}

// A flagValue tries the value at once, for the error, and keeps it for later.
type flagValue struct {
	*Value
	key   string
	flags *Flags
}

// Set implements [pflag.Value].
func (v *flagValue) Set(s string) error {
	if err := v.Value.Set(s); err != nil {
		return err
	}
	v.flags.set = append(v.flags.set, setting{v.key, s})
	return nil
}

// usage returns the first sentence of the explanation, as the help of a flag begins:
// without a capital where the word has only one, and without the full stop.
func usage(doc string) string {
	s, _, _ := strings.Cut(doc, ". ")
	s = strings.TrimSuffix(s, ".")
	// A back quote would name the value.
	s = strings.ReplaceAll(s, "`", "'")
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		s = string(s[0]+'a'-'A') + s[1:]
	}
	return s
}
