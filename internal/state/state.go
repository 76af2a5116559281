package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// File is the name of the file in the state directory.
const File = "state.db"

const (
	lockTimeout = time.Second           // how long another process may still be closing
	coalesce    = 50 * time.Millisecond // from one commit to the next
	retryAfter  = time.Second           // after a commit that failed
)

// The buckets of the file. A key in memory is the bucket's name, a slash and the key.
var buckets = [...]string{"meta", "registrations"}

// A Store keeps the state of one router. Its methods may be called from any goroutine;
// those without an error never wait for the disk.
type Store struct {
	path string // "" in memory only
	log  *slog.Logger

	mu     sync.Mutex
	values map[entry][]byte // the state; a value is never changed once it is here
	dirty  map[entry]struct{}
	wait   []func() // for what is dirty
	failed bool     // the last commit
	closed bool

	commitMu sync.Mutex // held while db is in use; taken before mu
	db       *bbolt.DB

	kick chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// An entry names a value: a bucket and a key in it.
type entry struct{ bucket, key string }

// OpenMemory returns a store that forgets everything when the process ends.
func OpenMemory() *Store {
	return &Store{
		log:    slog.New(slog.DiscardHandler),
		values: make(map[entry][]byte),
		dirty:  make(map[entry]struct{}),
	}
}

// Open opens the store in dir, which is made where it is missing. nil for log discards.
// An error says what to do about it.
func Open(dir string, log *slog.Logger) (*Store, error) {
	s := OpenMemory()
	if log != nil {
		s.log = log
	}
	s.path = filepath.Join(dir, File)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(dir, err)
	}
	if err := s.openFile(); err != nil {
		return nil, err
	}
	s.kick = make(chan struct{}, 1)
	s.stop = make(chan struct{})
	s.done.Go(s.write)
	return s, nil
}

// Path returns the path of the file, "" for a store in memory.
func (s *Store) Path() string { return s.path }

// openFile opens the file and reads it, or begins a new one where it cannot be read.
func (s *Store) openFile() error {
	db, err := s.load()
	if err == nil {
		s.db = db
		return nil
	}
	if !isCorrupt(err) {
		return explain(filepath.Dir(s.path), err)
	}
	if err := s.moveAside(err); err != nil {
		return err
	}
	clear(s.values)
	if s.db, err = s.load(); err != nil {
		return explain(filepath.Dir(s.path), err)
	}
	return nil
}

// errCorrupt marks what a damaged file makes the library say or do.
var errCorrupt = errors.New("state file is damaged")

func isCorrupt(err error) bool { return errors.Is(err, errCorrupt) }

// guarded runs f and turns a panic, and a fault in the mapped file, into errCorrupt: both
// are what the library does with pages that do not hold.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errCorrupt, v)
		}
	}()
	return f()
}

// load opens the file and reads all of it into s.values.
func (s *Store) load() (db *bbolt.DB, err error) {
	var file *os.File
	opt := &bbolt.Options{
		Timeout:      lockTimeout,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		},
	}
	err = guarded(func() error {
		var err error
		if db, err = bbolt.Open(s.path, 0o600, opt); err != nil {
			var errno syscall.Errno
			if errors.Is(err, berrors.ErrTimeout) || errors.As(err, &errno) {
				return err
			}
			return fmt.Errorf("%w: %w", errCorrupt, err)
		}
		if err := db.View(func(tx *bbolt.Tx) error { return s.readAll(tx, file) }); err != nil {
			return err
		}
		return db.Update(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		return db, nil
	}
	if isCorrupt(err) {
		// The library may hold locks of its own where it panicked; let go of the file's.
		if file != nil {
			file.Close()
		}
	} else if db != nil {
		db.Close()
	}
	return nil, err
}

func (s *Store) readAll(tx *bbolt.Tx, file *os.File) error {
	if st, err := file.Stat(); err == nil && st.Size() < tx.Size() {
		return fmt.Errorf("%w: %d bytes, want %d", errCorrupt, st.Size(), tx.Size())
	}
	for _, name := range buckets {
		b := tx.Bucket([]byte(name))
		if b == nil {
			continue
		}
		if err := b.ForEach(func(k, v []byte) error {
			s.values[entry{name, string(k)}] = append([]byte{}, v...)
			return nil
		}); err != nil {
			return fmt.Errorf("%w: %w", errCorrupt, err)
		}
	}
	return nil
}

// moveAside renames a file that cannot be read. Its bytes are kept for whoever wants to
// look into it, until the next one that cannot be read.
func (s *Store) moveAside(why error) error {
	aside := s.path + ".damaged"
	if err := os.Rename(s.path, aside); err != nil {
		return explain(filepath.Dir(s.path), err)
	}
	s.log.Warn("state file is damaged, starting with an empty one", "file", s.path, "kept_as", aside, "err", why)
	return nil
}

// explain says what to do about an error with the state directory.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("state directory %s is in use by another router: stop that one or give this one its own with --state-dir", dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("state directory %s is not writable: change its owner (chown) or choose another with --state-dir: %w", dir, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("state directory %s: no space left: free some or choose another with --state-dir: %w", dir, err)
	}
	return fmt.Errorf("state directory %s: choose another with --state-dir: %w", dir, err)
}

