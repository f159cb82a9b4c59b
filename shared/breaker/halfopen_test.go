package breaker

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTrialOutcomes(t *testing.T) {
	for _, test := range []struct {
		name      string
		outcome   func(Pass)
		state     State
		opens     int
		openFor   time.Duration
		throttled time.Duration
		event     EventKind
		why       Reason
	}{
		{"success", Pass.Success, Closed, 0, 0, 0, EventClosed, ReasonTrialSucceeded},
		{"failure", func(p Pass) { p.Failure(503) }, Open, 2, 20 * time.Second, 0, EventOpened, ReasonTrialFailed},
		{
			"throttled", func(p Pass) { p.Throttled(time.Now().Add(7*time.Second), 429) },
			Closed, 0, 0, 7 * time.Second, EventClosed, ReasonTrialThrottled,
		},
		{"abandoned", Pass.Abandon, Open, 1, 0, 0, EventOpened, ReasonTrialAbandoned},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2)
				a, b := f.instances[0], f.instances[1]
				a.breakDown(t)
				elapse(10 * time.Second)
				pass := a.trial(t)
				if want := time.Now().Add(28 * time.Second); !pass.Deadline().Equal(want) {
					t.Errorf("deadline %v, want %v", pass.Deadline(), want)
				}
				test.outcome(pass)
				synctest.Wait()
				b.refresh()
				for _, i := range f.instances {
					i.is(t, test.state)
					v := i.d.View()
					if v.Opens != test.opens {
						t.Errorf("%s: %d openings, want %d", i.instance, v.Opens, test.opens)
					}
					if want := time.Now().Add(test.openFor); test.state == Open && !v.OpenUntil.Equal(want) {
						t.Errorf("%s: open until %v, want %v", i.instance, v.OpenUntil, want)
					}
					if want := time.Now().Add(test.throttled); test.throttled > 0 && !v.ThrottledUntil.Equal(want) {
						t.Errorf("%s: throttled until %v, want %v", i.instance, v.ThrottledUntil, want)
					}
				}
				if a.count(test.event, test.why) != 1 {
					t.Errorf("events of the owner: %+v", a.happened())
				}
				if test.state == Closed && b.count(EventClosed, "") > 1 {
					t.Errorf("events of the other: %+v", b.happened())
				}
				// The outcome counts once.
				before := a.d.View()
				pass.Success()
				pass.Failure(500)
				pass.Abandon()
				if got := a.d.View(); got != before {
					t.Errorf("a second outcome made it %+v, was %+v", got, before)
				}
			})
		})
	}
}

func TestOpenTimeGrowsUntilASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1).instances[0]
		a.breakDown(t)
		for opens := 1; opens <= 40; opens++ {
			v := a.d.View()
			want := min(time.Duration(opens)*10*time.Second, 300*time.Second)
			if got := time.Until(v.OpenUntil); v.Opens != opens || got != want {
				t.Fatalf("opening %d: open for %v, want %v (%+v)", opens, got, want, v)
			}
			elapse(want)
			a.trial(t).Failure(500)
		}
		elapse(300 * time.Second)
		a.trial(t).Success()
		a.breakDown(t)
		if got := time.Until(a.d.View().OpenUntil); got != 10*time.Second {
			t.Errorf("open for %v after a success, want 10s", got)
		}
	})
}

func TestLateResultIsDropped(t *testing.T) {
	for name, outcome := range map[string]func(Pass){
		"success": Pass.Success,
		"failure": func(p Pass) { p.Failure(500) },
		"abandon": Pass.Abandon,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newFleet(t, 1).instances[0]
				a.breakDown(t)
				elapse(10 * time.Second)
				pass := a.trial(t)
				elapse(30 * time.Second)
				before := a.d.View()
				outcome(pass)
				synctest.Wait()
				if got := a.d.View(); got != before {
					t.Errorf("became %+v, was %+v", got, before)
				}
				a.trial(t)
			})
		})
	}
}
