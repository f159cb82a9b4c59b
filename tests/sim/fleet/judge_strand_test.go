package fleet

import (
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
	"spillway/tests/sim/tally"
)

// grant is a chunk that an instance takes: it decides on it, and the table has it
// twenty milliseconds later.
type grant struct {
	decided time.Duration
	units   int64
}

// stay is a request with a limit of tokens, from its beginning to its end.
type stay struct {
	from, to  time.Duration
	max, used int64
}

// An instance that crashes may leave three of its largest chunks behind, and what
// came back to it after the last of them from requests that were open by then: of that
// it can have known nothing when it took the chunk. What came back before is no excuse,
// and neither is what was taken out of the lease later and put back into it.
func TestStrandingsAreJudged(t *testing.T) {
	const chunk = 600
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	chunks := func(n int, more int64) (taken []grant) {
		for i := range n {
			taken = append(taken, grant{second(10 + float64(i)), chunk})
		}
		return append(taken, grant{second(20), more})
	}
	open := func(from, to float64) stay {
		return stay{second(from), second(to), 500, 0}
	}
	back := estimateOf(open(0, 0))

	for _, test := range []struct {
		name     string
		grants   []grant
		requests []stay
		seen     bool
	}{
		{"nothing is spent of three chunks", chunks(3, 0), nil, false},
		{"nor of three chunks and a unit", chunks(3, 1), nil, true},
		{"a request ends after the last chunk", chunks(3, back), []stay{open(19, 21)}, false},
		{"and a unit more is held than came back", chunks(3, back+1), []stay{open(19, 21)}, true},
		{"a request ends while the last chunk is written", chunks(3, back), []stay{open(19, 20.01)}, false},
		{"a request ends before the last chunk is taken", chunks(3, back), []stay{open(12, 19)}, true},
		{"a request begins after the last chunk", chunks(3, back), []stay{open(21, 22)}, true},
		{
			// Two chunks more were due, by the rate of the burst and since less was left
			// than two of the largest request need. Then its clients left, and no others
			// came.
			"a burst reserves 1,101 of 2,202 units in a quarter of a second, and uses 342",
			[]grant{
				{second(33.65), 123}, {second(33.68), 83}, {second(33.71), 377}, {second(33.81), 606}, {second(33.83), 584}, {second(33.88), 429},
			},
			[]stay{
				{second(33.64), second(34.18), 108, 42},
				{second(33.66), second(34.47), 68, 68},
				{second(33.68), second(33.94), 367, 10},
				{second(33.78), second(34.15), 171, 15},
				{second(33.80), second(35.22), 237, 122},
				{second(33.81), second(34.34), 77, 31},
				{second(35.68), second(36.31), 28, 54},
			},
			false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := crashAfter(test.grants, test.requests)
			j.strandings()
			if seen := len(j.found) > 0; seen != test.seen {
				t.Errorf("found %v, want a breach: %v", j.found, test.seen)
			}
			for _, v := range j.found {
				if v.Rule != RuleStranded || !strings.Contains(v.What, "deployment/m0/d/tokens") {
					t.Errorf("found %q, want only what is stranded of the tokens", v)
				}
			}
		})
	}
}

// estimateOf is the most that the judge takes for reserved by a request.
func estimateOf(s stay) int64 { return (&request{Request: Request{Max: s.max}}).estimate() }

// crashAfter is a judge of one instance that took chunks of one limit, served requests
// and crashed in the same minute.
func crashAfter(grants []grant, requests []stay) *judge {
	origin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHistory()
	granted := int64(0)
	var before store.Columns
	for _, g := range grants {
		granted += g.units
		after := store.Columns{"Window": origin.Unix(), "Granted": granted}
		sent := origin.Add(g.decided)
		h.writes = append(h.writes, write{
			mark: mark{sent.Add(20 * time.Millisecond), 1}, sent: sent, heard: true,
			key: store.Key{Partition: "quota!deployment/m0/d/tokens!minute!0"}, before: before, after: after,
		})
		before = after
	}
	for _, s := range requests {
		from, to := mark{origin.Add(s.from), 1}, mark{origin.Add(s.to), 2}
		r := &request{Request: Request{Max: s.max}, entered: from, done: to, records: []usage.Record{{Tokens: usage.Tokens{Completion: s.used}}}}
		r.attempts = []*attempt{{request: r, asked: from, ended: to}}
		h.requests = append(h.requests, r)
	}
	return &judge{Outcome: &Outcome{
		Schedule: Schedule{Backends: []Backend{{Tokens: 10_000, Settled: true}}},
		Tally:    tally.Counts{},
		history:  h,
		origin:   origin,
		crashed:  map[int]time.Time{0: origin.Add(50 * time.Second)},
	}}
}
