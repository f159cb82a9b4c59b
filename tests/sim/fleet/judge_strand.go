package fleet

import (
	"fmt"
	"time"

	"spillway/tests/sim/tally"
)

// holding is what one instance took of one limit.
type holding struct {
	window  map[int64]int64 // units granted to it, by window
	largest int64           // the largest single grant
	unheard map[int64]int64 // of those, what it never learned of
}

// strandings judges each crash: what the instance held of a limit and had not
// spent is stranded until the window ends, and must be little.
func (j *judge) strandings() {
	for instance, at := range j.crashed {
		for key, h := range j.holdings(instance, at) {
			_, length, _ := limitOf("quota!" + key)
			name := key[:len(key)-len("!minute!0")]
			if length != time.Minute {
				name = key[:len(key)-len("!10s!0")]
			}
			w := at.Truncate(length)
			stranded := h.window[w.Unix()] - j.spentBy(instance, name, w, length) - h.unheard[w.Unix()]
			ahead := h.window[w.Add(length).Unix()] - h.unheard[w.Add(length).Unix()]
			j.Tally["crashes that held units"] += min(max(stranded, 0), 1)
			share := tally.Most + "stranded by a crash, in % of the limit"
			j.Tally[share] = max(j.Tally[share], 100*stranded/max(j.amount(name), 1))
			if h.largest > 0 {
				inChunks := tally.Most + "stranded by a crash, in % of the largest grant"
				j.Tally[inChunks] = max(j.Tally[inChunks], 100*(stranded+ahead)/h.largest)
			}
			if stranded+ahead > 3*h.largest {
				j.blame(RuleStranded, at, "the crash of %s strands %d of %s, and %d of the next window; its largest grant was %d",
					instanceName(instance), stranded, name, ahead, h.largest)
			}
		}
	}
}

// holdings are what an instance took of each limit's shard until a moment.
func (j *judge) holdings(instance int, until time.Time) map[string]*holding {
	all := make(map[string]*holding)
	for i := range j.history.writes {
		w := &j.history.writes[i]
		_, length, ok := limitOf(w.key.Partition)
		if !ok || w.instance != instance || w.at.After(until) {
			continue
		}
		key := w.key.Partition[len("quota!"):]
		h := all[key]
		if h == nil {
			h = &holding{window: make(map[int64]int64), unheard: make(map[int64]int64)}
			all[key] = h
		}
		at := column(w.after, "Window")
		now, next := deltas(w)
		h.window[at] += now
		h.window[at+int64(length/time.Second)] += next
		h.largest = max(h.largest, now, next)
		if !w.heard {
			h.unheard[at] += max(now, 0)
			h.unheard[at+int64(length/time.Second)] += max(next, 0)
		}
	}
	return all
}

// spentBy is what an instance may have spent of a limit in a window, or have had
// reserved when it crashed.
func (j *judge) spentBy(instance int, key string, w time.Time, length time.Duration) int64 {
	var units int64
	for _, r := range j.history.requests {
		if r.instance != instance || !r.entered.happened() {
			continue
		}
		in := func(at time.Time) bool {
			return !at.Add(j.high+time.Second).Before(w) && at.Add(j.low-time.Second).Before(w.Add(length))
		}
		end := r.entered.at
		if r.done.happened() {
			end = r.done.at
		}
		if in(r.entered.at) || in(end) {
			switch key {
			case fmt.Sprintf("consumer/c%d/tokens", r.Consumer):
				units += r.reservable()
			case fmt.Sprintf("consumer/c%d/requests", r.Consumer):
				units++
			}
		}
		for _, a := range r.attempts {
			if !in(a.asked.at) {
				continue
			}
			switch key {
			case "deployment/" + deploymentID(a.backend) + "/tokens":
				if j.Schedule.Backends[a.backend].Settled {
					units += r.reservable()
				} else {
					units += (prompts[r.Prompt].Characters+3)/4 + r.Max
				}
			case "deployment/" + deploymentID(a.backend) + "/requests":
				units++
			}
		}
	}
	return units
}

// reservable is the most that a request can have used or reserved.
func (r *request) reservable() int64 {
	if len(r.records) == 1 && !r.lost {
		return r.records[0].Tokens.Total()
	}
	return r.Max + 2*prompts[r.Prompt].Tokens + 20
}
