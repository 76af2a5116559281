package mld

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A model is a router's record of one group, written from the tables of RFC 9777 sections
// 7.2 to 7.6 with sets, and whole seconds for times.
type model struct {
	exclude bool
	filter  int          // Filter Timer
	src     map[rune]int // Source Timers; 0: Exclude List
}

const (
	modelMALI = 270
	modelLLQT = 2
)

func (m *model) listened() bool { return m.exclude || len(m.src) > 0 }

// tick lets a second pass.
func (m *model) tick() {
	for c, v := range m.src {
		switch {
		case v == 0:
		case v == 1 && !m.exclude:
			delete(m.src, c)
		default:
			m.src[c] = v - 1
		}
	}
	if m.exclude {
		if m.filter--; m.filter == 0 {
			m.exclude = false
			maps.DeleteFunc(m.src, func(_ rune, v int) bool { return v == 0 })
		}
	}
}

func (m *model) record(typ RecordType, set string) {
	in := func(c rune) bool { return strings.ContainsRune(set, c) }
	lower := func(cond func(c rune) bool) { // Send Q(MA,X)
		for c, v := range m.src {
			if cond(c) && v > modelLLQT {
				m.src[c] = modelLLQT
			}
		}
	}
	toExclude := func(fresh int) {
		maps.DeleteFunc(m.src, func(c rune, _ int) bool { return !in(c) })
		for _, c := range set {
			if _, ok := m.src[c]; !ok {
				m.src[c] = fresh
			}
		}
		m.exclude, m.filter = true, modelMALI
	}
	switch typ {
	case IsInclude, Allow:
		for _, c := range set {
			m.src[c] = modelMALI
		}
	case IsExclude:
		if m.exclude {
			toExclude(modelMALI)
		} else {
			toExclude(0)
		}
	case ToExclude:
		if m.exclude {
			toExclude(m.filter)
		} else {
			toExclude(0)
		}
		lower(in)
	case ToInclude:
		lower(func(c rune) bool { return !in(c) })
		for _, c := range set {
			m.src[c] = modelMALI
		}
		if m.exclude {
			m.filter = min(m.filter, modelLLQT)
		}
	case Block:
		if m.exclude {
			for _, c := range set {
				if _, ok := m.src[c]; !ok {
					m.src[c] = m.filter
				}
			}
		}
		lower(in)
	}
}

func (m *model) wants(c rune) bool {
	if v, ok := m.src[c]; ok {
		return v > 0
	}
	return m.exclude
}

func (m *model) String() string {
	var out []string
	for _, c := range slices.Sorted(maps.Keys(m.src)) {
		out = append(out, fmt.Sprintf("%c:%d", c, m.src[c]))
	}
	return fmt.Sprintf("exclude=%v filter=%d %v", m.exclude, m.filter, out)
}

// TestModel compares the querier with the model over random reports and times.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := settled(t, QuerierConfig{Rate: -1})
		events := 0
		told := "INCLUDE()"
		r.ev.f = func(time.Time, netip.Addr) { events++; told = r.filter() }
		m := &model{src: map[rune]int{}}
		var log []string
		for range 400 {
			if rng.IntN(3) > 0 {
				typ := RecordType(1 + rng.IntN(6))
				set := ""
				for _, c := range "abcdef" {
					if rng.IntN(3) == 0 {
						set += string(c)
					}
				}
				log = append(log, fmt.Sprintf("%v(%s)", typ, set))
				m.record(typ, set)
				r.report(hostMA, Record{typ, site, sources(set)})
			} else {
				n := 1 + rng.IntN(4)
				if rng.IntN(4) == 0 {
					n = rng.IntN(300)
				}
				log = append(log, fmt.Sprint("+", n))
				for range n {
					m.tick()
					r.wait(time.Second)
				}
			}
			got := &model{src: map[rune]int{}}
			if g := r.q.groups[site.As16()]; g != nil {
				got.exclude = g.mode == Exclude
				if got.exclude {
					got.filter = int(g.filter.Sub(r.now) / time.Second)
				}
				for k, s := range g.sources {
					left := 0
					if !s.until.IsZero() {
						left = int(s.until.Sub(r.now) / time.Second)
					}
					got.src[rune(k[15])] = left
				}
			}
			if !m.exclude {
				m.filter = 0
			}
			if got.String() != m.String() {
				t.Fatalf("seed %d: %v\ngot  %v\nwant %v", seed, log[max(0, len(log)-8):], got, m)
			}
			if m.listened() != (r.q.groups[site.As16()] != nil) {
				t.Fatalf("seed %d: %v: group present", seed, log)
			}
			for _, c := range "abcdefg" {
				if r.q.Wants(r.now, site, addr(c)) != m.wants(c) {
					t.Fatalf("seed %d: %v: wants %c", seed, log, c)
				}
			}
			if f := r.filter(); f != told {
				t.Fatalf("seed %d: %v: filter %s, last event said %s", seed, log, f, told)
			}
		}
		if events == 0 {
			t.Fatal("no events")
		}
	}
}
