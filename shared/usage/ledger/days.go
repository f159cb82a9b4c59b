package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

// maxHourText is the longest text of an hour in the row of a day, in bytes: 24 of
// them fit into a row. What is longer goes to further rows.
const maxHourText = 20_000

// consumerKey is the row of a day of a consumer.
func consumerKey(day time.Time, consumer string, part int) store.Key {
	return store.Key{Partition: dayPartition(day), Row: consumer + "!" + strconv.Itoa(part)}
}

// consumerOf is the consumer of a row of a day.
func consumerOf(row string) (string, bool) {
	i := strings.LastIndexByte(row, '!')
	return row[:max(i, 0)], i > 0
}

// hourText is an hour in the row of a day: the generation that wrote it in a line of
// its own, and the counters, without the consumer.
func hourText(generation int64, lines []byte) string {
	return strconv.FormatInt(generation, base) + "\n" + string(lines)
}

// parseHour splits the text of an hour.
func parseHour(text string) (generation int64, lines string, ok bool) {
	first, lines, ok := strings.Cut(text, "\n")
	generation, err := strconv.ParseInt(first, base, 64)
	return generation, lines, ok && err == nil && generation > 0
}

// sums are the counters of an hour, summed over the instances.
type sums map[string]map[usage.Dimensions]*usage.Counts

// add adds a counter under its consumer.
func (s sums) add(d usage.Dimensions, n usage.Counts) {
	consumer := d.Consumer
	d.Consumer = ""
	if s[consumer] == nil {
		s[consumer] = make(map[usage.Dimensions]*usage.Counts)
	}
	if s[consumer][d] == nil {
		s[consumer][d] = new(usage.Counts)
	}
	s[consumer][d].Add(n)
}

// texts are the counters of a consumer as texts of bounded length, the same for the
// same counters.
func texts(counters map[usage.Dimensions]*usage.Counts) [][]byte {
	parts := [][]byte{nil}
	for _, d := range slices.SortedFunc(maps.Keys(counters), usage.Dimensions.Compare) {
		line := appendLine(nil, d, *counters[d])
		last := &parts[len(parts)-1]
		if len(*last)+len(line) > maxHourText-20 { // The line of the generation.
			parts = append(parts, nil)
			last = &parts[len(parts)-1]
		}
		*last = append(*last, line...)
	}
	return parts
}

// addUp writes the sums of an hour's sealed pages into the rows of its day, and says
// that they count.
func (f *folding) addUp(ctx context.Context, hour time.Time) error {
	all, err := f.sum(ctx, hour)
	if err != nil || len(all) == 0 {
		return err
	}
	rows := make(map[string]store.Row)
	for row, err := range f.o.Store.Query(ctx, store.Filter{Partition: dayPartition(dayOf(hour))}) {
		if err != nil {
			return fmt.Errorf("ledger: days: %w", err)
		}
		rows[row.Row] = row
	}
	for _, consumer := range slices.Sorted(maps.Keys(all)) {
		for part, lines := range texts(all[consumer]) {
			key := consumerKey(dayOf(hour), consumer, part)
			row, ok := rows[key.Row]
			if !ok {
				row = store.Row{Key: key}
			}
			if err := f.writeHour(ctx, row, hour, lines); err != nil {
				return err
			}
		}
	}
	return f.name(ctx, hour)
}

// sum adds up the pages of an hour that count.
func (f *folding) sum(ctx context.Context, hour time.Time) (sums, error) {
	all := make(sums)
	for row, err := range f.o.Store.Query(ctx, store.Filter{Partition: hourPartition(hour)}) {
		if err != nil {
			return nil, fmt.Errorf("ledger: pages: %w", err)
		}
		if row.Columns[columnSealed] != f.now.Generation {
			continue
		}
		text, _ := row.Columns[columnCounters].(string)
		f.bad += eachLine(text, func(d usage.Dimensions, n usage.Counts) bool {
			all.add(d, n)
			return true
		})
	}
	return all, nil
}

// writeHour writes an hour into the row of a day, unless a later generation has.
func (f *folding) writeHour(ctx context.Context, row store.Row, hour time.Time, lines []byte) error {
	column := hourColumn(hour)
	return f.update(ctx, row, func(columns store.Columns) (store.Columns, error) {
		held, _ := columns[column].(string)
		switch generation, _, ok := parseHour(held); {
		case ok && generation == f.now.Generation:
			return nil, nil
		case ok && generation > f.now.Generation:
			return nil, errSuperseded
		}
		changed := store.Columns{columnFormat: format}
		maps.Copy(changed, columns)
		changed[column] = hourText(f.now.Generation, lines)
		return changed, nil
	})
}

// name says that this generation's rows of an hour are those that count.
func (f *folding) name(ctx context.Context, hour time.Time) error {
	row, err := f.o.Store.Get(ctx, generationsKey(dayOf(hour)))
	if errors.Is(err, store.ErrNotFound) {
		row, err = store.Row{Key: generationsKey(dayOf(hour))}, nil
	}
	if err != nil {
		return fmt.Errorf("ledger: generations: %w", err)
	}
	column := generationColumn(hour)
	return f.update(ctx, row, func(columns store.Columns) (store.Columns, error) {
		held, _ := columns[column].(int64)
		switch {
		case held == f.now.Generation:
			return nil, nil
		case held > f.now.Generation:
			return nil, errSuperseded
		}
		changed := store.Columns{columnFormat: format}
		maps.Copy(changed, columns)
		changed[column] = f.now.Generation
		return changed, nil
	})
}

// clear deletes the pages of hours before Gone.
func (f *folding) clear(ctx context.Context) error {
	for f.now.Cleared.Before(f.now.Gone) {
		hour, err := nextHour(ctx, f.o.Store, f.now.Cleared, f.now.Gone)
		if err != nil {
			return err
		}
		f.now.Cleared = hour
		if hour.Equal(f.now.Gone) {
			return nil
		}
		for row, err := range f.o.Store.Query(ctx, store.Filter{Partition: hourPartition(hour)}) {
			if err != nil {
				return fmt.Errorf("ledger: pages: %w", err)
			}
			if f.enough() {
				return errEnough
			}
			f.writes++
			err := f.o.Store.Delete(ctx, row.Key, row.ETag)
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("ledger: pages: %w", err)
			}
		}
		f.now.Cleared = hour.Add(time.Hour)
	}
	return nil
}
