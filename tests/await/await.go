// Package await waits for what real processes do, of which nobody tells a test and for
// which no virtual time passes.
package await

import (
	"testing"
	"time"
)

// patience only turns a hang into a failure: several processes do together what is
// awaited, on a machine that does other things besides.
const patience = time.Minute

// longestPause is between two looks at what does not come at once: short against what
// processes take, and long against what a look costs.
const longestPause = 20 * time.Millisecond

// That asks until something is so; what says what that is, as a clause. If it is not so
// within a minute, the test ends.
func That(t testing.TB, what string, so func() bool) {
	t.Helper()
	pause := 100 * time.Microsecond
	for deadline := time.Now().Add(patience); !so(); pause = min(2*pause, longestPause) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s it is still not so that %s", patience, what)
		}
		<-time.After(pause)
	}
}

// Until waits for a moment, or for the test's end.
func Until(t testing.TB, moment time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
