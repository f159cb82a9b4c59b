package breaker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/shared/breaker/rule"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// TestAtMostOneTrial lets instances with skewed clocks share a store that goes
// wrong, crash, and answer late, and asserts after each step that at most one
// trial runs; those of instances that were cut off from the store are at most
// one each. It asserts too that no lift takes away a 429 that is newer than the
// probe that was good for it. When the faults stop, all come to agree and
// recover.
//
// Search for longer with -rapid.checks and -rapid.steps.
func TestAtMostOneTrial(t *testing.T) {
	var trials, alone, faults, lifts int64
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			m := newMachine(t)
			t.Repeat(map[string]func(*rapid.T){
				"":        m.judge,
				"request": m.request,
				"storm":   m.storm,
				"quota":   m.quota,
				"probe":   m.probe,
				"lift":    m.probeAndSucceed,
				"answer":  m.answer,
				"elapse":  m.elapse,
				"crash":   m.crash,
				"fault":   m.fault,
				"outage":  m.outage,
			})
			m.recover(t)
			trials += m.trials
			alone += m.alone
			lifts += m.lifts
			for _, fault := range faultstore.All() {
				faults += m.store.Count(fault)
			}
		})
	})
	if together := trials - alone; !t.Failed() && !testing.Short() && (together < 15 || alone < 5 || faults < 50 || lifts < 1) {
		t.Errorf("void: %d trials, and %d without the store; %d faults; %d lifts", together, alone, faults, lifts)
	}
}

// machine is the state of the search.
type machine struct {
	t         *rapid.T
	store     *faultstore.Store
	instances []*instance
	skews     []time.Duration
	held      []held
	names     int
	asked     []asked

	trials, alone, lifts int64
}

// asked is a 429 that no probe contradicts.
type asked struct {
	owner *instance
	at    time.Time // By the true clock.
	until time.Time // By the clock of the owner.
}

// held is an admitted request that has not been answered.
type held struct {
	pass  Pass
	owner *instance
	alone bool // Admitted by an instance that was cut off from the store.
}

func newMachine(t *rapid.T) *machine {
	inner, err := faultstore.New(memory.New(), faultstore.Options{
		Seed:  rapid.Uint64().Draw(t, "seed"),
		Delay: [2]time.Duration{time.Millisecond, 300 * time.Millisecond},
		Late:  [2]time.Duration{time.Millisecond, 40 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, store: inner}
	for range 3 {
		// Within the margin that a trial keeps: two clocks differ by at most 2 s.
		m.skews = append(m.skews, time.Duration(rapid.IntRange(-1000, 1000).Draw(t, "skew"))*time.Millisecond)
		m.instances = append(m.instances, nil)
	}
	for k := range m.instances {
		m.start(k)
	}
	// Begin where it matters: open, known to all, and due.
	m.storm(t)
	elapse(10 * time.Second)
	for _, i := range m.instances {
		i.refresh()
	}
	return m
}

func (m *machine) start(k int) {
	m.names++
	m.instances[k] = newInstance(m.t, string(rune('a'+m.names%26)), m.store, skewed(m.skews[k]))
}

func (m *machine) pick(t *rapid.T) *instance {
	return m.instances[rapid.IntRange(0, len(m.instances)-1).Draw(t, "instance")]
}

func (m *machine) hold(i *instance, pass Pass, ok bool) {
	if !ok {
		return
	}
	h := held{pass, i, i.Degraded()}
	m.held = append(m.held, h)
	if pass.Trial() {
		m.trials++
		if h.alone {
			m.alone++
		}
	}
}

func (m *machine) request(t *rapid.T) {
	i := m.pick(t)
	i.refresh()
	door := i.d.Admit
	if rapid.Bool().Draw(t, "last") {
		door = i.d.AdmitLast
	}
	pass, ok := door(context.Background())
	m.hold(i, pass, ok)
	synctest.Wait()
}

// storm is a failing backend as one instance sees it: its breaker opens.
func (m *machine) storm(t *rapid.T) {
	i := m.pick(t)
	for range testTolerance.failures {
		pass, ok := i.d.Admit(context.Background())
		if ok && pass.Trial() {
			m.hold(i, pass, ok)
			break
		}
		pass.Failure(503)
	}
	synctest.Wait()
}

func (m *machine) probe(t *rapid.T) {
	i := m.pick(t)
	pass, ok := i.d.Probe(context.Background())
	m.hold(i, pass, ok)
	synctest.Wait()
}

// answer gives any outcome to any request, however late it is.
func (m *machine) answer(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("no request")
	}
	k := rapid.IntRange(0, len(m.held)-1).Draw(t, "request")
	pass, owner := m.held[k].pass, m.held[k].owner
	m.held = append(m.held[:k], m.held[k+1:]...)
	switch rapid.IntRange(0, 3).Draw(t, "outcome") {
	case 0:
		m.succeed(owner, pass)
	case 1:
		pass.Failure(500)
	case 2:
		m.throttle(owner, pass, rapid.IntRange(0, 100).Draw(t, "throttle"))
	case 3:
		pass.Abandon()
	}
	synctest.Wait()
}

// quota is a 429 that asks for a long time.
func (m *machine) quota(t *rapid.T) {
	i := m.pick(t)
	if pass, ok := i.d.Admit(context.Background()); ok {
		m.throttle(i, pass, rapid.IntRange(10, 100).Draw(t, "throttle"))
	}
	synctest.Wait()
}

func (m *machine) throttle(owner *instance, pass Pass, seconds int) {
	now := owner.clock.Now()
	until := now.Add(time.Duration(seconds) * time.Second)
	pass.Throttled(until, 429)
	m.asked = append(m.asked, asked{owner, time.Now(), rule.Sooner(until, now.Add(testSettings.MaxRetryAfter))})
}

// probeAndSucceed is a probe that is good a moment later.
func (m *machine) probeAndSucceed(t *rapid.T) {
	i := m.pick(t)
	pass, ok := i.d.Probe(context.Background())
	if ok {
		elapse(time.Duration(rapid.IntRange(0, 3000).Draw(t, "milliseconds")) * time.Millisecond)
		m.succeed(i, pass)
	}
	synctest.Wait()
}

// succeed is a success. If the request was a probe, what had been asked for
// before it was sent may be forgotten.
func (m *machine) succeed(owner *instance, pass Pass) {
	now := owner.clock.Now()
	before := owner.d.View()
	pass.Success()
	if pass.lifts.IsZero() {
		return
	}
	sent := pass.lifts.Add(time.Since(now)) // By the true clock.
	m.asked = slices.DeleteFunc(m.asked, func(a asked) bool { return a.at.Before(sent) })
	if before.Throttled(now) && !owner.d.View().Throttled(now) {
		m.lifts++
	}
}

func (m *machine) elapse(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		time.Millisecond, 100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
		29 * time.Second, 30 * time.Second, 31 * time.Second,
	}).Draw(t, "duration")
	elapse(d)
}

