package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store/memory"
)

// A limit that was forgotten is dropped as soon as it holds nothing; one that is asked
// for again before that stays, and so do all others.
func TestForget(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, e *Engine, l *Limit)
		kept bool
	}{
		{"never used", func(*testing.T, *Engine, *Limit) {}, false},
		{"with nothing held", func(t *testing.T, e *Engine, l *Limit) {
			use(t, l, 10, 10)
		}, false},
		{"with units held", func(t *testing.T, e *Engine, l *Limit) {
			use(t, l, 10, 4)
		}, true},
		{"with units owed", func(t *testing.T, e *Engine, l *Limit) {
			use(t, l, 10, 40)
		}, true},
		{"with units of a window that is over", func(t *testing.T, e *Engine, l *Limit) {
			use(t, l, 10, 4)
			<-time.After(time.Minute)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := New(Options{Store: memory.New(), Instance: "a", OnUnavailable: Deny})
				if err != nil {
					t.Fatal(err)
				}
				l, other := e.Limit("gone", 100, quota.Minute), e.Limit("stays", 100, quota.Minute)
				test.do(t, e, l)
				synctest.Wait()
				e.Forget(l)
				if got := e.has(l); got != test.kept {
					t.Errorf("the engine has the limit: %t, want %t", got, test.kept)
				}
				if !e.has(other) {
					t.Error("the engine has dropped another limit")
				}
				e.GiveBackIdle(t.Context(), time.Hour)
				if e.has(l) {
					t.Error("the limit is still there after a give-back")
				}
				if again := e.Limit("gone", 100, quota.Minute); again == l {
					t.Error("the dropped limit came back")
				}
			})
		})
	}
}

// A limit that is asked for again was forgotten too early, and is the same as before.
func TestForgottenAndAskedForAgain(t *testing.T) {
	e, err := New(Options{Store: memory.New(), Instance: "a", OnUnavailable: Deny})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Limit("k", 100, quota.Month)
	use(t, l, 10, 4)
	e.Forget(l)
	if e.Limit("k", 100, quota.Month) != l {
		t.Error("another limit, although the first still holds units")
	}
	e.GiveBack(t.Context())
	if !e.has(l) {
		t.Error("the limit was dropped although somebody asked for it")
	}
}

// What a forgotten limit holds goes back, however little it is and however short it was idle.
func TestForgottenLimitsGiveBack(t *testing.T) {
	s := memory.New()
	e, err := New(Options{Store: s, Instance: "a", OnUnavailable: Deny})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Limit("k", 100, quota.Month)
	use(t, l, 10, 9)
	e.GiveBackIdle(t.Context(), time.Hour)
	if got := l.remaining; got != 1 {
		t.Fatalf("%d units held, want 1", got)
	}
	e.Forget(l)
	e.GiveBackIdle(t.Context(), time.Hour)
	other, err := New(Options{Store: s, Instance: "b", OnUnavailable: Deny})
	if err != nil {
		t.Fatal(err)
	}
	use(t, other.Limit("k", 100, quota.Month), 91, 91)
}

func (e *Engine) has(l *Limit) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.limits.get(l.id()) == l
}

// use reserves units and settles for others.
func use(t *testing.T, l *Limit, reserved, actual int64) {
	t.Helper()
	r, v := l.Reserve(t.Context(), reserved)
	if !v.OK() {
		t.Fatalf("Reserve(%d) is %v", reserved, v.Outcome)
	}
	r.Settle(actual)
}
