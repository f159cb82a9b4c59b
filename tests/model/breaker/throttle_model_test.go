package breaker

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"spillway/shared/breaker/rule"
	"spillway/tests/model/search"
)

// throttle is rule.Throttle in moments.
type throttle struct {
	at, until, lifted, probed moment
}

func (t throttle) real() rule.Throttle {
	return rule.Throttle{At: t.at.time(), Until: t.until.time(), Lifted: t.lifted.time(), Probed: t.probed.time()}
}

func packThrottle(t rule.Throttle) throttle {
	return throttle{ticks(t.At), ticks(t.Until), ticks(t.Lifted), ticks(t.Probed)}
}

// version is a throttle and what the judge knows of where it comes from.
type version struct {
	throttle throttle
	answers  uint8  // Ghost: the 429s in it, one bit each.
	lift     moment // Ghost: when, in true time, the last probe was begun whose success is in it.
}

// merge is what an instance makes of its own version and the row's.
func (m throttles) merge(local, shared version) version {
	next := local.throttle.real().Merge(shared.throttle.real())
	switch m.defect {
	case mergesToShorterThrottle:
		if local.throttle.until != 0 && shared.throttle.until != 0 && local.throttle.until < shared.throttle.until {
			next.Until = local.throttle.until.time()
		}
	case mergesToTheRow:
		next = shared.throttle.real()
	}
	return version{packThrottle(next), local.answers | shared.answers, max(local.lift, shared.lift)}
}

// draft is a conditional write.
type draft struct {
	version version
	there   bool
	current bool // The row still is as it was read.
}

// stage is how far an instance is with a probe.
type stage uint8

const (
	resting stage = iota
	marking       // It has read the row and decided to probe; the mark is yet to be written.
	probing       // The mark is in the row, the request on its way.
)

// member is one gateway.
type member struct {
	version version
	fresh   bool // It knows the row as it is now.
	stage   stage
	mark    draft
	began   moment // When the probe was marked, in true time: ghost.
	late    draft  // A write that its client has given up.
	ahead   moment // The clock is a tick ahead of the others'.
}

const maxAnswers = 3

// answer is a 429, for the judge only.
type answer struct {
	at    moment // In true time.
	until moment // As the instance that got it understood it.
	// lifted: a probe that began later has succeeded.
	lifted bool
}

// sky is one state of the world of throttles.
type sky struct {
	now     moment
	row     version
	members [maxInstances]member

	faults, crashes, asks uint8 // That may still happen.

	answers [maxAnswers]answer
	probed  moment // When the last probe began, in true time: ghost.
	double  bool   // A probe began although another one had a moment before.
}

// throttleDefect is a mistake seeded into the model of throttles.
type throttleDefect uint8

const (
	soundThrottles throttleDefect = iota
	liftsEverything
	liftsWithoutMargin
	clearsWithoutStamp
	mergesToShorterThrottle
	mergesToTheRow
	marksWithoutIfMatch
	ignoresMarks
)

// throttles is the model of 429s, probes, lifts and their publication.
type throttles struct {
	instances             int
	end                   moment
	faults, crashes, asks uint8
	defect                throttleDefect
}

func (m throttles) model() search.Model[sky] {
	var all []sky
	for ahead := range m.instances {
		s := sky{now: 1, faults: m.faults, crashes: m.crashes, asks: m.asks}
		for i := range ahead {
			s.members[i].ahead = 1
		}
		all = append(all, m.canonical(s))
	}
	return search.Model[sky]{Initial: all, Next: m.next, Check: m.check, CheckStep: m.checkStep}
}

