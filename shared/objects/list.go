package objects

import (
	"context"
	"fmt"
	"iter"

	"spillway/shared/store"
)

// List yields the files or the batches of a consumer that have neither expired nor
// been deleted, as they are in the table now, in any order. Rows that cannot be read
// are left out. An error ends the sequence: ErrUnavailable, or ErrInvalid for
// responses, which are not listed.
func (r *Registry) List(ctx context.Context, consumer string, kind Kind) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if kind != File && kind != Batch {
			yield(Object{}, fmt.Errorf("%w: only files and batches are listed", ErrInvalid))
			return
		}
		partition := key{kind: kind, consumer: consumer}.row().Partition
		for row, err := range r.o.Store.Query(ctx, store.Filter{Partition: partition}) {
			if err != nil {
				yield(Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err))
				return
			}
			rec, err := decode(key{kind, consumer, row.Row}, row.Columns)
			if err != nil {
				continue
			}
			if o, found := rec.answer(r.o.Clock.Now()); found && !yield(o, nil) {
				return
			}
		}
	}
}
