package maintenance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// whatIsToDo fills a store with work for every part of a run, done by an instance
// whose deployment is open.
func whatIsToDo(t *testing.T, inner, seen store.Store, probe func(context.Context, string, breaker.Pass)) instance {
	put(t, inner, limit, 0, spent(limit.Period.Window(time.Now()), 1000, 400))
	old(t, inner, 0, 3)
	i := start(t, setup{store: seen, limits: []maintenance.Limit{limit}, deployments: []string{ptu}, probe: probe})
	wait(70 * time.Second)
	i.open(t, ptu)
	synctest.Wait()
	return i
}

// Whatever befalls the store's calls, a run ends in time, says what failed, and a
// later run does all of its work.
func TestFaultsOfTheStore(t *testing.T) {
	always := func(f faultstore.Fault) faultstore.Options {
		return faultstore.Options{
			Rates: map[faultstore.Fault]float64{f: 1},
			Delay: [2]time.Duration{10 * time.Second, 20 * time.Second}, Late: [2]time.Duration{time.Second, 2 * time.Second},
		}
	}
	faults := []faultstore.Fault{faultstore.Refused, faultstore.RequestLost, faultstore.AnswerLost, faultstore.LateApply, faultstore.Conflicted, faultstore.Delayed}
	for _, fault := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				s, err := faultstore.New(inner, faultstore.Options{})
				if err != nil {
					t.Fatal(err)
				}
				i := whatIsToDo(t, inner, s, func(_ context.Context, _ string, pass breaker.Pass) { pass.Success() })
				o := always(fault)
				broken, err := faultstore.New(inner, o)
				if err != nil {
					t.Fatal(err)
				}
				other := start(t, setup{name: "other", store: broken, limits: []maintenance.Limit{limit}, deployments: []string{ptu}, probe: succeed})
				began := time.Now()
				r := other.Run(t.Context())
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v, want at most %v", took, time.Minute)
				}
				if r.Err == nil && fault != faultstore.Conflicted { // somebody else does the work then
					t.Errorf("it failed at nothing: %+v", r)
				}
				if broken.Count(fault) == 0 {
					t.Error("void: the fault did not fire")
				}
				broken.Wait()
				wait(time.Hour + time.Minute) // the turn to sweep may have been lost
				r = i.run(t)
				if row, _ := get(t, inner, limit, 0); row.Granted != 0 {
					t.Errorf("the row is not rolled: %+v, want Granted 0", row)
				}
				if _, ok := get(t, inner, maintenance.Limit{Key: "consumer/0000/tokens"}, 0); ok {
					t.Error("an idle row is still there")
				}
				if i.view(ptu).State != breaker.Closed {
					t.Error("the deployment is still out")
				}
				if r.Err != nil {
					t.Error(r.Err)
				}
			})
		})
	}
}

// A part that fails does not keep the others from their work, and is named.
func TestOnePartFails(t *testing.T) {
	parts := map[string]func(s *spy) store.Store{
		"roll":  func(s *spy) store.Store { return failing{s, "quota!deployment/"} },
		"sweep": func(s *spy) store.Store { return failing{s, "maintenance"} },
		"sync":  func(s *spy) store.Store { return failing{s, "breaker"} },
	}
	for part, broken := range parts {
		t.Run(part, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				i := whatIsToDo(t, s, broken(s), succeed)
				wait(time.Second)
				r := i.Run(t.Context())
				if r.Err == nil || !strings.Contains(r.Err.Error(), "maintenance: "+part+": ") {
					t.Errorf("it says %v", r.Err)
				}
				if rolled := r.Rolled == 1; rolled != (part != "roll") {
					t.Errorf("%d rolled", r.Rolled)
				}
				if swept := r.Swept == 3; swept != (part != "sweep") {
					t.Errorf("%d swept", r.Swept)
				}
				if r.Probed != 1 || r.Ready != 1 { // by this instance alone, if need be
					t.Errorf("%d probed, %d ready, want 1, 1", r.Probed, r.Ready)
				}
				if lines := r.Lines(); len(lines) < 2 || r.Idle() || !strings.Contains(lines[0], fmt.Sprintf("%d rows rolled, 1 of 1 probed deployments ready, 0 hours folded, %d idle rows swept", r.Rolled, r.Swept)) {
					t.Errorf("it reports %q", lines)
				}
			})
		})
	}
}

// failing is a store that does not answer for partitions of one kind.
type failing struct {
	*spy
	prefix string
}

func (f failing) fails(partition string) bool { return strings.HasPrefix(partition, f.prefix) }

func (f failing) Get(ctx context.Context, key store.Key) (store.Row, error) {
	if f.fails(key.Partition) {
		return down{}.Get(ctx, key)
	}
	return f.spy.Get(ctx, key)
}

func (f failing) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	if f.fails(key.Partition) {
		return down{}.Replace(ctx, key, columns, etag)
	}
	return f.spy.Replace(ctx, key, columns, etag)
}

func (f failing) Query(ctx context.Context, filter store.Filter) seq {
	if f.fails(filter.Partition + filter.Prefix) {
		return down{}.Query(ctx, filter)
	}
	return f.spy.Query(ctx, filter)
}

// What the maintenance cannot do without is asked for.
func TestOptions(t *testing.T) {
	if _, err := maintenance.New(maintenance.Options{}); err == nil ||
		strings.Count(err.Error(), "maintenance: ") != 4 {
		t.Errorf("New says %v", err)
	}
}

// FuzzTurn: whatever the row says whose turn it is, a run neither fails nor
// panics, and sweeps within the hour.
func FuzzTurn(f *testing.F) {
	f.Add(int64(1), int64(0), "one", uint8(0))
	f.Add(int64(1), int64(1<<62), "", uint8(1))
	f.Add(int64(-1), int64(-1), "two", uint8(2))
	f.Add(int64(2), int64(0), "two", uint8(0))
	f.Fuzz(func(t *testing.T, format, due int64, by string, kinds uint8) {
		s := memory.New()
		key := store.Key{Partition: "maintenance", Row: "sweep"}
		columns := store.Columns{"Format": format, "Due": time.Unix(0, due), "By": by}
		switch kinds % 4 {
		case 1:
			columns["Due"] = due
		case 2:
			columns["Format"] = by
		case 3:
			delete(columns, "Due")
		}
		if _, err := s.Insert(t.Context(), key, columns); err != nil {
			t.Skip("no store keeps it")
		}
		now := time.Unix(1_800_000_000, 0)
		l := maintenance.Limit{Key: "consumer/a/tokens", Period: quota.Minute}
		put(t, s, l, 0, spent(l.Period.Window(now.Add(-48*time.Hour)), 10, 5))
		swept := 0
		for _, later := range []time.Duration{0, 2*time.Hour + time.Second} {
			r := startAt(t, s, now.Add(later)).Run(t.Context())
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			swept += r.Swept
		}
		if version, ok := columns["Format"].(int64); swept == 0 && (!ok || version == 1) {
			t.Error("nobody ever sweeps")
		}
	})
}
