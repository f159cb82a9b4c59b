package quota

import "time"

// Period is the length of a limit's windows: fixed windows of the UTC calendar.
type Period uint8

// The periods. Minute is the zero value.
const (
	// Minute is a window of 60 seconds, as of a limit of tokens per minute.
	Minute Period = iota
	// TenSeconds is a window of 10 seconds; six make a limit of requests per
	// minute, which services check over shorter spans than a minute.
	TenSeconds
	// Hour is an hour of the clock.
	Hour
	// Day starts at midnight UTC.
	Day
	// Week starts on Monday at midnight UTC.
	Week
	// Month starts on its first day at midnight UTC.
	Month
)

// periodNames are the names of the periods, by value.
var periodNames = [...]string{"minute", "10s", "hour", "day", "week", "month"}

// String returns the name of the period: minute, 10s, hour, day, week or month.
func (p Period) String() string {
	if int(p) >= len(periodNames) {
		return "unknown"
	}
	return periodNames[p]
}

// ParsePeriod returns the period of a name that String gives.
func ParsePeriod(name string) (Period, bool) {
	for i, n := range periodNames {
		if n == name {
			return Period(i), true
		}
	}
	return 0, false
}

// Window is one window of a limit: the Unix second at which it starts. In a row
// it only ever moves forward.
type Window int64

// Start returns the first moment of the window, in UTC.
func (w Window) Start() time.Time {
	return time.Unix(int64(w), 0).UTC()
}

// Window returns the window that holds the moment now. An unknown period counts
// as Minute.
func (p Period) Window(now time.Time) Window {
	const day = 24 * 60 * 60
	second := now.Unix()
	switch p {
	case TenSeconds:
		return Window(floor(second, 10))
	case Hour:
		return Window(floor(second, 60*60))
	case Day:
		return Window(floor(second, day))
	case Week:
		// 1970 began on a Thursday, three days after a Monday.
		const monday = 4 * day
		return Window(floor(second-monday, 7*day) + monday)
	case Month:
		year, month, _ := now.UTC().Date()
		return Window(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix())
	default:
		return Window(floor(second, 60))
	}
}

// End returns the moment the window ends, which is the start of the next one.
func (p Period) End(w Window) time.Time {
	switch p {
	case TenSeconds:
		return w.Start().Add(10 * time.Second)
	case Hour:
		return w.Start().Add(time.Hour)
	case Day:
		return w.Start().AddDate(0, 0, 1)
	case Week:
		return w.Start().AddDate(0, 0, 7)
	case Month:
		return w.Start().AddDate(0, 1, 0)
	default:
		return w.Start().Add(time.Minute)
	}
}

// Next returns the window after w.
func (p Period) Next(w Window) Window {
	return Window(p.End(w).Unix())
}

// Valid tells whether w is the start of a window of this period.
func (p Period) Valid(w Window) bool {
	return p.Window(w.Start()) == w
}

// floor rounds down to a multiple of step, for moments before 1970 too.
func floor(second, step int64) int64 {
	rest := second % step
	if rest < 0 {
		rest += step
	}
	return second - rest
}
