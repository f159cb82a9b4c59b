package rule

import "time"

// Format is the version of a row's layout and meaning, its column of the same
// name. A version that changes either raises it.
const Format = 1

// The columns of a row.
const (
	columnFormat         = "Format"
	columnState          = "State"
	columnUntil          = "Until"
	columnOpens          = "Opens"
	columnTrial          = "Trial"
	columnOwner          = "Owner"
	columnNonce          = "Nonce"
	columnLastStatus     = "LastStatus"
	columnThrottledAt    = "ThrottledAt"
	columnThrottledUntil = "ThrottledUntil"
	columnLiftedAt       = "LiftedAt"
	columnProbedAt       = "ProbedAt"
)

const (
	// maxTrial leaves room to count on.
	maxTrial = 1 << 53
	// maxText is the longest owner or nonce in bytes.
	maxText = 512
	// maxStatus is the largest number that an HTTP status line can hold.
	maxStatus = 999
)

// Reading tells what was made of a row.
type Reading uint8

// The readings of a row.
const (
	// Sound: the row is as some instance wrote it.
	Sound Reading = iota
	// Broken: the row is of this Format, or of none, and makes no sense. It was
	// read as a closed breaker, so that the next write mends it.
	Broken
	// Foreign: the row is of another Format, another version's. It says nothing
	// to this one, which must not overwrite it.
	Foreign
)

// Encode returns the columns of the row. A zero time has no column: a table
// cannot hold it.
func (f Facts) Encode() map[string]any {
	columns := map[string]any{
		columnFormat:     int64(Format),
		columnState:      f.State.String(),
		columnOpens:      f.Opens,
		columnTrial:      f.Trial,
		columnOwner:      f.Owner,
		columnNonce:      f.Nonce,
		columnLastStatus: f.LastStatus,
	}
	for name, t := range map[string]time.Time{
		columnUntil:          f.Until,
		columnThrottledAt:    f.Throttle.At,
		columnThrottledUntil: f.Throttle.Until,
		columnLiftedAt:       f.Throttle.Lifted,
		columnProbedAt:       f.Throttle.Probed,
	} {
		if !t.IsZero() {
			columns[name] = t
		}
	}
	return columns
}

// Decode reads the columns of a row as foreign input. No row can take a
// deployment out for longer than this instance's own settings allow, and none
// can lift a throttle that is yet to come.
func Decode(columns map[string]any, now time.Time, s *Settings) (Facts, Reading) {
	format, written := columns[columnFormat]
	if written && format != int64(Format) {
		return Facts{}, Foreign
	}
	var f Facts
	f.Throttle = readThrottle(columns, now, s)
	f.LastStatus, _ = columns[columnLastStatus].(int64)
	f.LastStatus = min(max(f.LastStatus, 0), maxStatus)
	closed := f
	state, _ := columns[columnState].(string)
	f.Opens, _ = columns[columnOpens].(int64)
	f.Opens = min(max(f.Opens, 0), maxOpens)
	f.Until = readTime(columns[columnUntil])
	var trial, owner, nonce bool
	f.Trial, trial = columns[columnTrial].(int64)
	f.Owner, owner = columns[columnOwner].(string)
	f.Nonce, nonce = columns[columnNonce].(string)
	if !written || !trial || !owner || !nonce ||
		f.Trial < 0 || f.Trial > maxTrial || len(f.Owner) > maxText || len(f.Nonce) > maxText {
		return closed, Broken
	}
	switch state {
	case Open.String():
		f.State = Open
		f.Until = Sooner(f.Until, Wall(now.Add(s.MaxOpenFor+2*s.Skew)))
	case HalfOpen.String():
		f.State = HalfOpen
		f.Until = Sooner(f.Until, Wall(now.Add(s.TrialFor+2*s.Skew)))
	case Closed.String():
		f.Until, f.Opens = time.Time{}, 0
	default:
		return closed, Broken
	}
	return f, Sound
}

// readThrottle reads the moments of the throttle. Those of the past must not lie
// further in the future than two clocks may differ.
func readThrottle(columns map[string]any, now time.Time, s *Settings) Throttle {
	latest := Wall(now.Add(2 * s.Skew))
	past := func(name string) time.Time {
		if t := readTime(columns[name]); !t.After(latest) {
			return t
		}
		return time.Time{}
	}
	return Throttle{
		At:     Sooner(readTime(columns[columnThrottledAt]), latest),
		Until:  Sooner(readTime(columns[columnThrottledUntil]), Wall(now.Add(s.MaxRetryAfter+2*s.Skew))),
		Lifted: past(columnLiftedAt),
		Probed: past(columnProbedAt),
	}
}

func readTime(value any) time.Time {
	t, _ := value.(time.Time)
	return Wall(t)
}
