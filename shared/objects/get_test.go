package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// An object that was put or read costs no read for a minute, and one that is not there
// none for a second.
func TestWhatIsKnownCostsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hooked{Store: memory.New()}
		writer, reader := open(t, s, Options{}), open(t, s, Options{})
		o := response("resp_1")
		want(t, reader, o, false)
		put(t, writer, o)
		s.reads()
		steps := []struct {
			after time.Duration
			r     *Registry
			found bool
			reads int
		}{
			{0, writer, true, 0},
			{missFor - 1, reader, false, 0},
			{1, reader, true, 1},
			{knownFor - 1 - missFor, writer, true, 0},
			{1, writer, true, 1},
			{missFor - 1, reader, true, 0},
			{1, reader, true, 1},
		}
		for i, step := range steps {
			wait(step.after)
			for range 3 {
				want(t, step.r, o, step.found)
			}
			if n := s.reads(); n != step.reads {
				t.Errorf("step %d: %d reads, want %d", i, n, step.reads)
			}
		}
	})
}

// gate holds up whoever passes until it is opened.
type gate struct{ reached, opened chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 100), make(chan struct{})} }

func (g gate) pass() {
	g.reached <- struct{}{}
	<-g.opened
}

// All who ask for the same object at once share one read. One of them who leaves, even
// the first, hears why at once and does not end it for the others.
func TestOneReadForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		o := response("resp_1")
		put(t, open(t, table, Options{}), o)
		g := newGate()
		s := &hooked{Store: table, get: func(ctx context.Context, key store.Key) (store.Row, error) {
			g.pass()
			return table.Get(ctx, key)
		}}
		r := open(t, s, Options{})
		ctx, leave := context.WithCancelCause(t.Context())
		left := make(chan error)
		go func() {
			_, _, err := r.Get(ctx, o.Consumer, o.Kind, o.ID)
			left <- err
		}()
		<-g.reached
		var others sync.WaitGroup
		for range 20 {
			others.Go(func() { want(t, r, o, true) })
		}
		synctest.Wait()
		gone := errors.New("the client has left")
		leave(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Errorf("who leaves hears %v, want %v", err, gone)
		}
		close(g.opened)
		others.Wait()
		if n := s.reads(); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// A read that began before a write ended is not believed after it, even if what the
// write had to say is forgotten by then.
func TestOvertakenRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		o := response("resp_1")
		put(t, open(t, table, Options{}), o)
		g := newGate()
		var held atomic.Bool
		r := open(t, &hooked{Store: table, get: func(ctx context.Context, key store.Key) (store.Row, error) {
			row, err := table.Get(ctx, key)
			if held.CompareAndSwap(false, true) {
				g.pass()
			}
			return row, err
		}}, Options{Cache: 1})
		var early sync.WaitGroup
		early.Go(func() { want(t, r, o, true) })
		<-g.reached
		if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
			t.Fatal(err)
		}
		put(t, r, response("resp_2")) // The other one is forgotten.
		close(g.opened)
		early.Wait()
		want(t, r, o, false)
	})
}

// A put that is slow to hear of its success does not undo what was learned meanwhile.
func TestPutEndsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		g := newGate()
		r := open(t, &hooked{Store: table, insert: func(ctx context.Context, key store.Key, c store.Columns) (string, error) {
			defer g.pass()
			return table.Insert(ctx, key, c)
		}}, Options{})
		settled, gone := response("resp_1"), response("resp_2")
		var puts sync.WaitGroup
		for _, o := range []Object{settled, gone} {
			puts.Go(func() { put(t, r, o) })
			<-g.reached
		}
		wantFirst(t, r, settled, true)
		if err := r.Delete(t.Context(), gone.Consumer, gone.Kind, gone.ID); err != nil {
			t.Fatal(err)
		}
		close(g.opened)
		puts.Wait()
		want(t, r, gone, false)
		if got := want(t, r, settled, true); got.Pending {
			t.Error("it was settled and is pending")
		}
	})
}

// That there was no object is forgotten when it is put, even if there is no room to
// remember that.
func TestPutAfterMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), Options{Cache: 1})
		o := response("resp_1")
		want(t, r, o, false)
		put(t, r, o)
		put(t, r, response("resp_2"))
		want(t, r, o, true)
	})
}

