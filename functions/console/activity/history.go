package activity

import (
	"encoding/json"
	"math"
	"time"
)

// The history of a deployment or pool: so many steps of so many seconds, an hour.
const (
	StepSeconds = 10
	Steps       = 360
)

// step is what happened in StepSeconds.
type step struct {
	number   int64 // steps since 1970
	tokens   int64
	spilled  int64
	requests uint32
	errors   uint32
	fill     float32 // NaN: not known
}

// history is a ring of steps, 14 KB. The zero value is empty.
type history struct{ ring [Steps]step }

// at returns the step of a moment, to be added to. Nil: that is longer ago than the
// ring is long.
func (h *history) at(now time.Time) *step {
	number := stepOf(now)
	s := &h.ring[number%Steps]
	switch {
	case s.number > number:
		return nil
	case s.number < number:
		*s = step{number: number, fill: unknown}
	}
	return s
}

var unknown = float32(math.NaN())

// sample notes how full the limit was at some moment of the step. The highest counts.
func (s *step) sample(fill float64) {
	if f := float32(fill); !(s.fill >= f) { // also where it is not known yet
		s.fill = f
	}
}

func stepOf(t time.Time) int64 { return max(t.Unix(), 0) / StepSeconds }

// span is the steps [first, first+n).
type span struct{ first, n int64 }

// spanOf is the steps up to now that began at since or later, at most Steps.
func spanOf(since, now time.Time) span {
	last := stepOf(now)
	first := max((max(since.Unix(), 0)+StepSeconds-1)/StepSeconds, last-Steps+1)
	return span{first, max(last-first+1, 0)}
}

// Series is the history of a deployment or a pool: one value for each step.
type Series struct {
	Requests []int64 `json:"requests"`
	Errors   []int64 `json:"errors"`
	Tokens   []int64 `json:"tokens"`  // of all requests
	Spilled  []int64 `json:"spilled"` // tokens of requests that a lower priority served
	// Fill is the share of the limit that was used up, at its highest in the step, as
	// far as this instance has looked.
	Fill []Share `json:"fill,omitempty"`
}

// series are the steps of a span.
func (h *history) series(of span, filled bool) Series {
	s := Series{
		Requests: make([]int64, of.n), Errors: make([]int64, of.n),
		Tokens: make([]int64, of.n), Spilled: make([]int64, of.n),
	}
	if filled {
		s.Fill = make([]Share, of.n)
	}
	for i := range of.n {
		at := &h.ring[(of.first+i)%Steps]
		known := at.number == of.first+i
		if known {
			s.Requests[i], s.Errors[i], s.Tokens[i], s.Spilled[i] = int64(at.requests), int64(at.errors), at.tokens, at.spilled
		}
		switch {
		case filled && known:
			s.Fill[i] = Share(at.fill)
		case filled:
			s.Fill[i] = Share(math.NaN())
		}
	}
	return s
}

// Share is a part of a whole, which may exceed it. NaN is not known, and null in
// JSON.
type Share float64

// MarshalJSON rounds to a thousandth: it is for a chart.
func (s Share) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(math.Round(float64(s)*1000) / 1000)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Share) UnmarshalJSON(text []byte) error {
	var value *float64
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	*s = Share(math.NaN())
	if value != nil {
		*s = Share(*value)
	}
	return nil
}
