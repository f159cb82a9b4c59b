package e2e_test

import (
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// usualEdge is how long after the start of a window a request may still have been
// reserved in the window before, though it was sent in this one: gateways learn
// the time from an emulator whose Date header may lag.
const usualEdge = 250 * time.Millisecond

// window is what a backend was sent in one window of its limiter.
type window struct {
	start            time.Time
	requests, tokens int64 // all of them
	surely           struct{ requests, tokens int64 }
	refused          int64 // for its limit; they are counted too
}

// windows sums up what a deployment was sent, by windows of a length. Of the
// requests that came in a window, those that were sent in it were surely
// reserved in it; the others may have been reserved before its start.
func (f *fleet) windows(deployment string, length time.Duration) map[time.Time]*window {
	b := f.backends[deployment]
	sentTimes := make(map[int64]time.Time)
	for _, r := range b.Requests() {
		sentTimes[r.Number] = sentAt(r)
	}
	all := make(map[time.Time]*window)
	for _, e := range b.Events() {
		limited := e.Kind == azureopenai.EventRejected && e.Status == 429 && e.Fault == ""
		if e.Deployment != deployment || e.Kind != azureopenai.EventAccepted && !limited {
			continue
		}
		start := e.Time.Truncate(length)
		w := all[start]
		if w == nil {
			w = &window{start: start}
			all[start] = w
		}
		w.requests++
		w.tokens += e.Charge
		if sent := sentTimes[e.Request]; !sent.Before(start.Add(f.edge)) {
			w.surely.requests++
			w.surely.tokens += e.Charge
		}
		if limited {
			w.refused++
		}
	}
	return all
}

// exact asserts that in no window, of those that judged is true of, more was
// sent to the backends with limits than these take, whoever sent it.
func (f *fleet) exact(t *testing.T, judged func(start, end time.Time) bool) {
	t.Helper()
	for _, limit := range []struct {
		name   string
		length time.Duration
		most   int64
		of     func(*window) (all, surely int64)
	}{
		{"metered", time.Minute, minuteTokens, func(w *window) (int64, int64) { return w.tokens, w.surely.tokens }},
		{"paced", slice, sliceRequests, func(w *window) (int64, int64) { return w.requests, w.surely.requests }},
	} {
		for start, w := range f.windows(limit.name, limit.length) {
			if !judged(start, start.Add(limit.length)) {
				continue
			}
			all, surely := limit.of(w)
			if surely > limit.most || w.refused > 0 && all == surely {
				t.Errorf("%s was sent %d of %d in the window at %s, and %d more that may belong to the one before; it refused %d requests",
					limit.name, surely, limit.most, start.UTC().Format("15:04:05"), all-surely, w.refused)
			}
		}
	}
}

// always judges every window.
func always(time.Time, time.Time) bool { return true }

// used is what the limiter of metered has accepted of tokens, or that of paced of
// requests, in the window at a time.
func (f *fleet) used(name string, at time.Time) int64 {
	if name == "metered" {
		return f.backends[name].Stats()[name].TokensCharged[at.Truncate(time.Minute).Unix()]
	}
	var n int64
	for _, e := range f.backends[name].Events() {
		if e.Kind == azureopenai.EventAccepted && e.Time.Truncate(slice).Equal(at.Truncate(slice)) {
			n++
		}
	}
	return n
}

// slow tells whether the table, on a machine that is busy with other things, was
// too slow for an instance since some time. That costs capacity, and nothing else.
func (f *fleet) slow(since time.Time) bool {
	for _, p := range f.instances {
		for _, name := range []string{"store_degraded", "store_recovered", "units_stranded"} {
			for _, e := range p.events(name) {
				if e.Time.After(since) {
					return true
				}
			}
		}
	}
	return false
}

// awaitFull asserts that a window of metered or of paced is used up before it
// ends, unless the table was too slow for that. A twentieth may be left: an instance
// whose row had no room for a request asks it no more in that window, and so does not
// see what another, that fell idle, has given back since.
func (f *fleet) awaitFull(t *testing.T, name string, at time.Time) {
	t.Helper()
	length, most := time.Minute, int64(minuteTokens)
	if name == "paced" {
		length, most = slice, sliceRequests
	}
	const enough = 25 * time.Second // by then what is still missing was lost
	end := at.Truncate(length).Add(length)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for f.used(name, at) < most {
		now := <-poll.C
		slow := f.slow(at.Add(-time.Second))
		if now.Before(end) && !(slow && now.Sub(at) > enough) {
			continue
		}
		tell := t.Errorf
		if slow || f.used(name, at)*20 >= most*19 {
			tell = t.Logf
		}
		tell("only %d of %d were used of %s in the window that began at %s (the table was too slow: %v)",
			f.used(name, at), most, name, at.Truncate(length).UTC().Format("15:04:05"), slow)
		return
	}
}
