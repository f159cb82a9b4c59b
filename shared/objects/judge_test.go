package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/store"
)

// slack is how much the clocks of a play differ.
const slack = 2 * skew

// story is what was done to one object.
type story struct {
	object                      Object // As it was put.
	puts, settles, deletes, was []call // In the order of their ends; was are those of Get.
	firsts                      int
	abandoned                   bool // Somebody died who may have been the first.
}

// judge says what is wrong with a play.
func (p *play) judge() (wrong []string) {
	stories := make(map[key]*story)
	of := func(k key) *story {
		if stories[k] == nil {
			stories[k] = new(story)
		}
		return stories[k]
	}
	for _, c := range p.calls {
		if c.err != nil && (!errors.Is(c.err, ErrUnavailable) || !p.inTrouble(c)) {
			wrong = append(wrong, fmt.Sprintf("%s of %v failed while the store worked: %v", c.operation, c.key, c.err))
		}
		switch s := of(c.key); c.operation {
		case "put":
			s.object = c.object
			s.puts = append(s.puts, c)
		case "get":
			s.was = append(s.was, c)
		case "delete":
			s.deletes = append(s.deletes, c)
		case "settle":
			s.settles = append(s.settles, c)
			s.abandoned = s.abandoned || c.abandoned
			if c.yes {
				s.firsts++
			}
		}
	}
	for k, s := range stories {
		for _, fault := range append(p.judgeReads(s), p.judgeSettling(s)...) {
			wrong = append(wrong, fmt.Sprintf("%v: %s", k, fault))
		}
	}
	for _, c := range p.calls {
		if c.operation == "list" && c.err == nil {
			wrong = append(wrong, p.judgeList(c, stories)...)
		}
	}
	return append(wrong, p.judgeTable()...)
}

// inTrouble tells whether the instance had trouble with the store during the call, or
// so shortly before that it still rests.
func (p *play) inTrouble(c call) bool {
	for _, s := range p.trouble[c.registry] {
		if s.to.Add(restFor+100*time.Millisecond).After(c.from) && !s.from.After(c.to) {
			return true
		}
	}
	return false
}

// done tells whether one of the calls had succeeded before a moment.
func done(calls []call, before int64) bool {
	for _, c := range calls {
		if c.err == nil && c.ended < before {
			return true
		}
	}
	return false
}

// begun tells whether one of the calls had begun before a moment.
func begun(calls []call, before int64) bool {
	for _, c := range calls {
		if c.began < before {
			return true
		}
	}
	return false
}

// judgeReads judges what Get has said of an object.
func (p *play) judgeReads(s *story) (wrong []string) {
	for _, g := range s.was {
		if g.err != nil {
			continue
		}
		if fault := s.asPut(g.object, g); g.yes && fault != "" {
			wrong = append(wrong, fault)
		}
		// What was done at this registry is known at once, the rest soon.
		known := func(calls []call, soon time.Duration, excused bool) bool {
			for _, c := range calls {
				if c.err == nil && c.ended < g.began && (c.registry == g.registry || !excused && g.from.Sub(c.to) > soon) {
					return true
				}
			}
			return false
		}
		switch {
		case !g.yes && known(s.puts, fetchTime, false) && !begun(s.deletes, g.ended) && g.to.Before(s.object.Expires.Add(-slack)):
			wrong = append(wrong, "was put and not found")
		case g.yes && known(s.deletes, knownFor+fetchTime, p.inTrouble(g)):
			wrong = append(wrong, "was deleted and found")
		case g.yes && g.object.Pending && known(s.effective(), knownFor+fetchTime, p.inTrouble(g)):
			wrong = append(wrong, "was settled and found pending")
		}
	}
	return wrong
}

// asPut tells what is wrong with an object that a call has found.
func (s *story) asPut(found Object, c call) string {
	want := s.object
	want.Pending = want.Pending && found.Pending
	switch {
	case !begun(s.puts, c.ended):
		return "was found before anybody put it"
	case found != want:
		return fmt.Sprintf("is %+v, was put as %+v", found, want)
	case !c.from.Before(s.object.Expires.Add(slack)):
		return "had expired and was found"
	}
	return ""
}

// effective are the settlements that have met the object: those that began after it
// was put, and ended before its row may be swept.
func (s *story) effective() (settles []call) {
	swept := s.object.Expires.Add(sweepAfter - slack)
	for _, c := range s.deletes {
		if at := c.from.Add(sweepAfter - slack); at.Before(swept) {
			swept = at
		}
	}
	for _, c := range s.settles {
		if c.err == nil && done(s.puts, c.began) && c.to.Before(swept) {
			settles = append(settles, c)
		}
	}
	return settles
}

// judgeSettling judges who was first.
func (p *play) judgeSettling(s *story) (wrong []string) {
	switch {
	case s.firsts > 1:
		wrong = append(wrong, fmt.Sprintf("%d were the first to settle it", s.firsts))
	case s.firsts > 0 && !s.object.Pending:
		wrong = append(wrong, "was settled and never pending")
	case s.firsts == 0 && s.object.Pending && !s.abandoned && len(s.effective()) > 0:
		wrong = append(wrong, "was settled and nobody was first")
	}
	if s.firsts > 0 {
		p.tally["first"]++
	}
	return wrong
}

// judgeList judges a list, which is of the moment.
func (p *play) judgeList(c call, stories map[key]*story) (wrong []string) {
	has := make(map[key]Object)
	for _, o := range c.objects {
		if _, twice := has[keyOf(o)]; twice {
			wrong = append(wrong, fmt.Sprintf("%v is listed twice", keyOf(o)))
		}
		has[keyOf(o)] = o
		if stories[keyOf(o)] == nil {
			wrong = append(wrong, fmt.Sprintf("%v is listed, and nobody put it", keyOf(o)))
		}
	}
	for k, s := range stories {
		if k.consumer != c.key.consumer || k.kind != c.key.kind || k.id == "" {
			continue
		}
		o, listed := has[k]
		fault := ""
		switch {
		case listed && done(s.deletes, c.began):
			fault = "was deleted and is listed"
		case listed && o.Pending && done(s.effective(), c.began):
			fault = "was settled and is listed as pending"
		case listed:
			fault = s.asPut(o, c)
		case done(s.puts, c.began) && !begun(s.deletes, c.ended) && c.to.Before(s.object.Expires.Add(-slack)):
			fault = "was put and is not listed"
		}
		if fault != "" {
			wrong = append(wrong, fmt.Sprintf("%v: %s", k, fault))
		}
	}
	return wrong
}

// judgeTable judges what the sweeps have removed, and what is left.
func (p *play) judgeTable() []string {
	p.tally["swept"] += p.table.swept
	wrong := p.table.early
	for row, err := range p.table.Query(context.Background(), store.Filter{Prefix: "object/"}) {
		if err != nil {
			return append(wrong, err.Error())
		}
		if expires, _ := row.Columns[columnExpires].(time.Time); time.Since(expires) > sweepAfter+5*time.Minute {
			wrong = append(wrong, fmt.Sprintf("%v was never swept", row.Key))
		}
	}
	return wrong
}
