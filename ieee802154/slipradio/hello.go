package slipradio

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"border-router/ieee802154/driver"
)

// hello asks for the address, the n-th time. A slip-radio takes what it does not know for
// noise, and says so, which is why serialradio is asked for from the second time on only.
func (s *session) hello(n int) error {
	var b []byte
	d := s.r.cfg.Dialect
	if d != SerialRadio {
		b = appendQuery(b, 'M')
	}
	if d == SerialRadio || d == Auto && (n > 0 || s.r.Info().Dialect == SerialRadio) {
		var w writer
		w.begin(cmdPing)
		w.int('i', 1)
		b = w.appendTo(b)
		w.begin(cmdGetAddr64)
		w.int('i', 2)
		b = w.appendTo(b)
	}
	return s.write(b)
}

// probeAsks is how often a radio is asked at each rate.
const probeAsks = 4

// findRate sets the rate of the line, that at which the radio answers where there are several.
// It is 0 for a line that has none. The line stays open meanwhile: a board that resets when
// its port is opened boots once.
func (s *session) findRate() (baud int, err error) {
	r := s.r
	var heard []string
	order := r.rates.Order(r.found)
	for k, i := range order {
		rate := r.rates[i]
		s.forget()
		has, err := driver.SetBaud(s.line, rate)
		if err != nil || !has {
			return 0, err
		}
		if len(r.rates) == 1 {
			return rate, nil
		}
		// All of them take as long as the handshake, of which the first, that of a radio
		// which may be booting, has twice the share.
		wait := r.cfg.Handshake / time.Duration(len(order)+1)
		if k == 0 {
			wait *= 2
		}
		answers, err := s.probe(wait)
		if err != nil {
			return 0, err
		}
		if answers {
			r.rates.Found(i)
			r.found = true
			return rate, nil
		}
		if slices.Index(order, i) == k {
			heard = append(heard, fmt.Sprintf("at %d baud %s", rate, s.back()))
		}
	}
	return 0, fmt.Errorf("no answer: %s; is this a radio with %s firmware, and is the bit rate another (baud=) or flow control needed (flow=rtscts)?",
		strings.Join(heard, ", "), firmware(r.cfg.Dialect))
}

// probe reports whether the radio answers within wait.
func (s *session) probe(wait time.Duration) (bool, error) {
	t := time.NewTicker(wait / probeAsks)
	defer t.Stop()
	for n := range probeAsks {
		if err := s.hello(n); err != nil {
			return false, err
		}
		for waiting := true; waiting; {
			select {
			case e := <-s.events:
				if s.found.learn(e); s.found.EUI64 != 0 {
					return true, nil
				}
			case <-t.C:
				waiting = false
			case <-s.dead:
				return false, s.err
			}
		}
	}
	return false, nil
}

// learn takes what an answer tells.
func (i *Info) learn(e event) {
	switch e.kind {
	case kindEUI64:
		i.EUI64, i.Dialect = e.eui, e.dialect
	case kindPong:
		i.Version = e.version
	}
}

// forget starts anew to count what comes back.
func (s *session) forget() {
	s.r.mu.Lock()
	s.heard = driver.Heard{}
	s.r.mu.Unlock()
}

// back says what came back from the line.
func (s *session) back() string {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.heard.Text("answers")
}
