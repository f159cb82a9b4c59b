package maintenance_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// seq is what a query yields.
type seq = iter.Seq2[store.Row, error]

// spy is a store that counts its calls and keeps the deletions.
type spy struct {
	store.Store
	mu      sync.Mutex
	calls   map[string]int // Guarded by mu.
	deleted []store.Key    // Guarded by mu.
	filters []store.Filter // Guarded by mu.
	// before, if set, is called before each call reaches the store.
	before func(call string, key store.Key)
}

func newSpy() *spy { return &spy{Store: memory.New(), calls: make(map[string]int)} }

func (s *spy) note(call string, key store.Key) {
	s.mu.Lock()
	s.calls[call]++
	s.mu.Unlock()
	if s.before != nil {
		s.before(call, key)
	}
}

func (s *spy) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

func (s *spy) Get(ctx context.Context, key store.Key) (store.Row, error) {
	s.note("get", key)
	return s.Store.Get(ctx, key)
}

func (s *spy) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	s.note("insert", key)
	return s.Store.Insert(ctx, key, columns)
}

func (s *spy) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	s.note("replace", key)
	return s.Store.Replace(ctx, key, columns, etag)
}

func (s *spy) Delete(ctx context.Context, key store.Key, etag string) error {
	s.note("delete", key)
	err := s.Store.Delete(ctx, key, etag)
	if err == nil {
		s.mu.Lock()
		s.deleted = append(s.deleted, key)
		s.mu.Unlock()
	}
	return err
}

func (s *spy) Query(ctx context.Context, filter store.Filter) seq {
	s.note("query", store.Key{Partition: filter.Partition + filter.Prefix})
	s.mu.Lock()
	s.filters = append(s.filters, filter)
	s.mu.Unlock()
	return s.Store.Query(ctx, filter)
}

// instance is one instance of the gateway, as far as maintenance goes.
type instance struct {
	*maintenance.Maintenance
	board *breaker.Board
	clock *clock.Clock
}

// setup is what tests vary of an instance.
type setup struct {
	name        string
	store       store.Store
	clock       *clock.Clock
	deployments []string
	limits      []maintenance.Limit
	probe       func(ctx context.Context, deployment string, pass breaker.Pass)
	random      func(n uint64) uint64
}

func start(t testing.TB, s setup) instance {
	t.Helper()
	if s.name == "" {
		s.name = "one"
	}
	if s.clock == nil {
		s.clock = new(clock.Clock)
	}
	if s.probe == nil {
		s.probe = func(_ context.Context, deployment string, pass breaker.Pass) {
			t.Errorf("%s was probed", deployment)
			pass.Abandon()
		}
	}
	board, err := breaker.New(breaker.Options{Store: s.store, Clock: s.clock, Instance: s.name, Random: s.random})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range s.deployments {
		board.Deployment(id)
	}
	m, err := maintenance.New(maintenance.Options{
		Store: s.store, Clock: s.clock, Instance: s.name, Board: board, Probe: s.probe, Random: s.random,
		Limits: func() iter.Seq[maintenance.Limit] { return slices.Values(s.limits) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return instance{m, board, s.clock}
}

// run does one run, which must succeed.
func (i instance) run(t testing.TB) maintenance.Report {
	t.Helper()
	r := i.Run(t.Context())
	if r.Err != nil {
		t.Errorf("the run failed: %v", r.Err)
	}
	return r
}

// limit is the limit that most tests use.
var limit = maintenance.Limit{Key: "deployment/ptu/gpt-4o/tokens", Period: quota.Minute}

func keyOf(l maintenance.Limit, shard int64) store.Key {
	return store.Key{Partition: quota.Partition(l.Key, l.Period, shard), Row: quota.RowKey}
}

// put stores the row of a shard.
func put(t testing.TB, s store.Store, l maintenance.Limit, shard int64, row quota.Row) {
	t.Helper()
	if _, err := s.Insert(t.Context(), keyOf(l, shard), row.Columns()); err != nil {
		t.Fatal(err)
	}
}

// get reads the row of a shard; false: there is none.
func get(t testing.TB, s store.Store, l maintenance.Limit, shard int64) (quota.Row, bool) {
	t.Helper()
	stored, err := s.Get(t.Context(), keyOf(l, shard))
	if err != nil {
		return quota.Row{}, false
	}
	row, err := quota.Decode(l.Period, stored.Columns)
	if err != nil {
		t.Fatal(err)
	}
	return row, true
}

// wait lets virtual time pass.
func wait(d time.Duration) { <-time.After(d) }

// spent is a row of a window of which units were granted.
func spent(w quota.Window, amount, granted int64) quota.Row {
	row, ok := quota.New(w, amount).Grant(0, granted, true)
	if !ok {
		panic("more than there is")
	}
	row.Nonces, row.By = "a nonce", "a lease"
	return row
}

// startAt starts an instance whose clock stands still at a moment.
func startAt(t fataler, s store.Store, now time.Time, limits ...maintenance.Limit) *maintenance.Maintenance {
	return startWith(t, s, clock.New(func() (time.Time, time.Duration) { return now, 0 }), limits...)
}

// fataler is a test, or a step of a property.
type fataler interface{ Fatal(...any) }

// startWith starts an instance with a clock and without deployments.
func startWith(t fataler, s store.Store, c *clock.Clock, limits ...maintenance.Limit) *maintenance.Maintenance {
	board, err := breaker.New(breaker.Options{Store: s, Clock: c, Instance: "one"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := maintenance.New(maintenance.Options{
		Store: s, Clock: c, Instance: "one", Board: board,
		Limits: func() iter.Seq[maintenance.Limit] { return slices.Values(limits) },
		Probe:  func(_ context.Context, _ string, pass breaker.Pass) { pass.Abandon() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// down is a store that cannot be reached.
type down struct{}

func (down) Get(context.Context, store.Key) (store.Row, error) {
	return store.Row{}, store.ErrUnavailable
}

func (down) Insert(context.Context, store.Key, store.Columns) (string, error) {
	return "", store.ErrUnavailable
}

func (down) Replace(context.Context, store.Key, store.Columns, string) (string, error) {
	return "", store.ErrUnavailable
}

func (down) Delete(context.Context, store.Key, string) error { return store.ErrUnavailable }

func (down) Query(context.Context, store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) { yield(store.Row{}, store.ErrUnavailable) }
}
