package breaker

import "spillway/shared/breaker/rule"

// open is a breaker that opens because ordinary requests fail.
func (m trials) open(s state, i int, step func(string, state)) {
	s.openings--
	x := &s.instances[i]
	x.set(pack(x.facts.real().Open((s.now + x.ahead).time(), 500, 1, &settings)))
	x.news = true
	step("open", s)
}

// set makes next the facts: requests admitted before a change of state count no
// more.
func (x *instance) set(next facts) {
	if x.facts.state != next.state || x.facts.trial != next.trial || x.facts.nonce != next.nonce {
		x.counts = false
	}
	x.facts = next
}

// absorb reads the row.
func (m trials) absorb(s *state, i int) {
	x := &s.instances[i]
	local, shared := x.facts.real(), s.row.real()
	if m.defect == noNonceFence && x.news && local.Trial > 0 { // The merge sees no difference.
		shared.Trial, shared.Nonce = local.Trial, local.Nonce
	}
	next, news, orphan := rule.Absorb(local, shared, x.news, nonces[x.lost], (s.now + x.ahead).time())
	if m.defect == mergesToShorter && x.news && local.State == rule.Open && shared.State == rule.Open && next.SameTrial(local) {
		if local.Until.Before(shared.Until) {
			next.Until, news = local.Until, true
		}
	}
	if orphan {
		x.lost = 0
		s.outcomes[s.row.trial] = bad
		if m.defect == givesUpOwnTrial {
			x.lost = nonceOf(shared.Nonce)
		}
	}
	x.set(pack(next))
	x.news, x.fresh = news, true
}

// claim reads the row to claim the trial: as soon as it is due, or early, for a
// probe.
func (m trials) claim(s state, i int, due bool, step func(string, state)) {
	x := &s.instances[i]
	now := (s.now + x.ahead).time()
	if x.lost == 0 {
		x.lost = s.unused()
	}
	mine := x.lost
	if s.row.real().Recognize(nonces[mine], now, tick, &settings) {
		x.fresh = true
		m.own(&s, i, s.row)
		step("recognize the claim", s)
		return
	}
	if !x.fresh {
		m.absorb(&s, i)
	}
	live := m.defect == takesOverLiveTrial && x.facts.state == rule.HalfOpen
	local := x.facts.real()
	dead := m.defect == deadOwnersBlock && x.facts.state == rule.HalfOpen
	if !local.Claimable(now, true) && !live || dead || x.facts.trial == m.last {
		step("find nothing to claim", s)
		return
	}
	x.lost = mine
	x.phase = claiming
	x.draft = flight{pack(local.Claim(now, "", nonces[mine], &settings)), true, true}
	if due && local.Claimable(now, false) {
		step("read to claim", s)
	} else {
		step("read to claim early", s)
	}
}

// writeClaim writes the claim.
func (m trials) writeClaim(s state, i int, step func(string, state)) {
	x := &s.instances[i]
	draft := x.draft
	x.phase, x.draft = idle, flight{}
	m.write(s, i, draft, "claim", func(after *state) {
		x := &after.instances[i]
		x.phase, x.draft = answering, draft
	}, step)
}

// write sends a conditional write, and everything that may become of it.
func (m trials) write(s state, i int, w flight, what string, applied func(*state), step func(string, state)) {
	s.instances[i].fresh = false
	ambiguous := func(after state, label string) {
		after.faults--
		if m.defect == ambiguousIsOwner && what == "claim" {
			m.own(&after, i, w.facts)
		}
		step(label, after)
	}
	landed := s
	if m.put(&landed, w) {
		after := landed
		after.instances[i].fresh = true
		applied(&after)
		step(what+" written", after)
		if s.faults > 0 {
			ambiguous(landed, what+": answer lost")
		}
	} else {
		step(what+": conflict", s)
	}
	if s.faults == 0 {
		return
	}
	ambiguous(s, what+": request lost")
	if !s.instances[i].late.there && (w.current || m.defect == writesWithoutIfMatch) {
		s.instances[i].late = w
		ambiguous(s, what+": delayed")
	}
}

// put applies a write if its condition holds. Then nobody knows the row.
func (m trials) put(s *state, w flight) bool {
	if !w.current && m.defect != writesWithoutIfMatch {
		return false
	}
	s.row = w.facts
	for k := range s.instances {
		x := &s.instances[k]
		x.fresh = false
		x.draft.current, x.late.current = false, false
		if m.defect != writesWithoutIfMatch {
			x.late = flight{} // It can never be applied.
		}
	}
	return true
}

// land applies a delayed write.
func (m trials) land(s state, i int, step func(string, state)) {
	w := s.instances[i].late
	s.instances[i].late = flight{}
	if m.put(&s, w) {
		step("delayed write lands", s)
	}
}

// own makes an instance the owner of a claimed trial.
func (m trials) own(s *state, i int, f facts) {
	x := &s.instances[i]
	guard := settings
	switch m.defect {
	case noSkewGuard:
		guard.Skew = 0
	case halfSkewGuard:
		guard.Skew /= 2
	}
	x.openUntil = 0
	if x.facts.state == rule.Open {
		x.openUntil = x.facts.until
	}
	x.facts = f
	x.lost, x.news = 0, false
	if m.defect == givesUpOwnTrial {
		x.lost = f.nonce
	}
	x.deadline = ticksUp(f.real().Deadline(&guard))
	x.request, x.counts = held, true
	s.broken = s.owned[f.trial]
	s.owned[f.trial] = true
}

// request is what may become of the request of a trial.
func (m trials) request(s state, i int, step func(string, state)) {
	x := &s.instances[i]
	now := s.now + x.ahead
	if x.request == held && now < x.deadline {
		after := s
		after.instances[i].request = running
		step("send the trial", after)
	}
	f := x.facts.real()
	counts := x.counts && !f.Late(now.time())
	x.request, x.deadline, x.counts = none, 0, false
	openUntil := x.openUntil.time()
	x.openUntil = 0
	if !counts {
		if m.defect == acceptsLateResult {
			x.facts, x.news = pack(f.Succeed()), true
		}
		step("outcome that counts no more", s)
		return
	}
	for _, o := range []struct {
		label string
		next  rule.Facts
		found outcome
	}{
		{"success", f.Succeed(), good},
		{"failure", f.Fail(now.time(), openUntil, 500, 1, &settings), bad},
		{"abandon", f.Abandon(now.time(), openUntil), bad},
	} {
		if s.row.nonce != x.facts.nonce {
			o.label += ", though taken over"
		}
		after := s
		after.outcomes[f.Trial] = o.found
		after.instances[i].facts, after.instances[i].news = pack(o.next), true
		step(o.label, after)
	}
}