// crash replaces an instance by a new one that knows nothing. Its requests die
// with it.
func (m *machine) crash(t *rapid.T) {
	k := rapid.IntRange(0, len(m.instances)-1).Draw(t, "instance")
	var left []held
	for _, h := range m.held {
		if h.owner != m.instances[k] {
			left = append(left, h)
		}
	}
	m.held = left
	m.start(k)
}

func (m *machine) fault(t *rapid.T) {
	rate := func(most float64) float64 { return rapid.SampledFrom([]float64{0, most / 4, most}).Draw(t, "rate") }
	err := m.store.SetRates(map[faultstore.Fault]float64{
		faultstore.Refused:     rate(0.1),
		faultstore.RequestLost: rate(0.2),
		faultstore.AnswerLost:  rate(0.2),
		faultstore.LateApply:   rate(0.2),
		faultstore.Conflicted:  rate(0.1),
		faultstore.Delayed:     rate(0.5),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) outage(t *rapid.T) {
	what := rapid.SampledFrom([]string{"", "", "", "", "down", "read only"}).Draw(t, "outage")
	m.store.SetOutage(what == "down")
	m.store.SetReadOnly(what == "read only")
}

// running tells whether the request of a trial may still be under way: its
// attempt ends by the deadline on its instance's clock.
func (h held) running() bool {
	return h.pass.Trial() && h.owner.clock.Now().Before(h.pass.Deadline())
}

func (m *machine) judge(t *rapid.T) {
	m.atMostOneTrial(t)
	for _, a := range m.asked {
		now := a.owner.clock.Now().Add(time.Microsecond) // Which are cut off.
		if v := a.owner.d.View(); now.Before(a.until) && !v.Throttled(now) {
			t.Fatalf("%s forgot a 429 that asked for %v: %+v", a.owner.instance, a.until, v)
		}
	}
}

func (m *machine) atMostOneTrial(t *rapid.T) {
	shared := 0
	each := map[*instance]int{}
	for _, h := range m.held {
		if !h.running() {
			continue
		}
		if !h.alone {
			shared++
		}
		each[h.owner]++
		if each[h.owner] > 1 {
			t.Fatalf("%s runs two trials", h.owner.instance)
		}
	}
	if shared > 1 {
		t.Fatalf("%d trials run, want at most 1", shared)
	}
}

// recover ends the faults and lets the backend be well: every instance must see
// it closed, soon.
func (m *machine) recover(t *rapid.T) {
	m.store.SetOutage(false)
	m.store.SetReadOnly(false)
	if err := m.store.SetRates(nil); err != nil {
		t.Fatal(err)
	}
	m.held = nil // Whoever held a pass is gone.
	// Late writes, the longest open time, a trial that nobody runs.
	elapse(40*time.Second + 300*time.Second + 31*time.Second)
	for range 20 {
		for _, i := range m.instances {
			i.refresh()
			if pass, ok := i.d.Admit(context.Background()); ok {
				pass.Success()
			}
			synctest.Wait()
		}
		elapse(7 * time.Second)
	}
	for _, i := range m.instances {
		if got := i.d.View(); got.State != Closed || i.Degraded() {
			t.Fatalf("%s does not recover: degraded %v, %+v", i.instance, i.Degraded(), got)
		}
	}
}
