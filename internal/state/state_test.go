package state

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"border-router/internal/clocktest"
	"border-router/ipv6"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func record(n int, expires time.Time) Record {
	a := netip.MustParseAddr("fd00::").As16()
	a[14], a[15] = byte(n>>8), byte(n)
	return Record{
		Port: "zep0", Addr: netip.AddrFrom16(a), LinkAddr: ipv6.EUI64(0x0200_0000_0000_0000 | uint64(n)),
		ROVR: []byte{2, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)}, TID: uint8(n), EARO: n%2 == 0, Classic: n%3 == 0,
		Expires: expires.Round(0).UTC(),
	}
}

// Both stores behave alike; the one with a file does so after it was opened again.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	file := open(t, filepath.Join(dir, "made", "for us"))
	for name, s := range map[string]*Store{"memory": OpenMemory(), "file": file} {
		t.Run(name, func(t *testing.T) {
			reopen := func() {
				if s.Path() == "" {
					return
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, filepath.Dir(s.Path()))
			}
			eui, err := s.EUI64("zep0")
			if err != nil || eui>>56&3 != 2 {
				t.Errorf("EUI64 = %016x, %v: want a local address of one station", eui, err)
			}
			other, _ := s.EUI64("zep1")
			ula, err := s.ULA()
			if err != nil || ula.Bits() != 48 || ula.Addr().As16()[0] != 0xfd || ula.Masked() != ula {
				t.Errorf("ULA = %v, %v", ula, err)
			}
			for i := range 3 {
				if v, err := s.NextABROVersion(); err != nil || v != uint32(i+1) {
					t.Errorf("NextABROVersion = %d, %v", v, err)
				}
			}
			s.SetCounter("frames", 1<<40)
			s.Put("duid", []byte{1, 2, 3})
			s.Put("gone", []byte{4})
			s.Put("empty", nil)
			s.Delete("gone")
			now := time.Now()
			var want []Record
			for i := range 20 {
				r := record(i, now.Add(time.Hour))
				s.PutRegistration(r)
				want = append(want, r)
			}
			s.PutRegistration(record(99, now.Add(-time.Second)))
			s.DeleteRegistration("zep0", want[7].Addr)
			want = append(want[:7:7], want[8:]...)
			elsewhere := record(3, now.Add(time.Hour))
			elsewhere.Port = "zep00" // a name that begins with the other
			s.PutRegistration(elsewhere)
			reopen()

			if v, _ := s.EUI64("zep0"); v != eui || v == other {
				t.Errorf("EUI64 = %016x, was %016x", v, eui)
			}
			if v, _ := s.ULA(); v != ula {
				t.Errorf("ULA = %v, was %v", v, ula)
			}
			if v, _ := s.NextABROVersion(); v != 4 {
				t.Errorf("NextABROVersion = %d", v)
			}
			if v, _ := s.Advance("frames", 1000); v != 1<<40+1000 || s.Counter("frames") != v || s.Counter("none") != 0 {
				t.Errorf("counter = %d", v)
			}
			if v, ok := s.Get("duid"); !ok || !bytes.Equal(v, []byte{1, 2, 3}) {
				t.Errorf("Get = %x, %v", v, ok)
			}
			if v, ok := s.Get("empty"); !ok || len(v) != 0 {
				t.Errorf("Get of nothing = %x, %v", v, ok)
			}
			if _, ok := s.Get("gone"); ok {
				t.Error("a deleted key is back")
			}
			got, err := s.Registrations("zep0")
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("registrations: %v\ngot  %+v\nwant %+v", err, got, want)
			}
			if all, _ := s.Registrations(""); len(all) != len(want)+1 {
				t.Errorf("%d registrations in all, want %d", len(all), len(want)+1)
			}
			if got := s.registrations("zep0", now.Add(2*time.Hour)); len(got) != 0 {
				t.Errorf("%d registrations outlived their time", len(got))
			}
		})
	}
}

// What cannot be read is passed over and removed.
func TestRegistrationsDamaged(t *testing.T) {
	s := OpenMemory()
	r := record(1, time.Now().Add(time.Hour))
	s.PutRegistration(r)
	v, _ := s.get(registration(r.Port, r.Addr))
	s.put(registration("zep0", netip.MustParseAddr("fd00::2")), v)
	s.put(registration("zep0", netip.MustParseAddr("fd00::3")), []byte("{"))
	if got, _ := s.Registrations(""); len(got) != 1 || len(s.values) != 1 {
		t.Errorf("%d registrations, %d values", len(got), len(s.values))
	}
}

