package objects

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// struck is a store whose first write meets a fault.
type struck struct {
	*faultstore.Store
	t     *testing.T
	fault faultstore.Fault
	once  sync.Once
}

// strike lets the fault happen to the write that is about to begin, if it is the
// first.
func (s *struck) strike() (over func()) {
	over = func() {}
	s.once.Do(func() {
		always(s.t, s.Store, s.fault)
		over = func() { always(s.t, s.Store) }
	})
	return over
}

func (s *struck) Insert(ctx context.Context, key store.Key, c store.Columns) (string, error) {
	defer s.strike()()
	return s.Store.Insert(ctx, key, c)
}

func (s *struck) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	defer s.strike()()
	return s.Store.Replace(ctx, key, c, etag)
}

// Whatever befalls a write, each of the three operations does what it is to do, once,
// also when the write arrives after all.
func TestOneFault(t *testing.T) {
	faults := []faultstore.Fault{
		faultstore.Refused, faultstore.RequestLost, faultstore.AnswerLost, faultstore.LateApply, faultstore.Conflicted,
		faultstore.Busy, faultstore.BusyApplied, faultstore.ConflictedApplied,
	}
	o := response("resp_1")
	operations := map[string]func(t *testing.T, broken, whole *Registry){
		"put": func(t *testing.T, broken, whole *Registry) {
			put(t, broken, o)
			want(t, whole, o, true)
			wantFirst(t, whole, o, true)
		},
		"settle": func(t *testing.T, broken, whole *Registry) {
			put(t, whole, o)
			wantFirst(t, broken, o, true)
			wantFirst(t, whole, o, false)
			wantFirst(t, broken, o, false)
		},
		"delete": func(t *testing.T, broken, whole *Registry) {
			put(t, whole, o)
			if err := broken.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
				t.Fatal(err)
			}
			wait(knownFor)
			want(t, whole, o, false)
		},
	}
	for name, operate := range operations {
		for _, fault := range faults {
			t.Run(fmt.Sprint(name, ", ", fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := faulty(t)
					operate(t, open(t, &struck{Store: s, t: t, fault: fault}, Options{}), open(t, s, Options{}))
					if s.Count(fault) != 1 {
						t.Errorf("void: %v fired %d times, want 1", fault, s.Count(fault))
					}
					s.Wait()
					wait(knownFor)
					wantFirst(t, open(t, s, Options{}), o, name == "delete")
				})
			})
		}
	}
}

// A put of which the answer was lost is found out by reading, so it succeeds even if
// nothing can be written any more.
func TestPutIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty(t)
		r := open(t, &hooked{Store: s, insert: func(ctx context.Context, key store.Key, c store.Columns) (string, error) {
			always(t, s, faultstore.AnswerLost)
			etag, err := s.Insert(ctx, key, c)
			always(t, s)
			s.SetReadOnly(true)
			return etag, err
		}}, Options{})
		put(t, r, response("resp_1"))
	})
}

// An insert that arrives late, after its object was put, settled and deleted, changes
// nothing.
func TestLateInsert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty(t)
		r := open(t, &struck{Store: s, t: t, fault: faultstore.LateApply}, Options{})
		o := response("resp_1")
		put(t, r, o)
		wantFirst(t, r, o, true)
		if err := r.Delete(t.Context(), o.Consumer, o.Kind, o.ID); err != nil {
			t.Fatal(err)
		}
		s.Wait()
		other := open(t, s, Options{})
		want(t, other, o, false)
		wantFirst(t, other, o, false)
	})
}

// A settlement whose answer was lost at the beginning of an outage is an error. Nobody
// else is first then; who made it is, when it asks again.
func TestSettleThatGaveUp(t *testing.T) {
	tests := []struct {
		name  string
		fault faultstore.Fault
		first bool // The registry that gave up, although another one asks before.
	}{
		{"it was written", faultstore.AnswerLost, true},
		{"it is written late", faultstore.LateApply, true},
		{"it was not written", faultstore.RequestLost, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := faulty(t)
				o := response("resp_1")
				down := &hooked{Store: s}
				down.replace = func(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
					always(t, s, test.fault)
					etag, err := s.Replace(ctx, key, c, etag)
					always(t, s)
					s.SetOutage(true)
					return etag, err
				}
				r, other := open(t, down, Options{}), open(t, s, Options{})
				put(t, r, o)
				for range 2 {
					began := time.Now()
					_, err := r.Settle(t.Context(), o)
					wantError(t, "in the outage", err, ErrUnavailable)
					if took := time.Since(began); took > writeTime {
						t.Errorf("it took %v, want %v at most", took, writeTime)
					}
				}
				s.Wait()
				s.SetOutage(false)
				down.replace = nil
				wantFirst(t, other, o, !test.first)
				wantFirst(t, r, o, test.first)
				wantFirst(t, r, o, false)
				if n := len(r.unknown); n > 0 {
					t.Errorf("%d settlements are unknown, want none", n)
				}
			})
		})
	}
}

// Of many who settle at once, at several instances, one is first; that the client has
// left does not matter.
func TestManySettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := memory.New()
		o := response("resp_1")
		put(t, open(t, table, Options{}), o)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var mu sync.Mutex
		var group sync.WaitGroup
		firsts := 0
		for range 4 {
			r := open(t, table, Options{})
			for range 4 {
				group.Go(func() {
					first, err := r.Settle(ctx, o)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if first {
						firsts++
					}
				})
			}
		}
		group.Wait()
		if firsts != 1 {
			t.Errorf("%d were first, want 1", firsts)
		}
	})
}

// An object that is not pending, or is not there, has nobody to settle it.
func TestNothingToSettle(t *testing.T) {
	r := open(t, memory.New(), Options{})
	done := response("resp_1")
	done.Pending = false
	put(t, r, done)
	wantFirst(t, r, done, false)
	wantFirst(t, r, response("resp_2"), false)
}

// Put and Delete end with their caller's context, and after ten seconds at the latest.
func TestWritesEnd(t *testing.T) {
	o := response("resp_1")
	for name, write := range map[string]func(context.Context, *Registry) error{
		"put":    func(ctx context.Context, r *Registry) error { return r.Put(ctx, o) },
		"delete": func(ctx context.Context, r *Registry) error { return r.Delete(ctx, o.Consumer, o.Kind, o.ID) },
	} {
		for _, given := range []time.Duration{0, 300 * time.Millisecond, time.Hour} {
			t.Run(fmt.Sprint(name, " in ", given), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := faulty(t)
					s.SetOutage(true)
					ctx, cancel := context.WithTimeout(t.Context(), given)
					defer cancel()
					began := time.Now()
					wantError(t, name, write(ctx, open(t, s, Options{})), ErrUnavailable)
					if took := time.Since(began); took > min(given, writeTime) {
						t.Errorf("it took %v, want %v at most", took, min(given, writeTime))
					}
				})
			})
		}
	}
}
