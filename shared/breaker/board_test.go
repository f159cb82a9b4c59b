package breaker

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
)

func TestOpeningReachesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		a := f.instances[0]
		f.refresh()
		a.breakDown(t)
		f.refresh()
		want := a.d.View().OpenUntil
		for _, i := range f.instances {
			i.is(t, Open)
			if got := i.d.View().OpenUntil; !got.Equal(want) {
				t.Errorf("%s is open until %v, want %v", i.instance, got, want)
			}
		}
		for _, i := range f.instances[1:] {
			if i.count(EventOpened, ReasonShared) != 1 {
				t.Errorf("%s: events %+v", i.instance, i.happened())
			}
		}
	})
}

func TestLaterUntilWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		a.breakDown(t)
		elapse(time.Second)
		b.breakDown(t) // It has not heard of a's opening.
		want := time.Now().Add(10 * time.Second)
		f.refresh()
		for _, i := range f.instances {
			if got := i.d.View(); !got.OpenUntil.Equal(want) || got.Opens != 1 {
				t.Errorf("%s: %+v, want it open until %v", i.instance, got, want)
			}
		}
		if row := f.row(t); !row.Until.Equal(want) {
			t.Errorf("row %+v, want %v", row, want)
		}
	})
}

func TestRowThatIsOpenLongerIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		b := newInstance(t, "b", f.store, func(o *Options) { o.Random = func(uint64) uint64 { return 0 } })
		a.breakDown(t) // Open for 10 s.
		b.breakDown(t) // Open for 9 s.
		if n := f.store.count(write); n != 1 {
			t.Errorf("%d writes, want a's alone", n)
		}
		if got, want := b.d.View().OpenUntil, a.d.View().OpenUntil; !got.Equal(want) {
			t.Errorf("b is open until %v, want %v", got, want)
		}
		f.refresh()
		if n := f.store.count(write); n != 1 {
			t.Errorf("%d writes after a refresh, want a's alone", n)
		}
	})
}

func TestClosingReachesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		f.instances[0].breakDown(t)
		f.refresh()
		elapse(8 * time.Second)
		f.instances[1].trial(t).Success()
		f.refresh()
		for _, i := range f.instances {
			i.is(t, Closed)
			if i.count(EventClosed, "") != 1 {
				t.Errorf("%s: events %+v", i.instance, i.happened())
			}
		}
	})
}

func TestThrottleReachesTheOthers(t *testing.T) {
	for _, test := range []struct {
		name   string
		asked  time.Duration
		want   time.Duration // for the other instance; 0: it is not told
		writes int64
	}{
		{"shorter than a view lives", 1999 * time.Millisecond, 0, 0},
		{"as long as a view lives", 2 * time.Second, 2 * time.Second, 1},
		{"long", 30 * time.Second, 30 * time.Second, 1},
		{"a day", 24 * time.Hour, time.Minute, 1},
		{"over already", -time.Second, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2)
				a, b := f.instances[0], f.instances[1]
				now := time.Now()
				for range 20 {
					a.admit(t).Throttled(now.Add(test.asked), 429)
				}
				synctest.Wait()
				b.refresh()
				want := time.Time{}
				if test.want > 0 {
					want = now.Add(test.want)
				}
				if got := b.d.View().ThrottledUntil; !got.Equal(want) {
					t.Errorf("throttled until %v, want %v", got, want)
				}
				if n := f.store.count(write); n != test.writes {
					t.Errorf("%d writes, want %d", n, test.writes)
				}
				if got := b.count(EventThrottled, ReasonShared); got != int(test.writes) {
					t.Errorf("%d events, want %d", got, test.writes)
				}
			})
		})
	}
}

func TestThrottleThatGrowsALittleIsNotWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		for k := range 100 {
			a.admit(t).Throttled(time.Now().Add(30*time.Second+time.Duration(k)*time.Millisecond), 429)
			synctest.Wait()
		}
		if n := f.store.count(write); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
	})
}

