package consumers

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"spillway/shared/store"
)

// Logged is a change as the log has it.
type Logged struct {
	When     time.Time
	By       string // the name of an admin key, or cli: and a user
	Action   string // add, set or remove
	Consumer string
	What     string // what changed, in words
	// Outcome is done, or why the change failed; begun where its maker did not come
	// so far as to say.
	Outcome string
}

// maxLogged bounds each text of a Logged, in bytes. The log is for people.
const maxLogged = 2000

// Log yields the changes since a moment, in any order, of one consumer or, if the
// name is empty, of all. An error, which is ErrUnavailable, ends the sequence.
func (d *Directory) Log(ctx context.Context, since time.Time, name string) iter.Seq2[Logged, error] {
	return func(yield func(Logged, error) bool) {
		filter := store.Filter{Partition: logPartition, RowFrom: logRow(since), RowTo: beginning.Row}
		for row, err := range d.o.Store.Query(ctx, filter) {
			if err != nil {
				yield(Logged{}, fmt.Errorf("%w: %w", ErrUnavailable, err))
				return
			}
			logged, ok := decodeLogged(row.Columns)
			if ok && (name == "" || logged.Consumer == name) && !yield(logged, nil) {
				return
			}
		}
	}
}

// decodeLogged reads a row of the log as foreign input.
func decodeLogged(columns store.Columns) (l Logged, ok bool) {
	if l.Consumer, ok = decodeLog(columns); !ok {
		return Logged{}, false
	}
	text := func(column string) string {
		value, _ := columns[column].(string)
		return strings.ToValidUTF8(cut(value, maxLogged), "")
	}
	l.When, _ = columns[columnWhen].(time.Time)
	l.By, l.Action, l.What, l.Outcome = text(columnBy), text(columnAction), text(columnWhat), text(columnOutcome)
	return l, true
}
