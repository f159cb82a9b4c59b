package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/store"
)

// stateKey is the row that says how far folding has come.
var stateKey = store.Key{Partition: "usage!fold", Row: "state"}

// The columns of the state row.
const (
	columnClosed     = "Closed"
	columnFolded     = "Folded"
	columnGone       = "Gone"
	columnCleared    = "Cleared"
	columnAdding     = "Adding"
	columnGeneration = "Generation"
	columnUntil      = "Until"
	columnNonce      = "Nonce"
)

// state says how far folding has come. Cleared ≤ Gone ≤ Folded ≤ Closed; all are
// whole hours, and none moves back.
type state struct {
	Closed  time.Time // Hours before it take no new pages.
	Folded  time.Time // Hours before it are read from the rows of their day.
	Gone    time.Time // Pages of hours before it may be deleted.
	Cleared time.Time // Pages of hours before it are deleted.

	Adding     bool      // All pages of the hour at Folded that will count are sealed.
	Generation int64     // Of who folds.
	Until      time.Time // Who folds is held to be at it until then; zero: nobody is.
	Nonce      string    // Of the write that made the row.
}

// begin is where folding begins, before any hour there can be.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// readState reads the state and its ETag, which is empty if there is none yet.
func readState(ctx context.Context, s store.Store) (state, string, error) {
	row, err := s.Get(ctx, stateKey)
	if errors.Is(err, store.ErrNotFound) {
		return state{Closed: begin, Folded: begin, Gone: begin, Cleared: begin}, "", nil
	}
	if err != nil {
		return state{}, "", fmt.Errorf("ledger: state: %w", err)
	}
	now, ok := decodeState(row.Columns)
	if !ok {
		return state{}, "", fmt.Errorf("ledger: %w: the row %s %s is of another version, or not ours", store.ErrInvalid, stateKey.Partition, stateKey.Row)
	}
	return now, row.ETag, nil
}

// decodeState reads the row as foreign input.
func decodeState(columns store.Columns) (s state, ok bool) {
	if columns[columnFormat] != format {
		return s, false
	}
	last := begin
	for _, mark := range []struct {
		at   *time.Time
		name string
	}{{&s.Cleared, columnCleared}, {&s.Gone, columnGone}, {&s.Folded, columnFolded}, {&s.Closed, columnClosed}} {
		t, isTime := columns[mark.name].(time.Time)
		if !isTime || t.Before(last) || !t.Equal(hourOf(t)) {
			return s, false
		}
		*mark.at, last = t.UTC(), t
	}
	s.Adding, _ = columns[columnAdding].(bool)
	s.Generation, ok = columns[columnGeneration].(int64)
	s.Until, _ = columns[columnUntil].(time.Time)
	s.Nonce, _ = columns[columnNonce].(string)
	return s, ok && s.Generation > 0
}

func (s state) columns(by string) store.Columns {
	columns := store.Columns{
		columnFormat: format, columnBy: by,
		columnClosed: s.Closed, columnFolded: s.Folded, columnGone: s.Gone, columnCleared: s.Cleared,
		columnAdding: s.Adding, columnGeneration: s.Generation, columnNonce: s.Nonce,
	}
	if !s.Until.IsZero() {
		columns[columnUntil] = s.Until
	}
	return columns
}

// generationsPrefix begins the keys of the rows that name, for each hour of a day,
// the generation that counts.
const generationsPrefix = "day!"

func generationsKey(day time.Time) store.Key {
	return store.Key{Partition: stateKey.Partition, Row: generationsPrefix + day.Format(dayLayout)}
}

// generationColumn and hourColumn name the columns of an hour.
func generationColumn(hour time.Time) string { return "G" + hour.Format("15") }

func hourColumn(hour time.Time) string { return "H" + hour.Format("15") }

// readGenerations reads which generation counts, for each hour in [from, to) that
// was folded and had anything to count.
func readGenerations(ctx context.Context, s store.Store, from, to time.Time) (map[time.Time]int64, error) {
	counting := make(map[time.Time]int64)
	filter := store.Filter{
		Partition: stateKey.Partition,
		RowFrom:   generationsKey(from).Row,
		RowTo:     generationsKey(to.Add(-time.Hour)).Row + "!",
	}
	for row, err := range s.Query(ctx, filter) {
		if err != nil {
			return nil, fmt.Errorf("ledger: generations: %w", err)
		}
		day, err := time.Parse(generationsPrefix+dayLayout, row.Row)
		if err != nil {
			continue
		}
		for h := range 24 {
			hour := day.Add(time.Duration(h) * time.Hour)
			if generation, ok := row.Columns[generationColumn(hour)].(int64); ok && generation > 0 {
				counting[hour] = generation
			}
		}
	}
	return counting, nil
}

// nextHour returns the first hour in [from, to) that has pages, or to. It looks for
// any page of a year, a month and a day before it looks for those of an hour.
func nextHour(ctx context.Context, s store.Store, from, to time.Time) (time.Time, error) {
	for from.Before(to) {
		span, next := longestSpan(from)
		found, err := anyPage(ctx, s, span)
		if err != nil {
			return from, err
		}
		for found && len(span) < len(hourLayout) {
			span, next = span+from.Format(hourLayout)[len(span):len(span)+2], narrower(from, len(span)+2)
			if found, err = anyPage(ctx, s, span); err != nil {
				return from, err
			}
		}
		if found {
			return from, nil
		}
		from = next
	}
	return to, nil
}

// longestSpan is the longest part of the calendar that begins at an hour, as the
// beginning of the names of its hours, and its end.
func longestSpan(from time.Time) (name string, end time.Time) {
	text := from.Format(hourLayout)
	switch {
	case text[4:] == "010100":
		return text[:4], narrower(from, 4)
	case text[6:] == "0100":
		return text[:6], narrower(from, 6)
	case text[8:] == "00":
		return text[:8], narrower(from, 8)
	default:
		return text, narrower(from, 10)
	}
}

// narrower is the end of the part of the calendar that begins at from and whose name
// has so many digits.
func narrower(from time.Time, digits int) time.Time {
	switch digits {
	case 4:
		return from.AddDate(1, 0, 0)
	case 6:
		return from.AddDate(0, 1, 0)
	case 8:
		return from.AddDate(0, 0, 1)
	default:
		return from.Add(time.Hour)
	}
}

// anyPage tells whether there is a page of an hour whose name begins like that.
func anyPage(ctx context.Context, s store.Store, span string) (bool, error) {
	for _, err := range s.Query(ctx, store.Filter{Prefix: hourPrefix + span}) {
		return err == nil, err
	}
	return false, nil
}
