package breaker

import (
	"errors"
	"fmt"

	"spillway/shared/breaker/rule"
	"spillway/tests/model/search"
)

const (
	maxInstances = 3
	maxTrials    = 4
)

// phase is how far an instance is with a claim.
type phase uint8

const (
	idle      phase = iota
	claiming        // It has read the row and decided to claim; the write is yet to be made.
	answering       // The write was applied; its answer is on the way.
)

// request is how far the request of a trial is.
type request uint8

const (
	none    request = iota
	held            // Admitted, not sent.
	running         // Sent.
)

// flight is a write that its client has given up, and that may still be applied.
type flight struct {
	facts facts
	there bool
	// current: the row still is as it was read, so that If-Match holds.
	current bool
}

// instance is one gateway.
type instance struct {
	facts facts
	// news: facts hold something that is not published.
	news bool
	// fresh: the instance knows the row as it is now, and its ETag.
	fresh bool
	// lost is the nonce of a claim whose outcome is unknown, or that was not made.
	lost nonce

	phase phase
	draft flight // What a claim is about to write.

	request   request
	deadline  moment // Of the request.
	openUntil moment // For how long the breaker would be open without the trial.
	// counts: nothing has changed since the request was admitted, so that its
	// outcome counts.
	counts bool

	late flight
	// ahead: the clock is a tick ahead of the others'.
	ahead moment
}

// outcome is what the owner of a trial has found out: ghost, for the judge only.
type outcome uint8

const (
	unknown outcome = iota
	good
	bad // Failed, abandoned or given up.
)

// state is one state of the world.
type state struct {
	now       moment
	row       facts
	instances [maxInstances]instance

	faults, crashes, openings uint8 // That may still happen.

	// Ghosts: which trials have had an owner, and what became of each.
	owned    [maxTrials + 1]bool
	outcomes [maxTrials + 1]outcome
	broken   bool // A trial has had a second owner.
}

// defect is a mistake seeded into the model.
type defect uint8

const (
	sound defect = iota
	ambiguousIsOwner
	noSkewGuard
	halfSkewGuard
	takesOverLiveTrial
	writesWithoutIfMatch
	ignoresDeadline
	acceptsLateResult
	noNonceFence
	mergesToShorter
	givesUpOwnTrial
	deadOwnersBlock
)

// trials is the model of claims, trials, openings and their publication.
type trials struct {
	instances int
	end       moment // Of time.
	faults    uint8  // Of the store, in all.
	crashes   uint8
	openings  uint8
	last      int8 // The number of the last trial that is made.
	defect    defect
}

func (m trials) model() search.Model[state] {
	return search.Model[state]{Initial: m.initial(), Next: m.next, Check: m.check, CheckStep: m.checkStep}
}

// initial are the worlds in which nobody knows anything, and in which the
// breaker is open for one more tick and all know it; for every choice of clocks.
func (m trials) initial() []state {
	var all []state
	for skews := range 1 << (m.instances - 1) { // The last one's clock is the measure.
		s := state{now: 1, faults: m.faults, crashes: m.crashes, openings: m.openings}
		for i := range m.instances {
			s.instances[i].ahead = moment(skews >> i & 1)
		}
		if skews&(skews+1) != 0 {
			continue // The same but for the names.
		}
		all = append(all, s)
		s.row = facts{state: rule.Open, until: 2, opens: 1}
		for i := range m.instances {
			s.instances[i].facts, s.instances[i].fresh = s.row, true
		}
		all = append(all, s)
	}
	return all
}

// next is everything that may happen.
func (m trials) next(s state, step func(string, state)) {
	take := step
	step = func(label string, after state) { take(label, m.canonical(after)) }
	if s.now < m.end {
		after := s
		after.now++
		step("a tick passes", after)
	}
	for i := range m.instances {
		m.happen(s, i, step)
	}
}

// happen is what one instance may do.
func (m trials) happen(s state, i int, step func(string, state)) {
	x := &s.instances[i]
	now := s.now + x.ahead
	if x.facts.state == rule.Closed && s.openings > 0 {
		m.open(s, i, step)
	}
	if x.phase == idle && !x.fresh {
		after := s
		m.absorb(&after, i)
		step("read", after)
	}
	if x.phase == idle && x.facts.state != rule.Closed && !(x.request != none && now < x.deadline) {
		m.claim(s, i, !now.time().Before(x.facts.until.time()), step)
	}
	switch x.phase {
	case claiming:
		m.writeClaim(s, i, step)
	case answering:
		after := s
		after.instances[i].phase = idle
		m.own(&after, i, x.draft.facts)
		step("answer of the claim", after)
	}
	if x.request != none {
		m.request(s, i, step)
	}
	if x.phase == idle && x.news && x.fresh {
		m.write(s, i, flight{x.facts, true, true}, "publication", func(after *state) {
			after.instances[i].news = false
		}, step)
	}
	if x.late.there {
		m.land(s, i, step)
	}
	if s.crashes > 0 && (x.phase != idle || x.request != none) {
		after := s
		after.crashes--
		after.instances[i] = instance{late: x.late, ahead: x.ahead}
		step("the owner crashes", after)
	}
}

// check judges a state.
func (m trials) check(s state) error {
	if s.broken {
		return errors.New("two owners of one trial")
	}
	flying := 0
	for i := range m.instances {
		x := &s.instances[i]
		if x.request == running && (s.now+x.ahead < x.deadline || m.defect == ignoresDeadline) {
			flying++
		}
	}
	if flying > 1 {
		return fmt.Errorf("%d trials at once", flying)
	}
	if s.row.state == rule.HalfOpen {
		// The fastest clock is a tick ahead.
		free := s.now + 1 + moment(settings.TrialFor/tick)
		if s.row.until > free || !s.row.real().Claimable(free.time(), false) {
			return errors.New("a dead owner would block the next trial for longer than a trial")
		}
	}
	return nil
}

// checkStep judges what happens to the row: trials are numbered one by one, a
// live one is not taken over, its result is its owner's, and nothing makes an open
// time shorter.
func (m trials) checkStep(before, after state) error {
	a, b := before.row, after.row
	switch {
	case a == b:
		return nil
	case b.trial == a.trial+1:
		if b.state != rule.HalfOpen {
			return errors.New("a trial that was never claimed has a result")
		}
		if a.state == rule.HalfOpen && before.now+1 < a.until && before.outcomes[a.trial] == unknown {
			return errors.New("a live trial was taken over")
		}
	case b.trial != a.trial || b.nonce != a.nonce:
		return errors.New("a stale result changed the row")
	case a.state == rule.HalfOpen && b.state == rule.Closed && before.outcomes[a.trial] != good,
		a.state == rule.HalfOpen && b.state == rule.Open && before.outcomes[a.trial] == unknown:
		return errors.New("a result that nobody has found out")
	case a.state == rule.Closed && b.state == rule.HalfOpen, a.state == rule.Open && b.state != rule.Open:
		return errors.New("the row went back in time")
	case a.state == rule.Open && (b.until < a.until || b.opens < a.opens):
		return errors.New("an open time became shorter")
	}
	return nil
}