// next is everything that may happen.
func (m throttles) next(s sky, take func(string, sky)) {
	s.double = false
	step := func(label string, after sky) { take(label, m.canonical(after)) }
	if s.now < m.end {
		after := s
		after.now++
		step("a tick passes", after)
	}
	for i := range m.instances {
		x := &s.members[i]
		m.ask(s, i, "429", step)
		if x.stage == resting && !x.fresh {
			after := s
			m.read(&after, i)
			step("read", after)
		}
		switch x.stage {
		case resting:
			m.begin(s, i, step)
		case marking:
			m.writeMark(s, i, step)
		case probing:
			m.finish(s, i, step)
		}
		if x.stage == resting && x.fresh && x.version.throttle != s.row.throttle {
			m.write(s, i, draft{x.version, true, true}, "publication", func(*sky) {}, step)
		}
		if x.late.there {
			after := s
			after.members[i].late = draft{}
			if m.put(&after, x.late) {
				step("delayed write lands", after)
			}
		}
		if s.crashes > 0 && x.version.throttle != (throttle{}) {
			after := s
			after.crashes--
			after.members[i] = member{late: x.late, ahead: x.ahead}
			step("crash", after)
		}
	}
}

// ask is a 429, which asks for a short or a long time.
func (m throttles) ask(s sky, i int, label string, step func(string, sky)) {
	if s.asks == 0 {
		return
	}
	s.asks--
	for _, asked := range []moment{2, 4} {
		after := s
		x := &after.members[i]
		now := s.now + x.ahead
		until := now + asked
		x.version.throttle = packThrottle(x.version.throttle.real().Learn(now.time(), until.time(), &settings))
		x.version.answers |= 1 << s.asks
		after.answers[s.asks] = answer{at: s.now, until: until}
		step(label, after)
	}
}

func (m throttles) read(s *sky, i int) {
	x := &s.members[i]
	x.version, x.fresh = m.merge(x.version, s.row), true
}

// begin reads the row to mark a probe.
func (m throttles) begin(s sky, i int, step func(string, sky)) {
	x := &s.members[i]
	now := (s.now + x.ahead).time()
	if !x.version.throttle.real().Probeable(now, tick, &settings) {
		return
	}
	if !x.fresh {
		m.read(&s, i)
	}
	seen := x.version.throttle.real()
	if m.defect == ignoresMarks {
		seen.Probed = times[0]
	}
	if !seen.Probeable(now, tick, &settings) {
		step("find nothing to probe", s)
		return
	}
	marked := x.version
	marked.throttle = packThrottle(x.version.throttle.real().Probe(now))
	x.stage, x.mark, x.began = marking, draft{marked, true, true}, s.now
	step("read to probe", s)
}

func (m throttles) writeMark(s sky, i int, step func(string, sky)) {
	x := &s.members[i]
	mark, began := x.mark, x.began
	x.stage, x.mark, x.began = resting, draft{}, 0
	m.write(s, i, mark, "mark", func(after *sky) {
		x := &after.members[i]
		x.stage, x.began = probing, began
		x.version = m.merge(x.version, mark.version)
		after.double = s.probed == began
		after.probed = max(s.probed, began)
	}, step)
}

// finish is the end of a probe: it succeeds, is answered by a 429, or says
// nothing.
func (m throttles) finish(s sky, i int, step func(string, sky)) {
	x := &s.members[i]
	began := x.began
	x.stage, x.began = resting, 0
	step("probe without a verdict", s)
	m.ask(s, i, "probe throttled", step)
	lifted := x.version.throttle.real().Lift((began + x.ahead).time(), &settings)
	switch m.defect {
	case liftsEverything:
		lifted.Lifted = times[100]
	case liftsWithoutMargin:
		lifted.Lifted = (s.now + x.ahead + 1).time()
	case clearsWithoutStamp:
		lifted = rule.Throttle{Probed: lifted.Probed}
	}
	x.version.throttle = packThrottle(lifted)
	x.version.lift = max(x.version.lift, began)
	for k := range s.answers {
		if a := &s.answers[k]; a.at < began {
			a.lifted = a.at != 0
		}
	}
	step("probe succeeds", s)
}

