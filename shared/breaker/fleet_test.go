package breaker

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

const id = "ptu/gpt-4o"

// The defaults.
var (
	testTolerance = tolerance{failures: 5, interval: 10 * time.Second}
	testSettings  = rule.Settings{
		OpenFor:       10 * time.Second,
		MaxOpenFor:    300 * time.Second,
		MaxRetryAfter: 60 * time.Second,
		TrialFor:      30 * time.Second,
		Skew:          time.Second,
		ProbeEvery:    10 * time.Second,
	}
)

// epoch0 is a moment for tests of pure functions.
var epoch0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return epoch0.Add(time.Duration(seconds * float64(time.Second)))
}

// middle is a random source that makes every jitter 1.
func middle(n uint64) uint64 { return n / 2 }

// instance is one gateway: a Board with a single deployment, and what happened
// to it.
type instance struct {
	*Board
	d      *Deployment
	mu     sync.Mutex
	events []Event // Guarded by mu.
}

func (i *instance) happened() []Event {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.events)
}

// count returns how many events of a kind and reason have happened; an empty
// reason is any.
func (i *instance) count(kind EventKind, why Reason) int {
	n := 0
	for _, e := range i.happened() {
		if e.Kind == kind && (why == "" || e.Reason == why) {
			n++
		}
	}
	return n
}

// fatal is the part of testing.TB and of rapid.T that the fleet needs.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newInstance(t fatal, name string, s store.Store, change ...func(*Options)) *instance {
	t.Helper()
	i := &instance{}
	o := Options{
		Store:    s,
		Instance: name,
		Random:   middle,
		Events: func(e Event) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.events = append(i.events, e)
		},
	}
	for _, c := range change {
		c(&o)
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	i.Board, i.d = b, b.Deployment(id)
	return i
}

func skewed(by time.Duration) func(*Options) {
	return func(o *Options) {
		start := time.Now()
		o.Clock = clock.New(func() (time.Time, time.Duration) {
			now := time.Now()
			return now.Add(by), now.Sub(start)
		})
	}
}

// admit takes a pass, or fails.
func (i *instance) admit(t fatal) Pass {
	t.Helper()
	pass, ok := i.d.Admit(context.Background())
	if !ok {
		t.Fatalf("refused in %v", i.d.View())
	}
	return pass
}

// refused fails if a request is admitted.
func (i *instance) refused(t fatal) {
	t.Helper()
	if pass, ok := i.d.Admit(context.Background()); ok {
		t.Fatalf("admitted (trial: %v) in %v", pass.Trial(), i.d.View())
	}
}

// trial takes the trial, or fails.
func (i *instance) trial(t fatal) Pass {
	t.Helper()
	pass := i.admit(t)
	if !pass.Trial() {
		t.Fatalf("not a trial in %v", i.d.View())
	}
	return pass
}

// breakDown opens the breaker by as many failures as it takes, and lets the
// opening be published.
func (i *instance) breakDown(t fatal) {
	t.Helper()
	for range testTolerance.failures {
		i.admit(t).Failure(503)
	}
	i.is(t, Open)
	synctest.Wait()
}

func (i *instance) is(t fatal, want State) {
	t.Helper()
	if got := i.d.View(); got.State != want {
		t.Fatalf("%s is %v, want %v (%+v)", i.instance, got.State, want, got)
	}
}

// arrive is what a request does first.
func (i *instance) arrive(ctx context.Context) { i.Refresh(ctx, i.clock.Now()) }

// refresh is a request's, and lets its query finish.
func (i *instance) refresh() {
	i.arrive(context.Background())
	synctest.Wait()
}

// elapse lets virtual time pass.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// fleet is several instances over one store.
type fleet struct {
	store     *scripted
	instances []*instance
}

func newFleet(t fatal, n int, change ...func(*Options)) *fleet {
	t.Helper()
	f := &fleet{store: &scripted{inner: memory.New()}}
	for k := range n {
		f.instances = append(f.instances, newInstance(t, string(rune('a'+k)), f.store, change...))
	}
	return f
}

// openFleet is a fleet whose breaker is open, published, and due for a trial.
func openFleet(t fatal, n int, change ...func(*Options)) *fleet {
	t.Helper()
	f := newFleet(t, n, change...)
	f.refresh()
	f.instances[0].breakDown(t)
	f.refresh()
	elapse(8 * time.Second)
	for _, i := range f.instances {
		i.is(t, Open)
		if !i.d.View().Usable(time.Now()) {
			t.Fatalf("%s is not due: %+v", i.instance, i.d.View())
		}
	}
	return f
}

