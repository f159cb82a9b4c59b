package e2e_test

import (
	"slices"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// windows sums up what a backend was sent, by windows of its limiter. Of the
// requests that came in a window, those that were sent in it were surely
// reserved in it; the others may have been reserved before its start.
func (f *fleet) windows(l limiter) []window {
	b := f.backends[l.name]
	sentTimes := make(map[int64]time.Time)
	for _, r := range b.Requests() {
		sentTimes[r.Number] = sentAt(r)
	}
	var all []window
	for _, e := range b.Events() {
		limited := e.Kind == azureopenai.EventRejected && e.Status == 429 && e.Fault == ""
		if e.Deployment != l.name || e.Kind != azureopenai.EventAccepted && !limited {
			continue
		}
		start := e.Time.Truncate(l.length)
		i, found := slices.BinarySearchFunc(all, start, func(w window, at time.Time) int { return w.start.Compare(at) })
		if !found {
			all = slices.Insert(all, i, window{start: start})
		}
		w := &all[i]
		w.all += l.unit(e.Charge)
		if sent := sentTimes[e.Request]; !sent.Before(start.Add(f.edge)) {
			w.surely += l.unit(e.Charge)
		}
		if limited {
			w.refused++
		}
	}
	return all
}

// history is what is known of a limit by now.
func (f *fleet) history(l limiter) history {
	h := history{limiter: l, windows: f.windows(l), edge: f.edge}
	for _, p := range f.instances {
		h.troubles = append(h.troubles, p.troubles()...)
		for _, e := range p.events("units_unmetered") {
			if e.Limit == l.key {
				h.unmetered = append(h.unmetered, told{at: e.Time, units: e.Units})
			}
		}
	}
	slices.SortFunc(h.unmetered, func(a, b told) int { return a.at.Compare(b.at) })
	if f.witness != nil {
		h.rows, h.rowsAhead = f.witness.of(l), f.witness.ahead
	}
	return h
}

// troubles are the times in which the table failed an instance, by its log: it did not
// answer in time, what it answered was no use, or units were lost or granted without it.
// A log tells whole seconds.
func (p *process) troubles() []span {
	var all []span
	var since time.Time // the table has been out of use, if not zero
	for _, line := range p.output.Lines() {
		switch e := eventOf(line); e.Event {
		case "store_degraded":
			since = e.Time
		case "store_recovered":
			all = append(all, span{since, e.Time.Add(time.Second)})
			since = time.Time{}
		case "units_stranded", "units_unmetered", "row_unusable", "state_lost":
			all = append(all, span{e.Time, e.Time.Add(time.Second)})
		}
	}
	if !since.IsZero() {
		all = append(all, span{since, time.Now()})
	}
	return all
}

// exact asserts that in no window, of those that judged is true of, more was sent to the
// backends with limits than these take, whoever sent it, but for what instances have told
// that they granted without the table. Under deny they may not.
func (f *fleet) exact(t *testing.T, judged func(start, end time.Time) bool) {
	t.Helper()
	for _, l := range []limiter{metered, paced} {
		h := f.history(l)
		for _, complaint := range h.complaints(judged) {
			t.Error(complaint)
		}
		for _, v := range h.verdicts() {
			if v.excess > 0 && v.explained() {
				t.Logf("%s: of %d %s was sent %s", f.env["POLICY"], h.most, h.name, v)
			}
		}
		if f.env["POLICY"] == "deny" && len(h.unmetered) > 0 {
			t.Errorf("under deny %d times units of %s were granted that no row had granted", len(h.unmetered), l.name)
		}
	}
}

// only is the fleet without the instances that are not named: what these tell of the
// table is not asked.
func (f *fleet) only(instances ...*process) *fleet {
	part := *f
	part.instances = instances
	return &part
}

// always judges every window.
func always(time.Time, time.Time) bool { return true }

// used is what the limiter of a backend has accepted in the window at a time.
func (f *fleet) used(l limiter, at time.Time) int64 {
	var n int64
	for _, e := range f.backends[l.name].Events() {
		if e.Deployment == l.name && e.Kind == azureopenai.EventAccepted && e.Time.Truncate(l.length).Equal(at.Truncate(l.length)) {
			n += l.unit(e.Charge)
		}
	}
	return n
}

// awaitUsed asserts that a window is used up before it ends, unless something disturbed
// it. It tells whether it was.
func (f *fleet) awaitUsed(t *testing.T, l limiter, at time.Time) bool {
	t.Helper()
	start := at.Truncate(l.length)
	end := start.Add(l.length)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for f.used(l, start) < l.most && time.Now().Before(end) {
		<-poll.C
	}
	used, h := f.used(l, start), f.history(l)
	disturbed := h.disturbed(start, time.Now())
	tell := t.Logf
	if !h.full(used) && !disturbed {
		tell = t.Errorf
	}
	if used < l.most {
		tell("only %d of %d were used of %s in the window that began at %s (disturbed: %v)",
			used, l.most, l.name, start.UTC().Format("15:04:05"), disturbed)
	}
	return h.full(used)
}

// enough is how long tests go on until a window is as they need it. On a machine that is
// busy with other things the table may fail an instance every few seconds.
const enough = 3 * time.Minute

// awaitFull waits until a window of paced is used up, the one at a time or a later one.
func (f *fleet) awaitFull(t *testing.T, at time.Time) (start time.Time) {
	t.Helper()
	for start = at.Truncate(slice); !f.awaitUsed(t, paced, start) && !t.Failed(); start = start.Add(slice) {
		if start.Sub(at) > enough {
			t.Fatalf("void: within %s no window of paced was used up", enough)
		}
	}
	return start
}

// awaitExact waits until so many windows of paced are over, from the one at a time on,
// that were used up and in which nothing would explain an excess, so that exact judges
// them without any allowance.
func (f *fleet) awaitExact(t *testing.T, windows int, from time.Time) {
	t.Helper()
	judged := func(start, _ time.Time) bool { return !start.Before(from.Truncate(slice)) }
	for start := f.awaitFull(t, from); ; start = f.awaitFull(t, start.Add(slice)) {
		await.Until(t, start.Add(slice)) // what is asked for beyond the limit is judged, too
		n := f.history(paced).tests(judged)
		if n >= windows || t.Failed() {
			return
		}
		if start.Sub(from) > enough {
			t.Fatalf("void: within %s %d windows of paced were used up without an excuse for more, want %d", enough, n, windows)
		}
	}
}
