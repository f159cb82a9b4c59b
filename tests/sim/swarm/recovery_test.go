package swarm

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
)

// What a process says without the store once the store works again, and whether it may.
// The times are those since the faults stopped.
func TestWhoMayAnswerWithoutTheStore(t *testing.T) {
	const shut = longestCall + longestShut
	for _, test := range []struct {
		name  string
		asked time.Duration   // When the store has answered it; 0: it has not.
		alone []time.Duration // When it answered without.
		found int
	}{
		{"it may still leave the store alone", 0, []time.Duration{time.Second, 3 * time.Second, shut - 1}, 0},
		{"the first request that needs the store comes late", 0, []time.Duration{2 * time.Minute}, 0},
		{"others come before the answer", 0, []time.Duration{time.Minute, time.Minute + longestCall}, 0},
		{"others come after the answer must have been there", 0, []time.Duration{time.Minute, time.Minute + longestCall + 1}, 1},
		{"it never asks", 0, []time.Duration{shut, 10 * time.Second, 20 * time.Second}, 2},
		{"the answer comes at the same moment", time.Minute, []time.Duration{time.Minute}, 0},
		{"the store has answered", time.Minute, []time.Duration{time.Minute + 1}, 1},
		{"the store has answered, and it leaves it alone", time.Second, []time.Duration{3 * time.Second}, 1},
		{"it was asked when calls might yet fail", longestCall, []time.Duration{3 * time.Second}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{config: Config{Faults: true, Limits: []Limit{{Key: "key"}}}, start: time.Now(), quiet: time.Now(), broken: map[string]int{}}
				n := &incarnation{name: "one"}
				began := w.quiet.Add(test.asked)
				if test.asked > 0 {
					wait(test.asked)
					w.answered(n, "quota!key", began)
				}
				for _, at := range test.alone {
					wait(time.Until(w.quiet.Add(at)))
					w.judgeAlone(n, &request{}, lease.Unmetered, time.Now())
				}
				if got := w.broken[RuleAlone]; got != test.found {
					t.Errorf("found %d breaches, want %d: %v", got, test.found, w.found)
				}
			})
		})
	}
}

// Only an answer about a limit says that the lease has asked.
func TestOnlyTheLimitsRowsCount(t *testing.T) {
	w, n := &world{}, &incarnation{}
	w.answered(n, "breaker!all", time.Now())
	if !n.asked.IsZero() {
		t.Error("an answer about a breaker counts")
	}
	w.answered(n, "quota!key!minute!0", time.Now())
	if n.asked.IsZero() {
		t.Error("an answer about a limit does not count")
	}
}
