package usage

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query says what a report is about.
type Query struct {
	// From and To bound it: whole hours in UTC, [From, To).
	From, To time.Time
	// By are the dimensions that the rows are told apart by, some of Columns; none:
	// the total alone.
	By []string
	// Consumer is the only one that is reported, if it is not empty.
	Consumer string
	// Tag, as in project=web, is on all requests that are reported, if it is not empty.
	Tag string
}

// maxRange is the longest time that a query may span.
const maxRange = 400 * 24 * time.Hour

// maxAgo is the longest time ago that can be written as such.
const maxAgo = 100 * 365 * 24 * time.Hour

// columns are what rows may be told apart by.
var columns = []string{"consumer", "model", "deployment", "backend", "region", "spilled", "status", "tags", "hour", "day", "month"}

// Columns returns what rows may be told apart by.
func Columns() []string { return slices.Clone(columns) }

// The parameters of a query.
const (
	paramFrom     = "from"
	paramTo       = "to"
	paramBy       = "by"
	paramConsumer = "consumer"
	paramTag      = "tag"
)

// params are the parameters of a query.
var params = []string{paramFrom, paramTo, paramBy, paramConsumer, paramTag}

// Params returns the names of the parameters that ParseQuery reads.
func Params() []string { return slices.Clone(params) }

// ParamError is a parameter that makes no sense. Its text names the mend.
type ParamError struct {
	Param   string
	Message string
}

// Error implements error.
func (e *ParamError) Error() string { return e.Param + ": " + e.Message }

// ParseQuery reads the parameters from, to, by, consumer and tag; others are not
// looked at. From and to are moments of RFC 3339, dates, or times before now such as 90m,
// 24h, 7d and 2w; all in UTC, widened to whole hours. Left out, they are 24h and now.
// By is a list with commas, by default consumer,model. A tag is name=value. An error
// is a *ParamError.
func ParseQuery(values url.Values, now time.Time) (Query, error) {
	q := Query{Consumer: values.Get(paramConsumer)}
	for _, param := range params {
		if len(values[param]) > 1 {
			return q, &ParamError{param, "is given twice; give it once"}
		}
	}
	from, err := parseMoment(paramFrom, valueOr(values, paramFrom, "24h"), now)
	if err != nil {
		return q, err
	}
	to, err := parseMoment(paramTo, valueOr(values, paramTo, "0h"), now)
	if err != nil {
		return q, err
	}
	latest := wholeHourAfter(now)
	q.From, q.To = from.Truncate(time.Hour), wholeHourAfter(to)
	if q.To.After(latest) {
		q.To = latest
	}
	switch {
	case !q.From.Before(q.To):
		return q, &ParamError{paramFrom, fmt.Sprintf("%s is not before the end, %s; give an earlier from, or a later to",
			q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))}
	case q.To.Sub(q.From) > maxRange:
		return q, &ParamError{paramFrom, "the time from it to the end is longer than 400 days; ask for a part of it at a time"}
	}
	if q.Tag, err = parseTagParam(values.Get(paramTag)); err != nil {
		return q, err
	}
	q.By, err = parseBy(valueOr(values, paramBy, "consumer,model"))
	return q, err
}

// parseTagParam reads the tag that is asked for, if one is.
func parseTagParam(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	t, err := parseTag(text)
	if err != nil {
		return "", &ParamError{paramTag, err.Error()}
	}
	return t.String(), nil
}

func valueOr(values url.Values, param, otherwise string) string {
	if value := strings.TrimSpace(values.Get(param)); value != "" {
		return value
	}
	return otherwise
}

func wholeHourAfter(t time.Time) time.Time {
	return t.UTC().Add(time.Hour - 1).Truncate(time.Hour)
}

// parseMoment reads a moment, in UTC.
func parseMoment(param, text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if ago, ok := parseAgo(text); ok {
		return now.UTC().Add(-ago), nil
	}
	return time.Time{}, &ParamError{param, fmt.Sprintf("%q is no moment; write a date (2026-08-01), a moment of RFC 3339 "+
		"(2026-08-01T14:00:00Z), or how long ago it was (90m, 24h, 7d, 2w)", shorten(text))}
}

// parseAgo reads a number of minutes, hours, days or weeks.
func parseAgo(text string) (time.Duration, bool) {
	if text == "" {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if !ok || err != nil || n < 0 || n > int64(maxAgo/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// parseBy reads a list of columns.
func parseBy(text string) ([]string, error) {
	var by []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case name == "":
			continue
		case !slices.Contains(columns, name):
			return nil, &ParamError{paramBy, fmt.Sprintf("there is no %q; take some of %s", shorten(name), strings.Join(columns, ", "))}
		case slices.Contains(by, name):
			return nil, &ParamError{paramBy, fmt.Sprintf("%s is listed twice; remove one of the two", name)}
		}
		by = append(by, name)
	}
	return by, nil
}

// shorten is a foreign text for a message.
func shorten(text string) string {
	const most = 60
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