// put changes one value and lets the writer know; nil deletes.
func (s *Store) put(e entry, v []byte) {
	s.mu.Lock()
	if v == nil {
		if _, ok := s.values[e]; !ok {
			s.mu.Unlock()
			return
		}
		delete(s.values, e)
	} else {
		s.values[e] = v
	}
	if s.path == "" || s.closed {
		s.mu.Unlock()
		return
	}
	s.dirty[e] = struct{}{}
	s.mu.Unlock()
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Written has f called, from a goroutine of its own, when all that was changed before is on
// the disk, or could not be written there. It reports false, and f is not called, where there
// is no disk to wait for, or one that could not be written last. The caller bounds how many
// are waiting.
func (s *Store) Written(f func()) bool {
	s.mu.Lock()
	if s.path == "" || s.closed || s.failed {
		s.mu.Unlock()
		return false
	}
	s.wait = append(s.wait, f)
	s.mu.Unlock()
	s.wake()
	return true
}

func (s *Store) get(e entry) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[e]
	return v, ok
}

// write is the goroutine that commits what has changed: at once after a quiet time, so that
// who waits for it waits no longer than the disk takes, and then at most once in the time
// coalesce, for all that came meanwhile: flash wears by the commit.
func (s *Store) write() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	waiting, failing := false, false
	var last time.Time // commit
	for {
		select {
		case <-s.stop:
			return
		case <-s.kick:
			if !waiting {
				waiting = true
				timer.Reset(coalesce - time.Since(last))
			}
		case <-timer.C:
			waiting = false
			err := s.Flush()
			last = time.Now()
			switch {
			case err != nil:
				if !failing {
					s.log.Warn("state not written, trying again", "file", s.path, "err", err)
				}
				waiting = true
				timer.Reset(retryAfter)
			case failing:
				s.log.Info("state written again", "file", s.path)
			}
			failing = err != nil
		}
	}
}

// Flush commits what has changed and returns when it is on the disk. What could not be
// written stays to be written.
func (s *Store) Flush() error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.flushLocked()
}

func (s *Store) flushLocked() error {
	s.mu.Lock()
	if wait := s.wait; len(wait) > 0 {
		s.wait = nil
		// Not from here: the caller may be what they wait for.
		defer func() {
			go func() {
				for _, f := range wait {
					f()
				}
			}()
		}()
	}
	if len(s.dirty) == 0 || s.db == nil {
		s.mu.Unlock()
		return nil
	}
	changes := make(map[entry][]byte, len(s.dirty))
	for e := range s.dirty {
		changes[e] = s.values[e]
	}
	clear(s.dirty)
	s.mu.Unlock()

	err := s.commit(changes)
	if isCorrupt(err) {
		err = s.rebuild(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err != nil
	if err != nil {
		for e := range changes {
			s.dirty[e] = struct{}{}
		}
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) commit(changes map[entry][]byte) error {
	return guarded(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			for e, v := range changes {
				b := tx.Bucket([]byte(e.bucket))
				var err error
				switch {
				case b == nil:
					return fmt.Errorf("%w: no bucket %q", errCorrupt, e.bucket)
				case v == nil:
					err = b.Delete([]byte(e.key))
				default:
					err = b.Put([]byte(e.key), v)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// rebuild writes all that memory holds into a new file in place of one that turned out to
// be damaged while it was in use.
func (s *Store) rebuild(why error) error {
	if err := s.moveAside(why); err != nil {
		return err
	}
	fresh := &Store{path: s.path, log: s.log, values: make(map[entry][]byte)}
	db, err := fresh.load()
	if err != nil {
		return err
	}
	s.db = db // the old one is left open: it may hold locks where it panicked
	s.mu.Lock()
	all := make(map[entry][]byte, len(s.values))
	for e, v := range s.values {
		all[e] = v
	}
	s.mu.Unlock()
	return s.commit(all)
}

// Close writes what has changed and closes the file. Later changes are not kept.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed || s.path == "" {
		return nil
	}
	close(s.stop)
	s.done.Wait()
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	err := s.flushLocked()
	err = errors.Join(err, guarded(s.db.Close))
	s.db = nil
	return err
}
