package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// A row describes a node.
type row struct {
	name  string
	addr  netip.Addr
	nd    string
	state string
	life  time.Duration // of the registration
	heard string
	ping  string
}

const rowFormat = "%-9s %-39s %-4s %-20s %-8s %-9s %s"

func (r row) String() string {
	addr, life := "-", "-"
	if r.addr.IsValid() {
		addr = r.addr.String()
	}
	if r.life > 0 {
		life = r.life.String()
	}
	return strings.TrimRight(fmt.Sprintf(rowFormat, r.name, addr, r.nd, r.state, life, r.heard, r.ping), " ")
}

// keepLines is how many log lines stand below the table.
const keepLines = 3

// A view shows the nodes: as a table that is drawn again in place on a terminal, else as
// a line for each change.
type view struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool
	size  func() (width, height int)
	lines int      // of the table on the screen
	last  string   // what stands there
	log   []string // the latest lines
	rows  []row
	known map[string]string // plain: what was said of each node
}

func newView(out io.Writer, plain bool) *view {
	v := &view{out: out, known: make(map[string]string)}
	if _, _, ok := isTerminal(out); ok && !plain && os.Getenv("TERM") != "dumb" {
		v.live = true
		v.size = func() (int, int) {
			w, h, _ := isTerminal(out)
			return w, h
		}
	}
	return v
}

func (v *view) print(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	io.WriteString(v.out, s)
}

// update shows rows.
func (v *view) update(rows []row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows = rows
	if v.live {
		v.draw()
		return
	}
	for _, r := range rows {
		key := r.name
		if key == "foreign" {
			key = r.addr.String()
		}
		is := r.addr.String()
		if !r.addr.IsValid() {
			is = ""
		}
		was, known := v.known[key]
		v.known[key] = is
		switch {
		case was == is && known, !known && is == "":
		case is == "":
			fmt.Fprintf(v.out, "%s has left the mesh\n", r.name)
		default:
			fmt.Fprintf(v.out, "%s has joined as %s (RFC %s)\n", r.name, r.addr, r.nd)
		}
	}
}

// draw puts the table where it stood. v.mu is held.
func (v *view) draw() {
	width, height := v.size()
	var lines []string
	lines = append(lines, "", fmt.Sprintf(rowFormat, "NODE", "ADDRESS", "ND", "STATE", "LIFETIME", "HEARD", "PING"))
	room := max(height-len(lines)-keepLines-2, 3)
	joined := 0
	for i, r := range v.rows {
		if r.addr.IsValid() {
			joined++
		}
		if i < room {
			lines = append(lines, r.String())
		}
	}
	if n := len(v.rows) - room; n > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more", n))
	}
	lines = append(lines, fmt.Sprintf("%d of %d have an address", joined, len(v.rows)))
	lines = append(lines, v.log...)
	for i, l := range lines {
		if r := []rune(l); len(r) >= width {
			lines[i] = string(r[:max(width-1, 0)]) // a line that wraps would be two
		}
	}
	now := strings.Join(lines, "\n")
	if now == v.last {
		return
	}
	v.last = now
	var b bytes.Buffer
	if v.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", v.lines)
	}
	for _, l := range lines {
		b.WriteString(l)
		b.WriteString("\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.lines = len(lines)
	v.out.Write(b.Bytes())
}

// end says goodbye.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.live {
		io.WriteString(v.out, "ended\n")
	}
}

// tail returns a handler that shows the latest log lines below the table, for those that h
// is enabled for.
func (v *view) tail(h slog.Handler) slog.Handler {
	return &tail{v: v, level: h, text: slog.NewTextHandler(tailWriter{v}, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05"))
			}
			return a
		},
	})}
}

type tail struct {
	v     *view
	level slog.Handler
	text  slog.Handler
}

func (t *tail) Enabled(ctx context.Context, l slog.Level) bool { return t.level.Enabled(ctx, l) }

func (t *tail) Handle(ctx context.Context, r slog.Record) error { return t.text.Handle(ctx, r) }

func (t *tail) WithAttrs(a []slog.Attr) slog.Handler {
	return &tail{t.v, t.level, t.text.WithAttrs(a)}
}

func (t *tail) WithGroup(name string) slog.Handler {
	return &tail{t.v, t.level, t.text.WithGroup(name)}
}

type tailWriter struct{ v *view }

func (w tailWriter) Write(b []byte) (int, error) {
	w.v.mu.Lock()
	defer w.v.mu.Unlock()
	w.v.log = append(w.v.log, strings.TrimRight(string(b), "\n"))
	if n := len(w.v.log) - keepLines; n > 0 {
		w.v.log = append(w.v.log[:0], w.v.log[n:]...)
	}
	return len(b), nil
}
