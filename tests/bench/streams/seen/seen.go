// Package seen holds what the generator of streams has seen.
package seen

import (
	"slices"
	"strings"
	"time"
)

// Stream is what was seen of one stream.
type Stream struct {
	// Events are those that came, [DONE] not counted.
	Events int
	// First is the time from the request to the first event, Last to the last.
	First, Last time.Duration
	// Done says that [DONE] came.
	Done bool
	// Err says what went wrong; empty: nothing.
	Err string
}

// Line takes a line of the stream.
func (s *Stream) Line(line string, at time.Duration) {
	data, ok := strings.CutPrefix(line, "data: ")
	switch {
	case !ok:
	case data == "[DONE]":
		s.Done = true
	case s.Done:
		s.Err = "an event after the end"
	default:
		s.Events++
		if s.Events == 1 {
			s.First = at
		}
		s.Last = at
	}
}

// Seen is what was seen of all streams.
type Seen struct {
	// Streams were asked for, Errors of them did not end well; Why is what went wrong
	// with one of them.
	Streams, Errors int
	Why             string
	// Events came, of all streams.
	Events int64
	// Median and P99 are times to the first event, in seconds.
	Median, P99 float64
	// Seconds are the time that all took.
	Seconds float64
}

// Of sums up.
func Of(all []Stream, took time.Duration) Seen {
	seen := Seen{Streams: len(all), Seconds: took.Seconds()}
	first := make([]time.Duration, 0, len(all))
	for _, s := range all {
		seen.Events += int64(s.Events)
		if s.Err == "" && !s.Done {
			s.Err = "it ended without [DONE]"
		}
		if s.Err != "" {
			seen.Errors, seen.Why = seen.Errors+1, s.Err
			continue
		}
		first = append(first, s.First)
	}
	slices.Sort(first)
	if n := len(first); n > 0 {
		seen.Median, seen.P99 = first[n/2].Seconds(), first[n*99/100].Seconds()
	}
	return seen
}