func TestLostAnswerOfAPublication(t *testing.T) {
	for name, f := range map[string]fault{"request lost": requestLost, "answer lost": answerLost} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fl := newFleet(t, 1)
				fl.store.do(once(write, f))
				fl.instances[0].breakDown(t)
				if row := fl.row(t); row.State != Open {
					t.Errorf("row %+v, want State %v", row, Open)
				}
				writes := fl.store.count(write)
				fl.refresh()
				if n := fl.store.count(write); n != writes {
					t.Errorf("%d more writes", n-writes)
				}
			})
		})
	}
}

func TestRemovedRowClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.instances[0].breakDown(t)
		f.refresh()
		key := store.Key{Partition: Partition, Row: id}
		row, err := f.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.store.Delete(t.Context(), key, row.ETag); err != nil {
			t.Fatal(err)
		}
		f.refresh()
		for _, i := range f.instances {
			i.is(t, Closed)
		}
	})
}

func TestHostileRowBlocksNoLongerThanOurOwnSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		_, err := f.store.Insert(t.Context(), store.Key{Partition: Partition, Row: id}, store.Columns{
			"Format": int64(1), "Trial": int64(0), "Owner": "", "Nonce": "",
			"State": "open", "Until": far, "ThrottledUntil": far, "Opens": int64(1 << 40), "Extra": true,
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for {
			f.refresh()
			a := f.instances[0]
			if a.d.View().Usable(time.Now()) {
				a.trial(t).Success()
				break
			}
			if time.Since(start) > 10*time.Minute {
				t.Fatalf("still out: %+v", a.d.View())
			}
		}
		if open := time.Since(start); open < 290*time.Second || open > 310*time.Second {
			t.Errorf("out for %v, want the longest open time", open)
		}
		f.refresh()
		f.instances[1].is(t, Closed)
		if row := f.row(t); row.State != Closed || row.Throttle.End().After(time.Now()) {
			t.Errorf("the row was not mended: %+v", row)
		}
	})
}

func TestRowsOfOthersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		for _, row := range []string{"", "ptu/gpt-4", "ptu/gpt-4o-mini", "other"} {
			key := store.Key{Partition: Partition, Row: row}
			if _, err := f.store.Insert(t.Context(), key, store.Columns{"State": "open"}); err != nil {
				t.Fatal(err)
			}
		}
		f.refresh()
		f.instances[0].is(t, Closed)
	})
}

// A second failing while the first is being published must not be forgotten.
func TestWhatHappensDuringAPublicationIsPublishedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		f.store.before.Store(delays(write, 100*time.Millisecond))
		late := a.admit(t)
		for range testTolerance.failures {
			a.admit(t).Failure(500)
		}
		<-time.After(50 * time.Millisecond)
		late.Throttled(time.Now().Add(time.Minute), 429)
		elapse(time.Second)
		if row := f.row(t); row.State != Open || !row.Throttle.End().After(time.Now().Add(50*time.Second)) {
			t.Errorf("row %+v, want it open and throttled", row)
		}
	})
}

// The breaker closes, and opens again while the closing is being published.
func TestOpeningDuringAPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		pass := a.trial(t)
		f.store.before.Store(delays(write, 100*time.Millisecond))
		pass.Success()
		<-time.After(50 * time.Millisecond)
		for range testTolerance.failures {
			a.admit(t).Failure(500)
		}
		elapse(time.Second)
		if row := f.row(t); row.State != Open {
			t.Errorf("row %+v, want the second opening", row)
		}
	})
}

// A run publishes one deployment after another: what happens to one that it has
// passed needs another round.
func TestOpeningDuringThePublicationOfAnotherDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		first := a.Deployment("a/first")
		f.store.before.Store(delays(write, 100*time.Millisecond))
		for range testTolerance.failures {
			a.admit(t).Failure(500)
		}
		<-time.After(50 * time.Millisecond)
		for range testTolerance.failures {
			pass, _ := first.Admit(t.Context())
			pass.Failure(500)
		}
		elapse(time.Second)
		if _, err := f.store.Get(t.Context(), first.key()); err != nil {
			t.Errorf("the second opening is not published: %v", err)
		}
	})
}
