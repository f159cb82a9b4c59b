package functionshost

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// schedule is an NCRONTAB expression: second, minute, hour, day, month, day of the
// week. Each field is the set of its values.
type schedule [6]map[int]bool

// fields are the smallest and the largest value of each.
var fields = [6][2]int{{0, 59}, {0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}

func parseSchedule(text string) (schedule, error) {
	var s schedule
	parts := strings.Fields(text)
	if len(parts) != len(s) {
		return s, fmt.Errorf("the schedule %q has %d fields, want 6", text, len(parts))
	}
	for i, part := range parts {
		s[i] = make(map[int]bool)
		for term := range strings.SplitSeq(part, ",") {
			from, to, step, err := parseTerm(term, fields[i])
			if err != nil {
				return s, fmt.Errorf("the schedule %q: %w", text, err)
			}
			for v := from; v <= to; v += step {
				s[i][v] = true
			}
		}
	}
	return s, nil
}

// parseTerm reads *, n or n-m, each perhaps with /step.
func parseTerm(term string, bounds [2]int) (from, to, step int, err error) {
	span, every, stepped := strings.Cut(term, "/")
	step = 1
	if stepped {
		if step, err = strconv.Atoi(every); err != nil || step < 1 {
			return 0, 0, 0, fmt.Errorf("%q is no step", every)
		}
	}
	if span == "*" {
		return bounds[0], bounds[1], step, nil
	}
	low, high, ranged := strings.Cut(span, "-")
	if from, err = strconv.Atoi(low); err != nil {
		return 0, 0, 0, fmt.Errorf("%q is no number", low)
	}
	switch {
	case ranged:
		if to, err = strconv.Atoi(high); err != nil {
			return 0, 0, 0, fmt.Errorf("%q is no number", high)
		}
	case stepped:
		to = bounds[1]
	default:
		to = from
	}
	if from < bounds[0] || to > bounds[1] || from > to {
		return 0, 0, 0, fmt.Errorf("%q is not within %d to %d", term, bounds[0], bounds[1])
	}
	return from, to, step, nil
}

// due tells whether the schedule names a second, in UTC.
func (s schedule) due(at time.Time) bool {
	at = at.UTC()
	for i, v := range [6]int{at.Second(), at.Minute(), at.Hour(), at.Day(), int(at.Month()), int(at.Weekday())} {
		if !s[i][v] {
			return false
		}
	}
	return true
}