func TestOpenErrors(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		w := clocktest.Start(t)
		_, err := Open(dir, nil)
		if err == nil || !strings.Contains(err.Error(), "in use by another router") {
			t.Errorf("err = %v", err)
		}
		if d := w.Elapsed(); d > 3*time.Second {
			t.Errorf("took %v", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		open(t, dir)
	})
	t.Run("not writable", func(t *testing.T) {
		for _, existing := range []bool{false, true} {
			dir := t.TempDir()
			if existing {
				open(t, dir).Close()
				os.Chmod(filepath.Join(dir, File), 0o400)
			}
			os.Chmod(dir, 0o500)
			if os.Geteuid() == 0 {
				// Root writes anywhere: be somebody else in this thread, for files only.
				for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
					os.Chmod(d, 0o555)
				}
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if err := syscall.Setfsuid(65534); err != nil {
					t.Fatal(err)
				}
				defer syscall.Setfsuid(0)
			}
			_, err := Open(dir, nil)
			if err == nil || !strings.Contains(err.Error(), "not writable") || !strings.Contains(err.Error(), "--state-dir") {
				t.Errorf("existing %v: err = %v", existing, err)
			}
			if os.Geteuid() == 0 {
				syscall.Setfsuid(0)
			}
			os.Chmod(dir, 0o700)
		}
	})
	t.Run("not a directory", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v", err)
		}
	})
}

// A file that was cut anywhere, or scribbled over, is moved aside or repaired, never the
// end of the router.
func TestOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 300 {
		s.PutRegistration(record(i, time.Now().Add(time.Hour)))
		if i%50 == 0 {
			s.Flush()
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{
		"text":  []byte("this is not a state file\n"),
		"zeros": make([]byte, len(whole)),
	}
	page := os.Getpagesize()
	for n := 1; n < len(whole); n += page {
		damage[fmt.Sprintf("cut at %d", n)] = whole[:n]
	}
	for n := 0; n < len(whole); n += page {
		b := bytes.Clone(whole)
		for i := range 64 {
			b[n+i] ^= 0xa5
		}
		damage[fmt.Sprintf("scribbled at %d", n)] = b
	}
	for name, b := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, File), b, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s, err := Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			s.PutRegistration(record(1000, time.Now().Add(time.Hour)))
			if _, err := s.NextABROVersion(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			_, err = os.Stat(filepath.Join(dir, File+".damaged"))
			if moved := err == nil; moved != strings.Contains(log.String(), "level=WARN") {
				t.Errorf("moved aside: %v; log: %s", moved, log.String())
			}
			s = open(t, dir)
			found := false
			recs, _ := s.Registrations("zep0")
			for _, r := range recs {
				found = found || r.TID == 1000&0xff && r.Addr == record(1000, time.Now()).Addr
			}
			if !found {
				t.Error("what was written after the damage is not there")
			}
		})
	}
}

// Writes become one commit of the latest values, soon, and without a Flush.
func TestCoalesce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 10000 {
		s.SetCounter("n", uint64(i))
	}
	s.mu.Lock()
	waiting := len(s.dirty)
	s.mu.Unlock()
	if waiting > 1 {
		t.Errorf("%d writes wait for one key", waiting)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		s.mu.Lock()
		n := len(s.dirty)
		s.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not written")
		}
		time.Sleep(time.Millisecond)
	}
	s.Flush() // nothing is left to write: waits for the commit under way
	fresh := &Store{path: s.path, values: make(map[entry][]byte)}
	s.Close()
	db, err := fresh.load()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := fresh.Counter("n"); got != 9999 {
		t.Errorf("counter = %d", got)
	}
}

