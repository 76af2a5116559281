package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Load reads the TOML file name over c.
func (c *Config) Load(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return c.Parse(name, b)
}

// Parse reads the TOML in b over c; what b does not mention stays. name is that of the
// file, for errors. Every error is reported, one a line, each with file, line, key, value
// and what is expected; what was in order has been set all the same.
func (c *Config) Parse(name string, b []byte) error {
	var top map[string]toml.Primitive
	md, err := toml.Decode(string(b), &top)
	if err != nil {
		return syntaxError(name, err)
	}
	p := parser{name: name, md: md, fields: make(map[string]Field), sections: make(map[string]bool), seen: make(map[string]bool)}
	for _, f := range c.Fields() {
		p.fields[f.Key] = f
		if s, _, ok := strings.Cut(f.Key, "."); ok {
			p.sections[s] = true
		}
	}
	for _, k := range md.Keys() { // in the order of the file
		p.key(top, k)
	}
	return errors.Join(p.errs...)
}

type parser struct {
	name     string
	md       toml.MetaData
	fields   map[string]Field
	sections map[string]bool
	seen     map[string]bool // unknown tables: what is inside is not reported as well
	errs     []error
}

func (p *parser) key(top map[string]toml.Primitive, k toml.Key) {
	for i := 1; i <= len(k); i++ {
		if p.seen[strings.Join(k[:i], "\x00")] {
			return
		}
	}
	prim, ok := top[k[0]]
	for _, part := range k[1:] {
		var sub map[string]toml.Primitive
		if !ok || p.md.PrimitiveDecode(prim, &sub) != nil {
			return // reported with the key it is part of
		}
		prim, ok = sub[part]
	}
	if !ok {
		return
	}
	report := func(format string, args ...any) {
		p.seen[strings.Join(k, "\x00")] = true
		p.errs = append(p.errs, fmt.Errorf("%s: %w", p.place(prim), fmt.Errorf(format, args...)))
	}

	path := strings.Join(k, ".")
	var a any
	if err := p.md.PrimitiveDecode(prim, &a); err != nil {
		report("%s: %w", path, err)
		return
	}
	_, isTable := a.(map[string]any)
	f, known := p.fields[path]
	switch {
	case len(k) == 1 && p.sections[path]:
		if !isTable {
			report("%s = %s: want one section, [%s]", path, quoteTOML(a), path)
		}
	case !known || len(k) > 2 || strings.Contains(k[len(k)-1], "."):
		p.seen[strings.Join(k, "\x00")] = true
		report("unknown %s %q; %s", kindOfKey(isTable), path, p.suggest(path))
	default:
		if err := f.Value.setTOML(a); err != nil {
			report("%s = %s: %w", path, quoteTOML(a), err)
		}
	}
}

func kindOfKey(isTable bool) string {
	if isTable {
		return "section"
	}
	return "key"
}

// place returns "FILE:LINE" of a value.
func (p *parser) place(prim toml.Primitive) string {
	// The decoder tells a position only with an error.
	err := p.md.PrimitiveDecode(prim, new(refuse))
	if e, ok := errors.AsType[toml.ParseError](err); ok && e.Position.Line > 0 {
		return p.name + ":" + strconv.Itoa(e.Position.Line)
	}
	return p.name
}

// refuse is a TOML value that does not want to be decoded.
type refuse struct{}

func (*refuse) UnmarshalTOML(any) error { return errors.New("refused") }

func syntaxError(name string, err error) error {
	if e, ok := errors.AsType[toml.ParseError](err); ok {
		msg := e.Message
		if msg == "" {
			msg = strings.TrimPrefix(e.Error(), "toml: ")
		}
		return fmt.Errorf("%s:%d: %s", name, e.Position.Line, msg)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// suggest says which key may have been meant.
func (p *parser) suggest(path string) string {
	const all = "`border-router config --default` shows every key"
	best, bestAt := "", 1<<30
	consider := func(name string) {
		d := distance(path, name)
		// The right name in the wrong section is nearer than its letters say.
		if lastPart(path) == lastPart(name) {
			d = 1
		}
		if d < bestAt || d == bestAt && name < best {
			best, bestAt = name, d
		}
	}
	for k := range p.fields {
		consider(k)
	}
	for s := range p.sections {
		consider(s)
	}
	if bestAt > max(1, (len(lastPart(path))+1)/3) {
		return all
	}
	if best == path {
		return fmt.Sprintf("did you mean %q without quotes?", best)
	}
	return fmt.Sprintf("did you mean %q?", best)
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance returns how many letters must be changed, added or removed to turn a into b.
func distance(a, b string) int {
	if len(a) > 128 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// quoteTOML writes a value as TOML, cut where it is long.
func quoteTOML(a any) string {
	switch a := a.(type) {
	case string:
		return quoteString(a)
	case []any:
		s := make([]string, len(a))
		for i := range a {
			s[i] = quoteTOML(a[i])
		}
		return "[" + strings.Join(s, ", ") + "]"
	case map[string]any, []map[string]any:
		return "{...}"
	}
	return fmt.Sprint(a)
}

// quoteString writes a TOML basic string.
func quoteString(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < ' ' || r == 0x7f:
			b = fmt.Appendf(b, "\\u%04X", r)
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"'))
}

// TOML returns c as a file: every key with its value.
func (c *Config) TOML() string {
	var b strings.Builder
	section := ""
	for _, f := range c.Fields() {
		name := f.Key
		if s, key, ok := strings.Cut(f.Key, "."); ok {
			if s != section {
				fmt.Fprintf(&b, "\n[%s]\n", s)
				section = s
			}
			name = key
		}
		fmt.Fprintf(&b, "%s = %s\n", name, f.Value.TOML())
	}
	return b.String()
}

// Values returns c as tables, as JSON shows it.
func (c *Config) Values() map[string]any {
	out := make(map[string]any)
	for _, f := range c.Fields() {
		if s, key, ok := strings.Cut(f.Key, "."); ok {
			sub, _ := out[s].(map[string]any)
			if sub == nil {
				sub = make(map[string]any)
				out[s] = sub
			}
			sub[key] = f.Value.Any()
			continue
		}
		out[f.Key] = f.Value.Any()
	}
	return out
}
