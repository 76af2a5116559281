package timerq

import (
	"math/rand/v2"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }

func TestQueue(t *testing.T) {
	var q Queue[int]
	if !q.Next().IsZero() || q.Len() != 0 {
		t.Error("the zero value is not empty")
	}
	if _, ok := q.Pop(at(1 << 30)); ok {
		t.Error("Pop found something in an empty queue")
	}
	if q.Remove(1) {
		t.Error("Remove of a key that is not there reported true")
	}
	q.Set(1, at(30))
	q.Set(2, at(10))
	q.Set(3, at(20))
	q.Set(4, at(10))
	if got := q.Next(); !got.Equal(at(10)) {
		t.Errorf("Next = %v", got)
	}
	if _, ok := q.Pop(at(9)); ok {
		t.Error("Pop before anything is due")
	}
	q.Set(3, at(5))       // sooner
	q.Set(2, at(40))      // later
	q.Set(4, time.Time{}) // never
	if a, ok := q.At(2); !ok || !a.Equal(at(40)) {
		t.Errorf("At(2) = %v, %v", a, ok)
	}
	if _, ok := q.At(4); ok {
		t.Error("At(4) after removal")
	}
	for _, want := range []int{3, 1, 2} {
		if k, ok := q.Pop(at(40)); !ok || k != want {
			t.Errorf("Pop = %v, %v; want %v", k, ok, want)
		}
	}
	q.Set(9, at(1))
	q.Clear()
	if q.Len() != 0 || !q.Next().IsZero() || q.Remove(9) {
		t.Error("Clear left something")
	}
}

// Keys that are due at the same instant come out in the order they were set.
func TestQueueOrder(t *testing.T) {
	var q Queue[int]
	for i := range 100 {
		q.Set(i, at(7))
	}
	q.Set(0, at(7))
	for i := range 100 {
		want := (i + 1) % 100
		if k, _ := q.Pop(at(7)); k != want {
			t.Fatalf("Pop %d = %d, want %d", i, k, want)
		}
	}
}

// FuzzQueue compares the queue with a plain map that is searched, under any sequence of
// operations, and checks the heap and its index after each.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 1, 10, 0, 2, 5, 2, 0, 7, 1, 1, 0})
	f.Add([]byte{0, 1, 5, 0, 2, 5, 0, 3, 5, 0, 1, 5, 2, 0, 5, 2, 0, 5, 2, 0, 5})
	f.Fuzz(func(t *testing.T, ops []byte) {
		type entry struct {
			at  byte
			seq int
		}
		var q Queue[byte]
		model := map[byte]entry{}
		for i := 0; i+3 <= len(ops); i += 3 {
			k, when := ops[i+1]%32, ops[i+2]
			switch ops[i] % 4 {
			case 0, 3:
				q.Set(k, at(int(when)))
				model[k] = entry{when, i}
			case 1:
				_, want := model[k]
				if q.Remove(k) != want {
					t.Fatalf("Remove(%d) != %v", k, want)
				}
				delete(model, k)
			case 2:
				var want byte
				best, found := entry{}, false
				for mk, e := range model {
					if !found || e.at < best.at || e.at == best.at && e.seq < best.seq {
						want, best, found = mk, e, true
					}
				}
				found = found && best.at <= when
				got, ok := q.Pop(at(int(when)))
				if ok != found || ok && got != want {
					t.Fatalf("Pop(%d) = %d, %v; want %d, %v", when, got, ok, want, found)
				}
				if ok {
					delete(model, got)
				}
			}
			check(t, &q)
			if q.Len() != len(model) {
				t.Fatalf("Len = %d, want %d", q.Len(), len(model))
			}
		}
	})
}

func check[K comparable](t *testing.T, q *Queue[K]) {
	t.Helper()
	if len(q.index) != len(q.heap) {
		t.Fatalf("%d keys in the index, %d in the heap", len(q.index), len(q.heap))
	}
	for i := range q.heap {
		if q.index[q.heap[i].key] != i {
			t.Fatalf("index of item %d is %d", i, q.index[q.heap[i].key])
		}
		if i > 0 && q.less(&q.heap[i], &q.heap[(i-1)/2]) {
			t.Fatalf("item %d is earlier than its parent", i)
		}
	}
}

func TestQueueAllocs(t *testing.T) {
	var q Queue[uint64]
	for i := range uint64(1000) {
		q.Set(i, at(int(i)))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	if n := testing.AllocsPerRun(5000, func() {
		q.Set(rnd.Uint64N(1000), at(rnd.IntN(1000)))
		if k, ok := q.Pop(at(1000)); ok {
			q.Set(k, at(rnd.IntN(1000)))
		}
	}); n != 0 {
		t.Errorf("%v allocations per run", n)
	}
}

func BenchmarkQueueMove(b *testing.B) {
	var q Queue[uint64]
	for i := range uint64(1000) {
		q.Set(i, at(int(i)))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		q.Set(rnd.Uint64N(1000), at(rnd.IntN(100000)))
	}
}