// refresh lets two seconds and more pass, so that every view is fresh.
func (f *fleet) refresh() {
	elapse(2*time.Second + time.Millisecond)
	for _, i := range f.instances {
		i.refresh()
	}
}

// row returns the row as a newcomer would understand it.
func (f *fleet) row(t fatal) rule.Facts {
	t.Helper()
	row, err := f.store.inner.Get(context.Background(), store.Key{Partition: Partition, Row: id})
	if err != nil {
		t.Fatal(err)
	}
	facts, reading := rule.Decode(row.Columns, time.Now(), &testSettings)
	if reading != rule.Sound {
		t.Fatalf("reading %v of the row %+v, want %v", reading, row.Columns, rule.Sound)
	}
	return facts
}

// operation is a kind of store operation.
type operation uint8

const (
	get operation = iota
	write
	query
)

// fault is what befalls an operation.
type fault uint8

const (
	none        fault = iota
	unavailable       // Nothing happens: ErrUnavailable.
	requestLost       // Nothing happens, and the caller cannot know.
	answerLost        // It happens, and the caller cannot know.
	hang              // Nothing happens until the context ends.
)

// scripted is a store that goes wrong as its script says, and counts.
type scripted struct {
	inner  store.Store
	script atomic.Pointer[func(operation) fault]
	before atomic.Pointer[func(operation)] // Runs before the operation.
	after  atomic.Pointer[func(operation)] // Runs after it, before its answer.

	counts [3]atomic.Int64
}

// do sets what befalls each operation from now on; nil: nothing.
func (s *scripted) do(script func(operation) fault) {
	if script == nil {
		s.script.Store(nil)
		return
	}
	s.script.Store(&script)
}

// delays is what makes each operation of a kind take so long, before it is done or
// after.
func delays(kind operation, d time.Duration) *func(operation) {
	wait := func(o operation) {
		if o == kind {
			<-time.After(d)
		}
	}
	return &wait
}

// once returns a script in which a fault befalls the next operation of a kind
// only.
func once(on operation, f fault) func(operation) fault {
	var fired atomic.Bool
	return func(o operation) fault {
		if o == on && fired.CompareAndSwap(false, true) {
			return f
		}
		return none
	}
}

// always returns a script in which a fault befalls all operations.
func always(f fault) func(operation) fault {
	return func(operation) fault { return f }
}

func (s *scripted) count(o operation) int64 { return s.counts[o].Load() }

func (s *scripted) plan(ctx context.Context, o operation) fault {
	s.counts[o].Add(1)
	if before := s.before.Load(); before != nil {
		(*before)(o)
	}
	script := s.script.Load()
	if script == nil {
		return none
	}
	f := (*script)(o)
	if f == hang {
		<-ctx.Done()
	}
	return f
}

func (s *scripted) Get(ctx context.Context, key store.Key) (store.Row, error) {
	if s.plan(ctx, get) != none {
		return store.Row{}, store.ErrUnavailable
	}
	defer s.answer(get)
	return s.inner.Get(ctx, key)
}

func (s *scripted) answer(o operation) {
	if after := s.after.Load(); after != nil {
		(*after)(o)
	}
}

func (s *scripted) change(ctx context.Context, apply func() (string, error)) (string, error) {
	switch s.plan(ctx, write) {
	case unavailable:
		return "", store.ErrUnavailable
	case requestLost, hang:
		return "", store.ErrAmbiguous
	case answerLost:
		_, _ = apply() // Its outcome is what gets lost.
		return "", store.ErrAmbiguous
	}
	defer s.answer(write)
	return apply()
}

func (s *scripted) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	return s.change(ctx, func() (string, error) { return s.inner.Insert(ctx, key, columns) })
}

func (s *scripted) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return s.change(ctx, func() (string, error) { return s.inner.Replace(ctx, key, columns, etag) })
}

func (s *scripted) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := s.change(ctx, func() (string, error) { return "", s.inner.Delete(ctx, key, etag) })
	return err
}

func (s *scripted) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if s.plan(ctx, query) != none {
			yield(store.Row{}, store.ErrUnavailable)
			return
		}
		var rows []store.Row
		for row, err := range s.inner.Query(ctx, filter) {
			if err != nil {
				yield(store.Row{}, err)
				return
			}
			rows = append(rows, row)
		}
		s.answer(query)
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

var _ store.Store = (*scripted)(nil)

// uncancelled is a store that has sent its request before the context ends.
type uncancelled struct{ store.Store }

func (u uncancelled) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return u.Store.Replace(context.WithoutCancel(ctx), key, columns, etag)
}
