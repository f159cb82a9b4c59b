package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

// instant is a moment so many seconds after a fixed one, on both clocks.
func instant(seconds float64) clock.Instant {
	after := int64(seconds * float64(time.Second))
	return clock.Instant{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() + after, Monotonic: after}
}

// at returns the deadline so many seconds after the fixed moment.
func at(seconds float64) clock.Deadline {
	return instant(0).Until(instant(seconds).Time())
}

func TestGateShuts(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads []health
		write []health
		shut  bool
	}{
		{"all is well", []health{healthy, healthy}, []health{healthy}, false},
		{"two failures", []health{failed, failed}, nil, false},
		{"three in a row", []health{failed, failed, failed}, nil, true},
		{"three, not in a row", []health{failed, failed, healthy, failed}, nil, false},
		{"two reads and two writes", []health{failed, failed}, []health{failed, failed}, false},
		{"one slow call", nil, []health{slow}, true},
		{"calls that say nothing", []health{unknown, unknown, unknown, unknown}, nil, false},
		{"unknown between failures", []health{failed, unknown, failed, unknown, failed}, nil, true},
	} {
		var g gate
		for kind, verdicts := range [][]health{c.reads, c.write} {
			for _, v := range verdicts {
				g.leave(access(kind), false, v, at(2))
			}
		}
		want := open
		if c.shut {
			want = closedTo
		}
		if got := g.readiness(instant(1)); got != want {
			t.Errorf("%s: readiness %d, want %d", c.name, got, want)
		}
	}
}

// TestGateTrial: while shut nobody calls; once due exactly one does, and its result
// decides, not that of calls from before.
func TestGateTrial(t *testing.T) {
	var g gate
	if changed, shut := g.leave(writing, false, slow, at(2)); !changed || !shut {
		t.Fatal("a slow call does not shut the gate")
	}
	if _, ok := g.enter(instant(1.9)); ok {
		t.Fatal("a call while the gate is shut")
	}
	if got := g.retryAt(instant(1)); !got.Equal(instant(2).Time()) {
		t.Errorf("retry at %v, want %v", got, instant(2).Time())
	}
	trial, ok := g.enter(instant(2))
	if !trial || !ok {
		t.Fatal("no trial although it is due")
	}
	if _, ok := g.enter(instant(2)); ok || g.readiness(instant(2)) != closedTo {
		t.Fatal("two trials at once")
	}
	if changed, shut := g.leave(writing, false, healthy, at(4)); changed || !shut {
		t.Fatal("a call from before the gate was shut opened it")
	}
	if _, ok := g.enter(instant(3)); ok {
		t.Fatal("a call from before the gate was shut ended the trial")
	}
	if changed, shut := g.leave(reading, true, failed, at(5)); changed || !shut {
		t.Fatal("a failed trial changed the gate")
	}
	if got := g.readiness(instant(4.9)); got != closedTo {
		t.Errorf("readiness %d after a failed trial", got)
	}
	if trial, ok = g.enter(instant(5)); !trial || !ok {
		t.Fatal("no second trial")
	}
	if _, shut := g.leave(reading, true, unknown, at(9)); !shut || g.readiness(instant(5)) != due {
		t.Fatal("a trial that says nothing does not free the next one")
	}
	g.enter(instant(5))
	if changed, shut := g.leave(reading, true, healthy, at(9)); !changed || shut {
		t.Fatal("a good trial does not open the gate")
	}
	// It was shut because of writes, and only a read has worked yet.
	if _, shut := g.leave(writing, false, failed, at(9)); !shut {
		t.Error("the first failed write after the trial does not shut the gate again")
	}
}

func TestJudge(t *testing.T) {
	began := instant(0)
	late := instant(0.2)
	frozenFor := clock.Instant{Wall: instant(70).Wall, Monotonic: late.Monotonic}
	for _, c := range []struct {
		name  string
		ended clock.Instant
		err   error
		want  health
	}{
		{"quick", instant(0.01), nil, healthy},
		{"no such row", instant(0.01), store.ErrNotFound, healthy},
		{"conflict", instant(0.01), store.ErrConflict, healthy},
		{"our own mistake", instant(0.01), store.ErrInvalid, healthy},
		{"unavailable", instant(0.01), store.ErrUnavailable, failed},
		{"ambiguous", instant(0.01), store.ErrAmbiguous, failed},
		{"anything else", instant(0.01), errors.ErrUnsupported, failed},
		{"slow", late, nil, slow},
		{"slow and failed", late, context.DeadlineExceeded, slow},
		{"frozen meanwhile", frozenFor, context.DeadlineExceeded, unknown},
	} {
		if got := judge(began, c.ended, c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
