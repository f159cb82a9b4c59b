package e2e_test

import (
	"syscall"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// pause stops a process as a host does that freezes it. It goes on at the end
// of the test at the latest.
func pause(t *testing.T, p *process) {
	t.Helper()
	p.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { p.Signal(syscall.SIGCONT) })
}

// An instance that was stopped for longer than a window, while it held units of
// limits that the others have used up since, spends nothing of what it held: its
// leases have died with their windows. A stream that was open through it all
// comes to its end.
func TestStoppedInstance(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{})
	f.backends["frail"].Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 5})
	frozen, others := f.instances[0], f.instances[1:]
	awake := f.only(others...)
	l := f.load(t, false, "metered", "paced")
	open := make(chan sent, 1)
	go func() { open <- f.ask(t.Context(), frozen, "frail", true) }()

	// At the start of a slice it takes more than it spends.
	first := time.Now().Truncate(slice).Add(slice)
	await.Until(t, first.Add(-time.Second))
	l.aim(others...)
	await.Until(t, first.Add(usualEdge))
	for range 2 {
		for _, model := range []string{"metered", "paced"} {
			if s := f.ask(t.Context(), frozen, model, false); !s.good() {
				t.Errorf("before the stop: %v", s)
			}
		}
	}
	pause(t, frozen)

	// Long enough that a slice has passed and another is used up; and a minute, if
	// one ends soon.
	on, minute := first.Add(12*time.Second), first.Truncate(time.Minute).Add(time.Minute)
	ends := time.Until(minute) < 30*time.Second
	if ends && minute.After(on) {
		on = minute
	}
	await.Until(t, on)
	if ends {
		awake.awaitUsed(t, metered, on)
	}
	full := awake.awaitFull(t, time.Now())
	frozen.Signal(syscall.SIGCONT)
	f.backends["frail"].Clear()
	var burst []sent
	for range 10 {
		for _, model := range []string{"metered", "paced"} {
			burst = append(burst, f.ask(t.Context(), frozen, model, false))
		}
	}
	t.Logf("stopped for %s; %d of %d requests of the slice in which it went on are used", time.Since(first.Add(usualEdge)).Round(time.Second), f.used(paced, full), sliceRequests)
	allGood(t, burst)
	if s := <-open; !s.good() {
		t.Errorf("the stream that was open: %v", s)
	}
	awake.awaitExact(t, 1, full)
	all := l.stop()
	allGood(t, all)
	recorded(t, append(all, burst...))
	f.exact(t, always)
}

// An instance that is stopped while it runs the trial of an open breaker comes
// too late with its result: another has run the next trial since, and what that
// one has found out stands.
func TestStoppedOwnerOfATrial(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{})
	frail := f.backends["frail"]
	sick := frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	t.Cleanup(func() { showRequests(t, frail) })
	l := f.load(t, false, "frail")
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has opened", func(e event) bool { return e.Event == "breaker_opened" })
	}

	// The next trial hangs, and would end well; those after it fail.
	hang := frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders, Times: 1})
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	frail.Remove(sick)
	await.That(t, "a trial hangs", func() bool { return frail.Stats()["frail"].InFlight > 0 })
	var owner *process
	var others []*process
	await.That(t, "its owner says so", func() bool { // the backend may know of it sooner
		owner, others = nil, nil
		for _, p := range f.instances {
			if p.inTrial() {
				owner = p
			} else {
				others = append(others, p)
			}
		}
		return owner != nil
	})
	if len(others) != len(f.instances)-1 {
		if f.alone() {
			t.Skip("the table is too slow on this machine: instances run trials of their own")
		}
		t.Fatalf("%d instances run a trial", len(f.instances)-len(others))
	}
	pause(t, owner)
	l.aim(others...)
	await.Until(t, time.Now().Add(31*time.Second)) // a trial has 30 s for its result
	await.That(t, "another instance has run the next trial", func() bool {
		for _, p := range others {
			for _, e := range p.events("breaker_opened") {
				if e.Reason == "trial_failed" && e.Opens > 1 {
					return true
				}
			}
		}
		return false
	})
	frail.Remove(hang)
	owner.Signal(syscall.SIGCONT)
	l.aim(f.instances...)
	for _, p := range f.instances {
		if late := f.ask(t.Context(), p, "frail", false); !late.good() || late.header.Get("X-Spillway-Backend") != "payg" {
			t.Errorf("after the owner went on, the sick backend still being so: %v, from %q", late, late.header.Get("X-Spillway-Backend"))
		}
	}
	for _, p := range f.instances {
		if closed := p.events("breaker_closed"); len(closed) > 0 {
			t.Errorf("the late result has closed the breaker: %+v", closed)
		}
	}

	frail.Clear()
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has closed", func(e event) bool { return e.Event == "breaker_closed" })
	}
	allGood(t, l.stop())
}

// showRequests tells what a backend was sent last, if the test has failed.
func showRequests(t *testing.T, b *backend) {
	if !t.Failed() {
		return
	}
	all := b.Requests()
	for _, r := range all[max(0, len(all)-30):] {
		t.Logf("%s, request %d at %s: status %d: %.200s", b.Name(), r.Number, r.Time.UTC().Format("15:04:05.000"), r.Status, r.Body)
	}
}

// inTrial tells whether the last that the process has told of a breaker is that
// it runs the trial.
func (p *process) inTrial() bool {
	var last event
	for _, line := range p.output.Lines() {
		if e := eventOf(line); e.Deployment != "" {
			last = e
		}
	}
	return last.Event == "breaker_half_open" && last.Reason == "trial_claimed"
}
