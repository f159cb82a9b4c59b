package objects

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// open returns a registry over a store; o may hold further options.
func open(t testing.TB, s store.Store, o Options) *Registry {
	t.Helper()
	o.Store = s
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seeded is a generator for Options.Random.
func seeded(seed, stream uint64) func(uint64) uint64 {
	random := rand.New(rand.NewPCG(seed, stream))
	var mu sync.Mutex
	return func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Uint64N(n)
	}
}

// response is a response of consumer app that runs in the background.
func response(id string) Object {
	return Object{
		Kind: Response, ID: id, Consumer: "app", Backend: "eastus", Deployment: "gpt-4o-1", Model: "gpt-4o", Pool: "main",
		Pending: true, Estimated: 1200, Spilled: true, Tags: "project=search,team=web",
	}
}

// file is a file of a consumer.
func file(consumer, id string) Object {
	return Object{Kind: File, ID: id, Consumer: consumer, Backend: "eastus"}
}

// put puts an object, which must succeed.
func put(t testing.TB, r *Registry, o Object) {
	t.Helper()
	if err := r.Put(t.Context(), o); err != nil {
		t.Fatalf("put %s: %v", o.ID, err)
	}
}

// want checks whether there is an object, and returns it.
func want(t testing.TB, r *Registry, o Object, there bool) Object {
	t.Helper()
	got, found, err := r.Get(t.Context(), o.Consumer, o.Kind, o.ID)
	if err != nil || found != there {
		t.Errorf("%s %s of %s is found: %v (%v), want %v", o.Kind, o.ID, o.Consumer, found, err, there)
	}
	return got
}

// wantFirst checks what Settle says.
func wantFirst(t testing.TB, r *Registry, o Object, want bool) {
	t.Helper()
	if first, err := r.Settle(t.Context(), o); err != nil || first != want {
		t.Errorf("the first to settle %s: %v (%v), want %v", o.ID, first, err, want)
	}
}

// wantError checks the kind of an error.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// listed are the IDs that a list has.
func listed(t testing.TB, r *Registry, consumer string, kind Kind) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	for o, err := range r.List(t.Context(), consumer, kind) {
		if err != nil {
			t.Fatal(err)
		}
		ids[o.ID] = true
	}
	return ids
}

// wait lets virtual time pass.
func wait(d time.Duration) { <-time.After(d) }

// faulty is an empty table behind a network that tests break.
func faulty(t testing.TB) *faultstore.Store {
	t.Helper()
	s, err := faultstore.New(memory.New(), faultstore.Options{Late: [2]time.Duration{3 * time.Second, 3 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// always makes a fault happen to every operation from now on; none without one.
func always(t testing.TB, s *faultstore.Store, faults ...faultstore.Fault) {
	t.Helper()
	rates := make(map[faultstore.Fault]float64)
	for _, fault := range faults {
		rates[fault] = 1
	}
	if err := s.SetRates(rates); err != nil {
		t.Fatal(err)
	}
}

// hooked is a store whose operations can be watched, held up and changed. A hook may
// be nil; it gets what would be called otherwise.
type hooked struct {
	store.Store
	get     func(ctx context.Context, key store.Key) (store.Row, error)
	insert  func(ctx context.Context, key store.Key, c store.Columns) (string, error)
	replace func(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error)
	query   func(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error]
	mu      sync.Mutex
	gets    int // Point reads so far. Guarded by mu.
}

func (h *hooked) Get(ctx context.Context, key store.Key) (store.Row, error) {
	h.mu.Lock()
	h.gets++
	h.mu.Unlock()
	if h.get != nil {
		return h.get(ctx, key)
	}
	return h.Store.Get(ctx, key)
}

func (h *hooked) Insert(ctx context.Context, key store.Key, c store.Columns) (string, error) {
	if h.insert != nil {
		return h.insert(ctx, key, c)
	}
	return h.Store.Insert(ctx, key, c)
}

func (h *hooked) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	if h.replace != nil {
		return h.replace(ctx, key, c, etag)
	}
	return h.Store.Replace(ctx, key, c, etag)
}

func (h *hooked) Query(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	if h.query != nil {
		return h.query(ctx, f)
	}
	return h.Store.Query(ctx, f)
}

// reads returns how many point reads there were since the last call.
func (h *hooked) reads() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.gets = 0 }()
	return h.gets
}

var _ store.Store = (*hooked)(nil)