// A row that somebody has removed is not known any more once that was seen: by a read,
// or by a write that found nothing to do.
func TestRowThatIsGone(t *testing.T) {
	o := response("resp_1")
	for name, see := range map[string]func(t *testing.T, r *Registry){
		"a read": func(t *testing.T, r *Registry) {
			wait(knownFor)
			want(t, r, o, false)
		},
		"a delete": func(t *testing.T, r *Registry) {
			if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
				t.Error(err)
			}
		},
		"a settlement": func(t *testing.T, r *Registry) { wantFirst(t, r, o, false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := faulty(t)
				r := open(t, s, Options{})
				put(t, r, o)
				s.LoseTable(memory.New())
				want(t, r, o, true)
				see(t, r)
				wait(missFor)
				s.SetOutage(true)
				_, found, err := r.Get(t.Context(), o.Consumer, o.Kind, o.ID)
				if found || !errors.Is(err, ErrUnavailable) {
					t.Errorf("in an outage it is found: %v (%v)", found, err)
				}
			})
		})
	}
}

// While the table does not answer, what is known goes on, at once or after a moment's
// wait; what is not known is an error. Afterwards the table counts again.
func TestOutage(t *testing.T) {
	tests := []struct {
		name string
		get  func(ctx context.Context, key store.Key) (store.Row, error)
		most time.Duration // That who knows something waits.
	}{
		{"refused", func(context.Context, store.Key) (store.Row, error) {
			return store.Row{}, fmt.Errorf("down: %w", store.ErrUnavailable)
		}, awaitTime},
		{"no answer", func(ctx context.Context, _ store.Key) (store.Row, error) {
			<-ctx.Done()
			return store.Row{}, fmt.Errorf("late: %w", store.ErrUnavailable)
		}, awaitTime},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := memory.New()
				s := &hooked{Store: table}
				r := open(t, s, Options{})
				o := response("resp_1")
				put(t, r, o)
				s.get = test.get
				wait(10 * knownFor)
				for range 5 {
					began := time.Now()
					want(t, r, o, true)
					if took := time.Since(began); took > test.most {
						t.Errorf("it took %v, want %v at most", took, test.most)
					}
				}
				began := time.Now()
				_, _, err := r.Get(t.Context(), "app", Response, "resp_2")
				wantError(t, "what is not known", err, ErrUnavailable)
				if took := time.Since(began); took > fetchTime {
					t.Errorf("it took %v, want %v at most", took, fetchTime)
				}
				wait(fetchTime)
				want(t, r, o, true) // The store may be asked again.
				wait(fetchTime)
				want(t, r, o, true)
				wait(restFor / 2)
				s.reads()
				began = time.Now()
				for range 100 {
					want(t, r, o, true)
				}
				if n, took := s.reads(), time.Since(began); n > 0 || took > 0 {
					t.Errorf("while the store is left alone: %d reads, %v", n, took)
				}
				wait(fetchTime + restFor)
				s.get = nil
				if err := open(t, table, Options{}).Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
					t.Fatal(err)
				}
				want(t, r, o, false)
			})
		})
	}
}

// A request that has waited for the store already waits no more for what it could go
// on without.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hooked{Store: memory.New()}
		r := open(t, s, Options{})
		o := response("resp_1")
		put(t, r, o)
		s.get = func(ctx context.Context, _ store.Key) (store.Row, error) {
			<-ctx.Done()
			return store.Row{}, store.ErrUnavailable
		}
		wait(knownFor)
		ctx := store.WithPatience(t.Context(), 40*time.Millisecond)
		for _, most := range []time.Duration{40 * time.Millisecond, 0} {
			began := time.Now()
			if _, found, err := r.Get(ctx, o.Consumer, o.Kind, o.ID); !found || err != nil {
				t.Errorf("found %v, %v", found, err)
			}
			if took := time.Since(began); took != most {
				t.Errorf("it took %v, want %v", took, most)
			}
		}
		wait(fetchTime) // The read ends by itself.
	})
}

// The objects in memory are bounded, and those used last stay. Those that are not
// there never push out one that is.
func TestCacheIsBounded(t *testing.T) {
	s := &hooked{Store: memory.New()}
	r := open(t, s, Options{Cache: 10})
	for i := range 30 {
		put(t, r, response(fmt.Sprint("resp_", i)))
		want(t, r, response("resp_0"), true)
		want(t, r, response(fmt.Sprint("none_", i)), false)
	}
	if n := s.reads(); n != 30 {
		t.Errorf("%d reads, want one for each that is not there", n)
	}
	for i := 29; i > 20; i-- {
		want(t, r, response(fmt.Sprint("resp_", i)), true)
	}
	want(t, r, response("resp_0"), true)
	if n := s.reads(); n != 0 {
		t.Errorf("%d reads of what was used last, want 0", n)
	}
	want(t, r, response("resp_20"), true)
	if n := s.reads(); n != 1 {
		t.Errorf("%d reads of what was used long ago, want 1", n)
	}
	if found, missing := len(r.found.entries), len(r.missing.entries); found != 10 || missing != 10 {
		t.Errorf("%d objects and %d misses are kept, want 10 and 10", found, missing)
	}
}