// TestFirstAtOnce has a change after a quiet time written without waiting for others.
func TestFirstAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	written := func(n int) time.Duration {
		begin := time.Now()
		s.PutRegistration(record(n, begin.Add(time.Hour)))
		for {
			s.mu.Lock()
			dirty := len(s.dirty)
			s.mu.Unlock()
			if dirty == 0 {
				began := time.Since(begin)
				s.commitMu.Lock() // held while it is written, which is the disk's time
				defer s.commitMu.Unlock()
				return began
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	best := time.Hour
	for n := 0; n < 5 || n < 100 && best >= coalesce/2; n++ { // the disk and the processor may be busy
		best = min(best, written(n))
		time.Sleep(coalesce) // the disk and the timer are real
	}
	if best >= coalesce/2 {
		t.Errorf("writing the first change began after %v", best)
	}
	t.Logf("began after %v", best)
}

// After Close changes are kept in memory only, and closing again does nothing.
func TestCloseTwice(t *testing.T) {
	s := open(t, t.TempDir())
	s.Put("a", []byte("1"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	s.Put("b", []byte("2"))
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
	open(t, filepath.Dir(s.Path()))
}

const childDir = "STATE_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

// child writes until it is killed, and says what it has been promised to be kept.
func child(dir string) {
	s, err := Open(dir, nil)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		s.PutRegistration(record(n, time.Now().Add(time.Hour)))
		v, err := s.NextABROVersion()
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(v)
	}
}

// A killed process leaves everything that it was told is kept.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		promised := uint64(0)
		n := 0
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &promised); err != nil {
				t.Fatal(lines.Text())
			}
			if promised <= last {
				t.Fatalf("version %d after %d", promised, last)
			}
			last = promised
			if n++; n == 5+7*round {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		cmd.Wait()
		s, err := Open(dir, slog.New(slog.NewTextHandler(failing{t}, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Counter("abro_version"); got < promised {
			t.Errorf("version %d is kept, %d was promised", got, promised)
		}
		if recs, _ := s.Registrations("zep0"); len(recs) < n {
			t.Errorf("%d registrations are kept, %d were promised", len(recs), n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// failing is a log in which nothing may be said.
type failing struct{ t *testing.T }

func (f failing) Write(b []byte) (int, error) {
	f.t.Errorf("log: %s", b)
	return len(b), nil
}

func BenchmarkPutRegistration(b *testing.B) {
	s, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := record(1, time.Now().Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		s.PutRegistration(r)
	}
}

// A file that is damaged while it is in use is replaced by a new one that holds all that
// memory does.
func TestDamagedInUse(t *testing.T) {
	for name, damage := range map[string]func(f *os.File, size int64) error{
		"scribbled": func(f *os.File, size int64) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(size)-2*os.Getpagesize()), int64(2*os.Getpagesize()))
			return err
		},
		"cut": func(f *os.File, size int64) error { return f.Truncate(int64(os.Getpagesize())) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			for i := range 100 {
				s.PutRegistration(record(i, time.Now().Add(time.Hour)))
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(s.Path(), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, _ := f.Stat()
			if err := damage(f, st.Size()); err != nil {
				t.Fatal(err)
			}
			s.PutRegistration(record(100, time.Now().Add(time.Hour)))
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if recs, _ := s.Registrations(""); len(recs) != 101 {
				t.Errorf("%d registrations, want 101", len(recs))
			}
		})
	}
}

// TestWritten: what is told to be written is in the file then, as a kill would leave it.
func TestWritten(t *testing.T) {
	if OpenMemory().Written(func() { t.Error("called") }) {
		t.Error("there is no disk to wait for")
	}
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	for n := 1; n <= 40; n++ {
		s.PutRegistration(record(n, now.Add(time.Hour)))
		done := make(chan struct{})
		if !s.Written(func() { close(done) }) {
			t.Fatal("not waited for")
		}
		if n%3 == 0 {
			continue // with the next
		}
		<-done
		b, err := os.ReadFile(s.Path())
		if err != nil {
			t.Fatal(err)
		}
		left := t.TempDir()
		if err := os.WriteFile(filepath.Join(left, File), b, 0o600); err != nil {
			t.Fatal(err)
		}
		after, err := Open(left, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := after.Registrations("zep0"); len(got) != n {
			t.Errorf("%d registrations are in the file, want %d", len(got), n)
		}
		after.Close()
	}
	// Nothing changed since; and at the end nobody is left waiting.
	done := make(chan struct{})
	s.Written(func() { close(done) })
	<-done
	s.PutRegistration(record(99, now.Add(time.Hour)))
	done = make(chan struct{})
	s.Written(func() { close(done) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if s.Written(func() { t.Error("called") }) {
		t.Error("closed")
	}
}

// TestWrittenNot: a disk that cannot be written is waited for once, and again when it can be.
func TestWrittenNot(t *testing.T) {
	s := open(t, t.TempDir())
	full := filepath.Join(t.TempDir(), File)
	if b, err := os.ReadFile(s.Path()); err != nil || os.WriteFile(full, b, 0o600) != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(full, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	swap := func() {
		s.commitMu.Lock()
		defer s.commitMu.Unlock()
		s.db, db = db, s.db
	}
	s.Flush()
	swap()
	s.mu.Lock() // without waking the writer yet
	s.values[meta("kv/a")], s.dirty[meta("kv/a")] = []byte("1"), struct{}{}
	s.mu.Unlock()
	told := make(chan struct{})
	if !s.Written(func() { close(told) }) {
		t.Fatal("not waited for")
	}
	<-told
	if err := s.Flush(); err == nil {
		t.Error("written to what cannot be written")
	}
	if s.Written(func() { t.Error("called") }) {
		t.Error("waited for again")
	}
	swap()
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
	told = make(chan struct{})
	if !s.Written(func() { close(told) }) {
		t.Fatal("not waited for any more")
	}
	<-told
}

// TestKeepABROVersion: many versions are kept at a time, and ahead; a disk that does nothing
// is not waited for.
func TestKeepABROVersion(t *testing.T) {
	s := open(t, t.TempDir())
	s.commitMu.Lock()
	writes, last := 0, uint64(0)
	for v := uint32(1); v <= 10*abroAhead; v++ {
		if s.KeepABROVersion(v); s.Counter(abroVersion) < uint64(v)+abroAhead/2 {
			t.Fatalf("%d: %d", v, s.Counter(abroVersion))
		}
		if n := s.Counter(abroVersion); n != last {
			writes, last = writes+1, n
		}
	}
	if writes > 20 {
		t.Errorf("%d writes", writes)
	}
	s.KeepABROVersion(3)
	s.commitMu.Unlock()
	if v, err := s.NextABROVersion(); v <= 10*abroAhead || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}
