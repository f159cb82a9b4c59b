package lease_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// fault is what happens to one store call.
type fault struct {
	delay time.Duration // Before the call reaches the store; ends with the context.
	drop  error         // The call never reaches the store and fails with this.
	lose  bool          // The call reaches the store; its answer is lost.
	late  time.Duration // The call fails as lost and reaches the store that much later.
	deaf  time.Duration // As delay, but does not obey the context.
	err   error         // The call reaches the store; this is its answer.
}

// down is a store that cannot be reached.
var down = fault{drop: store.ErrUnavailable}

// faultStore is a store whose calls meet faults. The zero fault function means none.
type faultStore struct {
	store.Store
	mu    sync.Mutex
	fault func(call string) fault // Guarded by mu. call: get, insert, replace.
	calls map[string]int          // Guarded by mu.
}

func newFaultStore() *faultStore {
	return &faultStore{Store: memory.New(), calls: make(map[string]int)}
}

// set makes all following calls meet a fault.
func (s *faultStore) set(f func(call string) fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// once makes the next call of a kind meet a fault.
func (s *faultStore) once(call string, f fault) {
	done := false
	s.set(func(c string) fault {
		if c != call || done {
			return fault{}
		}
		done = true
		return f
	})
}

// count returns how many calls were made, and forgets them.
func (s *faultStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += c
	}
	clear(s.calls)
	return n
}

// do makes one call with what fault has chosen for it.
func do[T any](ctx context.Context, s *faultStore, call string, run func(context.Context) (T, error)) (none T, err error) {
	s.mu.Lock()
	s.calls[call]++
	var f fault
	if s.fault != nil {
		f = s.fault(call)
	}
	s.mu.Unlock()
	if f.deaf > 0 {
		<-time.After(f.deaf)
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			if call == "get" {
				return none, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
			}
			return none, fmt.Errorf("%w: %w", store.ErrAmbiguous, ctx.Err())
		}
	}
	switch {
	case f.drop != nil:
		return none, f.drop
	case f.late > 0:
		go func() {
			<-time.After(f.late)
			_, _ = run(context.Background())
		}()
		return none, store.ErrAmbiguous
	}
	result, err := run(ctx)
	switch {
	case f.lose:
		return none, store.ErrAmbiguous
	case f.err != nil:
		return none, f.err
	}
	return result, err
}

func (s *faultStore) Get(ctx context.Context, key store.Key) (store.Row, error) {
	return do(ctx, s, "get", func(ctx context.Context) (store.Row, error) {
		return s.Store.Get(ctx, key)
	})
}

func (s *faultStore) Insert(ctx context.Context, key store.Key, c store.Columns) (string, error) {
	return do(ctx, s, "insert", func(ctx context.Context) (string, error) {
		return s.Store.Insert(ctx, key, c)
	})
}

func (s *faultStore) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	return do(ctx, s, "replace", func(ctx context.Context) (string, error) {
		return s.Store.Replace(ctx, key, c, etag)
	})
}

func (s *faultStore) Query(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return s.Store.Query(ctx, f)
}

// inProcess is a faultStore that is a store.Local. Its calls should meet no faults but
// conflicts.
type inProcess struct{ *faultStore }

func (s inProcess) GetRecord(key store.Key) (store.Record, error) {
	return do(context.Background(), s.faultStore, "get", func(context.Context) (store.Record, error) {
		return s.Store.(store.Local).GetRecord(key)
	})
}

func (s inProcess) SwapRecord(key store.Key, before, after store.Record) error {
	call := "replace"
	if before == nil {
		call = "insert"
	}
	_, err := do(context.Background(), s.faultStore, call, func(context.Context) (any, error) {
		return nil, s.Store.(store.Local).SwapRecord(key, before, after)
	})
	return err
}

var (
	_ store.Store = (*faultStore)(nil)
	_ store.Local = inProcess{}
)

// log collects the events of an engine.
type log struct {
	mu     sync.Mutex
	events []lease.Event
}

func (g *log) add(e lease.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// units sums the units of all events of a kind; count counts them.
func (g *log) units(kind lease.EventKind) (units int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind == kind {
			units += e.Units
		}
	}
	return units
}

