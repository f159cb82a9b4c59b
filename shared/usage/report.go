package usage

import (
	"cmp"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrTooManyRows says that a report would have more than MaxRows rows.
var ErrTooManyRows = errors.New("usage: the report would have more than 200,000 rows; tell fewer things apart, or ask for a shorter time")

// MaxRows is the most rows of a report.
const MaxRows = 200_000

// Report is what was used, summed up.
type Report struct {
	// From and To bound it: whole hours in UTC, [From, To).
	From, To time.Time
	// By names the columns that the rows are told apart by.
	By []string
	// Rows are sorted by their keys.
	Rows []Row
	// Total is the sum of the rows.
	Total Counts
}

// Row is one row of a report.
type Row struct {
	// Keys are the values of the report's By, in its order: spilled is yes or no, an
	// hour is 2026-08-01T14:00Z, a day 2026-08-01 and a month 2026-08.
	Keys []string
	Counts
}

// group is what a row stands for: dimensions that do not matter are empty.
type group struct {
	Dimensions
	hour time.Time
}

// Summarize adds up entries as q says. An error of the entries ends it, and is
// returned; else it is ErrTooManyRows.
func Summarize(entries iter.Seq2[Entry, error], q Query) (Report, error) {
	r := Report{From: q.From, To: q.To, By: slices.Clone(q.By)}
	if r.By == nil {
		r.By = []string{}
	}
	groups := make(map[group]*Counts)
	for e, err := range entries {
		if err != nil {
			return Report{}, err
		}
		if q.Consumer != "" && e.Consumer != q.Consumer || q.Tag != "" && !hasTag(e.Tags, q.Tag) {
			continue
		}
		g := groupOf(e, q.By)
		if groups[g] == nil {
			if len(groups) == MaxRows {
				return Report{}, ErrTooManyRows
			}
			groups[g] = new(Counts)
		}
		groups[g].Add(e.Counts)
		r.Total.Add(e.Counts)
	}
	r.Rows = make([]Row, 0, len(groups))
	for g, counts := range maps.All(groups) {
		r.Rows = append(r.Rows, Row{Keys: g.keys(q.By), Counts: *counts})
	}
	slices.SortFunc(r.Rows, func(a, b Row) int { return slices.Compare(a.Keys, b.Keys) })
	return r, nil
}

// groupOf is the row that an entry belongs to.
func groupOf(e Entry, by []string) (g group) {
	step := ""
	for _, column := range by {
		switch column {
		case "consumer":
			g.Consumer = e.Consumer
		case "model":
			g.Model = e.Model
		case "deployment":
			g.Deployment = e.Deployment
		case "backend":
			g.Backend = e.Backend
		case "region":
			g.Region = e.Region
		case "spilled":
			g.Spilled = e.Spilled
		case "status":
			g.Status = e.Status
		case "tags":
			g.Tags = e.Tags
		case "hour", "day", "month": // The finest of them matters: each is part of the next.
			if step == "" || finer(column, step) {
				step = column
			}
		}
	}
	g.hour = stepOf(e.Hour, step)
	return g
}

func finer(a, b string) bool {
	rank := map[string]int{"hour": 0, "day": 1, "month": 2}
	return cmp.Less(rank[a], rank[b])
}

// stepOf is the beginning of the hour, day or month.
func stepOf(hour time.Time, step string) time.Time {
	year, month, day := hour.UTC().Date()
	switch step {
	case "hour":
		return hour.UTC()
	case "day":
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	case "month":
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Time{}
	}
}

// keys are the values of the columns that the row is told apart by.
func (g group) keys(by []string) []string {
	keys := make([]string, len(by))
	for i, column := range by {
		switch column {
		case "consumer":
			keys[i] = g.Consumer
		case "model":
			keys[i] = g.Model
		case "deployment":
			keys[i] = g.Deployment
		case "backend":
			keys[i] = g.Backend
		case "region":
			keys[i] = g.Region
		case "spilled":
			keys[i] = spilledText(g.Spilled)
		case "status":
			keys[i] = g.Status
		case "tags":
			keys[i] = g.Tags
		case "hour":
			keys[i] = g.hour.Format("2006-01-02T15:04Z")
		case "day":
			keys[i] = g.hour.Format(time.DateOnly)
		case "month":
			keys[i] = g.hour.Format("2006-01")
		}
		keys[i] = strings.ToValidUTF8(keys[i], "\uFFFD")
	}
	return keys
}