// write sends a conditional write, and everything that may become of it.
func (m throttles) write(s sky, i int, w draft, what string, applied func(*sky), step func(string, sky)) {
	s.members[i].fresh = false
	landed := s
	if m.put(&landed, w) {
		after := landed
		after.members[i].fresh = true
		applied(&after)
		step(what+" written", after)
	} else {
		step(what+": conflict", s)
	}
	if s.faults == 0 {
		return
	}
	s.faults--
	landed.faults--
	if landed.row != s.row {
		step(what+": answer lost", landed)
	}
	step(what+": request lost", s)
	if w.current && !s.members[i].late.there {
		s.members[i].late = w
		step(what+": delayed", s)
	}
}

// put applies a write, if its condition holds: then nobody knows the row.
func (m throttles) put(s *sky, w draft) bool {
	if !w.current && m.defect != marksWithoutIfMatch {
		return false
	}
	s.row = w.version
	for k := range s.members {
		x := &s.members[k]
		x.fresh, x.mark.current, x.late = false, false, draft{}
	}
	return true
}

// canonical puts the instances in an order: their names do not matter.
func (m throttles) canonical(s sky) sky {
	for i := 1; i < m.instances; i++ {
		for k := i; k > 0 && compare(&s.members[k], &s.members[k-1]) < 0; k-- {
			s.members[k], s.members[k-1] = s.members[k-1], s.members[k]
		}
	}
	return s
}

func compare(x, y *member) int {
	a, b := x.version, y.version
	return cmp.Or(
		cmp.Compare(x.ahead, y.ahead), cmp.Compare(a.throttle.at, b.throttle.at), cmp.Compare(a.throttle.until, b.throttle.until),
		cmp.Compare(a.throttle.lifted, b.throttle.lifted), cmp.Compare(a.throttle.probed, b.throttle.probed),
		cmp.Compare(a.answers, b.answers), cmp.Compare(x.stage, y.stage), cmp.Compare(flag(x.fresh), flag(y.fresh)),
		cmp.Compare(flag(x.late.there), flag(y.late.there)), cmp.Compare(x.began, y.began), cmp.Compare(a.lift, b.lift),
	)
}

// check judges a state: whoever knows a 429 that no later probe contradicts
// respects it; whoever knows that a probe has succeeded which began long enough
// after every 429 is free; probes are not made at the same moment.
func (m throttles) check(s sky) error {
	if s.double {
		return errors.New("two probes at once")
	}
	if err := s.judge(s.row); err != nil {
		return fmt.Errorf("row: %w", err)
	}
	for i := range m.instances {
		if err := s.judge(s.members[i].version); err != nil {
			return err
		}
	}
	return nil
}

func (s *sky) judge(v version) error {
	end := v.throttle.real().End()
	last := moment(0)
	for k, a := range s.answers {
		if v.answers&(1<<k) == 0 {
			continue
		}
		last = max(last, a.at)
		if !a.lifted && end.Before(a.until.time()) {
			return errors.New("a throttle was lifted that is newer than the lift")
		}
	}
	// Either clock may be wrong by half a tick, twice: once for the margin, once
	// for the margin to be needed.
	if v.lift > last+2 && !end.IsZero() {
		return errors.New("a lift has no effect")
	}
	return nil
}

// checkStep judges what happens to the row: each of its moments only grows.
func (m throttles) checkStep(before, after sky) error {
	a, b := before.row.throttle, after.row.throttle
	if b.at < a.at || b.until < a.until || b.lifted < a.lifted || b.probed < a.probed {
		return errors.New("the row forgot something")
	}
	return nil
}

// String shows a state in one line.
func (s sky) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d row %v", s.now, s.row.throttle)
	for _, x := range s.members {
		if x == (member{}) {
			continue
		}
		fmt.Fprintf(&b, " | +%d %v", x.ahead, x.version.throttle)
		if x.stage != resting {
			fmt.Fprintf(&b, " stage %d since %d", x.stage, x.began)
		}
		if x.late.there {
			fmt.Fprintf(&b, " late %v", x.late.version.throttle)
		}
	}
	return b.String()
}