func (g *log) count(kind lease.EventKind) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// world is one store and the engines on it.
type world struct {
	tb    fataler
	store *faultStore
	local bool // The store is in the process of the engines that are started from now on.
	log   log
	names int
	rng   *rand.Rand
	rngMu sync.Mutex
}

func newWorld(tb fataler) *world {
	return &world{tb: tb, store: newFaultStore(), rng: rand.New(rand.NewPCG(1, 2))}
}

func (w *world) random(n uint64) uint64 {
	w.rngMu.Lock()
	defer w.rngMu.Unlock()
	return w.rng.Uint64N(n)
}

// engine starts one more instance.
func (w *world) engine(policy lease.Policy, clk *clock.Clock) *lease.Engine {
	w.tb.Helper()
	w.names++
	var s store.Store = w.store
	if w.local {
		s = inProcess{w.store}
	}
	e, err := lease.New(lease.Options{
		Store: s, Clock: clk, Instance: fmt.Sprintf("instance-%d", w.names),
		OnUnavailable: policy, Events: w.log.add, Random: w.random,
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return e
}

// row reads a shard's row as it is stored.
func (w *world) row(key string, p quota.Period, shard int64) quota.Row {
	w.tb.Helper()
	row, ok := stored(w.store.Store, p, quota.Partition(key, p, shard))
	if !ok {
		w.tb.Fatalf("there is no row of %s", key)
	}
	return row
}

// stored is a row as it is stored, if there is one.
func stored(s store.Store, p quota.Period, partition string) (quota.Row, bool) {
	got, err := s.Get(context.Background(), store.Key{Partition: partition, Row: quota.RowKey})
	if err != nil {
		return quota.Row{}, false
	}
	row, err := quota.Decode(p, got.Columns)
	if err != nil {
		panic(err)
	}
	return row, true
}

// window is the window that a limit is in.
func window(l *lease.Limit, p quota.Period) quota.Window {
	return p.Window(l.Status().ResetAt.Add(-time.Second))
}

// put replaces a shard's row by force.
func (w *world) put(key string, p quota.Period, shard int64, columns store.Columns) {
	w.tb.Helper()
	ctx := context.Background()
	id := store.Key{Partition: quota.Partition(key, p, shard), Row: quota.RowKey}
	var err error
	if old, getErr := w.store.Store.Get(ctx, id); getErr == nil {
		_, err = w.store.Store.Replace(ctx, id, columns, old.ETag)
	} else {
		_, err = w.store.Store.Insert(ctx, id, columns)
	}
	if err != nil {
		w.tb.Fatal(err)
	}
}

// reserve reserves and fails the test unless the outcome is as expected.
func reserve(tb testing.TB, l *lease.Limit, n int64, want lease.Outcome) lease.Reservation {
	tb.Helper()
	r, v := l.Reserve(context.Background(), n)
	if v.Outcome != want {
		tb.Fatalf("Reserve(%d) is %v (retry at %v), want %v", n, v.Outcome, v.RetryAt, want)
	}
	if v.OK() != (v.Outcome == lease.Granted || v.Outcome == lease.Unmetered) {
		tb.Fatalf("%v.OK() is %v", v.Outcome, v.OK())
	}
	return r
}

// storm reserves each of the sizes in its own goroutine and returns the units of
// all that were granted and the sizes of all that were refused as full.
func storm(tb testing.TB, l *lease.Limit, sizes []int64) (granted int64, full []int64) {
	tb.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, n := range sizes {
		group.Go(func() {
			_, v := l.Reserve(context.Background(), n)
			mu.Lock()
			defer mu.Unlock()
			switch v.Outcome {
			case lease.Granted:
				granted += n
			case lease.Full:
				full = append(full, n)
			default:
				tb.Errorf("Reserve(%d) is %v", n, v.Outcome)
			}
		})
	}
	group.Wait()
	return granted, full
}

func sizes(count int, n int64) []int64 {
	s := make([]int64, count)
	for i := range s {
		s[i] = n
	}
	return s
}

// pass lets time go by, in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
}

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}
