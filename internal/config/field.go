package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A Field is one setting of a [Config].
type Field struct {
	Key   string // in the file, with its section: "nd.router_lifetime"
	Flag  string // on the command line, without dashes: "nd-router-lifetime"
	Doc   string // the comment of the reference file
	Value *Value
}

// Fields returns every setting of c in the order of the reference file. Setting a Value
// changes c.
func (c *Config) Fields() []Field {
	var out []Field
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			f, sf := v.Field(i), v.Type().Field(i)
			key := prefix + sf.Tag.Get("toml")
			if f.Kind() == reflect.Struct && !implementsText(f) {
				walk(f, key+".")
				continue
			}
			flag := sf.Tag.Get("flag")
			if flag == "" {
				flag = strings.NewReplacer(".", "-", "_", "-").Replace(key)
			}
			out = append(out, Field{Key: key, Flag: flag, Doc: referenceDocs()[key], Value: newValue(f, sf.Tag.Get("range"))})
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return out
}

func implementsText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

// A Value is a setting that can be read from text and from TOML. It is a [pflag.Value]:
// of a list, the first Set replaces what was there, and each later one adds to it; an
// empty string leaves the list empty.
type Value struct {
	v       reflect.Value // settable
	bounds  string        // "MIN..MAX", or empty: none
	changed bool          // a list was Set
}

var _ pflag.Value = (*Value)(nil)

// Var returns the Value of the variable that p points to: a string, bool, integer, float,
// [time.Duration], something with the methods of [encoding.TextUnmarshaler] and
// [encoding.TextMarshaler], or a slice of those. bounds is "MIN..MAX" or empty. It panics
// for another type.
func Var(p any, bounds string) *Value {
	return newValue(reflect.ValueOf(p).Elem(), bounds)
}

func newValue(v reflect.Value, bounds string) *Value {
	x := &Value{v: v, bounds: bounds}
	t := v.Type()
	if x.isList() {
		t = t.Elem()
	}
	kindOf(t)
	return x
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

type kind uint8

const (
	kindText kind = iota + 1
	kindString
	kindBool
	kindInt
	kindUint
	kindFloat
	kindDuration
)

func kindOf(t reflect.Type) kind {
	switch {
	case t == durationType:
		return kindDuration
	case reflect.PointerTo(t).Implements(textType):
		return kindText
	}
	switch t.Kind() {
	case reflect.String:
		return kindString
	case reflect.Bool:
		return kindBool
	case reflect.Int:
		return kindInt
	case reflect.Uint64:
		return kindUint
	case reflect.Float64:
		return kindFloat
	}
	panic("config: no setting can have the type " + t.String())
}

func (x *Value) isList() bool { return x.v.Kind() == reflect.Slice }

// Type returns the word that stands for the value in the help of a flag.
func (x *Value) Type() string {
	t := x.v.Type()
	if x.isList() {
		t = t.Elem()
	}
	switch kindOf(t) {
	case kindDuration:
		return "DURATION"
	case kindBool:
		return "bool"
	case kindInt, kindUint:
		return "N"
	case kindFloat:
		return "X"
	case kindString:
		return "TEXT"
	}
	switch t {
	case reflect.TypeFor[Radio](), reflect.TypeFor[Uplink]():
		return "URL"
	case reflect.TypeFor[Percent]():
		return "PERCENT"
	}
	switch t.PkgPath() + "." + t.Name() {
	case "net/netip.Addr":
		return "ADDR"
	case "net/netip.Prefix":
		return "PREFIX"
	}
	return strings.ToUpper(t.Name())
}

// IsBool reports whether the flag may stand without a value.
func (x *Value) IsBool() bool { return x.v.Kind() == reflect.Bool }

// Set reads the value from text. The error says what is expected, not what was given.
func (x *Value) Set(s string) error {
	if !x.isList() {
		return x.setText(x.v, s)
	}
	if !x.changed {
		x.v.SetZero()
		x.changed = true
	}
	if s == "" {
		x.v.SetZero()
		return nil
	}
	e := reflect.New(x.v.Type().Elem()).Elem()
	if err := x.setText(e, s); err != nil {
		return err
	}
	x.v.Set(reflect.Append(x.v, e))
	return nil
}

func (x *Value) setText(v reflect.Value, s string) error {
	switch kindOf(v.Type()) {
	case kindString:
		v.SetString(s)
	case kindBool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("want true or false")
		}
		v.SetBool(b)
	case kindInt:
		n, err := strconv.ParseInt(s, 0, 64)
		if err != nil || !x.within(float64(n)) {
			return x.wantNumber("a whole number")
		}
		v.SetInt(n)
	case kindUint:
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil || !x.within(float64(n)) {
			return x.wantNumber("a whole number, not negative")
		}
		v.SetUint(n)
	case kindFloat:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !x.within(f) {
			return x.wantNumber("a number")
		}
		v.SetFloat(f)
	case kindDuration:
		d, err := ParseDuration(s)
		if err != nil || !x.within(float64(d)) {
			return x.wantDuration()
		}
		v.SetInt(int64(d))
	case kindText:
		t := reflect.New(v.Type())
		if err := t.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
			return x.wantText(v.Type(), err)
		}
		if p, ok := t.Interface().(interface{ IsValid() bool }); ok && !p.IsValid() {
			return x.wantText(v.Type(), nil)
		}
		v.Set(t.Elem())
	}
	return nil
}

// wantText turns the errors of netip, which are about parsing, into what is expected.
func (x *Value) wantText(t reflect.Type, err error) error {
	switch t.PkgPath() + "." + t.Name() {
	case "net/netip.Addr":
		return errors.New(`want an IPv6 address, such as "2001:db8::1"`)
	case "net/netip.Prefix":
		return errors.New(`want an IPv6 prefix, such as "fd12:3456:789a::/48"`)
	}
	return err
}

func (x *Value) limits() (lo, hi string) {
	lo, hi, _ = strings.Cut(x.bounds, "..")
	return lo, hi
}

func (x *Value) within(f float64) bool {
	lo, hi := x.limits()
	bound := func(s string) float64 {
		if d, err := ParseDuration(s); err == nil && s != "0" {
			return float64(d)
		}
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			panic("config: bad bounds " + x.bounds)
		}
		return n
	}
	return x.bounds == "" || bound(lo) <= f && f <= bound(hi)
}

func (x *Value) wantNumber(what string) error {
	if lo, hi := x.limits(); x.bounds != "" {
		return fmt.Errorf("want %s from %s to %s", what, lo, hi)
	}
	return fmt.Errorf("want %s", what)
}

func (x *Value) wantDuration() error {
	lo, hi := x.limits()
	if x.bounds == "" {
		return errors.New(`want a duration, such as "30m" or "1d12h"`)
	}
	if hi == "infinite" {
		return fmt.Errorf(`want "infinite" or a duration of at least %s`, lo)
	}
	return fmt.Errorf("want a duration from %s to %s", lo, hi)
}

// setTOML takes a value that the TOML decoder returned.
func (x *Value) setTOML(a any) error {
	if !x.isList() {
		return x.setTOMLScalar(x.v, a)
	}
	list, ok := a.([]any)
	if !ok {
		return fmt.Errorf("want a list in brackets, such as [%s]", quoteTOML(a))
	}
	out := reflect.MakeSlice(x.v.Type(), len(list), len(list))
	for i, e := range list {
		if err := x.setTOMLScalar(out.Index(i), e); err != nil {
			return fmt.Errorf("entry %d is %s: %w", i+1, quoteTOML(e), err)
		}
	}
	if len(list) == 0 {
		out = reflect.Zero(x.v.Type())
	}
	x.v.Set(out)
	return nil
}

func (x *Value) setTOMLScalar(v reflect.Value, a any) error {
	k := kindOf(v.Type())
	switch a := a.(type) {
	case string:
		if k == kindBool || k == kindInt || k == kindUint || k == kindFloat {
			err := x.setText(v, "\x00") // for what is expected
			return fmt.Errorf("%w, without quotes", err)
		}
		return x.setText(v, a)
	case bool:
		if k == kindBool {
			v.SetBool(a)
			return nil
		}
	case int64:
		if k == kindInt || k == kindUint || k == kindFloat {
			return x.setText(v, strconv.FormatInt(a, 10))
		}
	case float64:
		if k == kindFloat {
			return x.setText(v, strconv.FormatFloat(a, 'g', -1, 64))
		}
	}
	if k == kindString {
		return errors.New("want text in quotes")
	}
	err := x.setText(v, "\x00") // for what is expected
	if k == kindDuration {
		return fmt.Errorf(`%w, in quotes and with a unit, such as "30s"`, err)
	}
	return err
}

// String returns the value as Set reads it, of a list the entries with commas between.
func (x *Value) String() string {
	if x == nil || !x.v.IsValid() {
		return ""
	}
	if !x.isList() {
		return textOf(x.v)
	}
	s := make([]string, x.v.Len())
	for i := range s {
		s[i] = textOf(x.v.Index(i))
	}
	return strings.Join(s, ",")
}

func textOf(v reflect.Value) string {
	switch kindOf(v.Type()) {
	case kindDuration:
		return FormatDuration(time.Duration(v.Int()))
	case kindText:
		b, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	}
	return fmt.Sprint(v.Interface())
}

// TOML returns the value as it stands in a file.
func (x *Value) TOML() string { return quoteTOML(x.Any()) }

// Any returns the value as TOML and JSON know it: string, bool, int64, float64 or a slice
// of them.
func (x *Value) Any() any {
	if !x.isList() {
		return anyOf(x.v)
	}
	out := make([]any, x.v.Len())
	for i := range out {
		out[i] = anyOf(x.v.Index(i))
	}
	return out
}

func anyOf(v reflect.Value) any {
	switch kindOf(v.Type()) {
	case kindBool:
		return v.Bool()
	case kindInt:
		return v.Int()
	case kindFloat:
		return v.Float()
	}
	return textOf(v)
}
