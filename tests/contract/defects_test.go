package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// A checker that finds nothing proves nothing, so each of these stores has one
// defect that the checker must find. A defect shows in one operation of fifty.
func TestDefectsAreFound(t *testing.T) {
	honest := func() store.Store { return memory.New() }
	ambiguous := func() store.Store {
		return withFaults(t, faultstore.Options{Rates: map[faultstore.Fault]float64{
			faultstore.RequestLost: 0.02, faultstore.AnswerLost: 0.02, faultstore.LateApply: 0.02,
		}})
	}
	defects := map[string]struct {
		below func() store.Store
		seed  func(*defective)
	}{
		"a replace without regard to the ETag": {honest, func(d *defective) { d.blindReplace = true }},
		"a delete without regard to the ETag":  {honest, func(d *defective) { d.blindDelete = true }},
		"an insert over a row":                 {honest, func(d *defective) { d.overwritingInsert = true }},
		"a stale read":                         {honest, func(d *defective) { d.staleRead = true }},
		"a write that got lost":                {honest, func(d *defective) { d.lostWrite = true }},
		"a conflict that is none":              {honest, func(d *defective) { d.falseConflict = true }},
		"a conflict after a success":           {honest, func(d *defective) { d.lyingConflict = true }},
		"an ETag that is used twice":           {honest, func(d *defective) { d.constantETag = true }},
		"an unknown outcome taken for success": {ambiguous, func(d *defective) { d.ambiguousIsDone = true }},
		"an unknown outcome taken for failure": {ambiguous, func(d *defective) { d.ambiguousIsFailed = true }},
	}
	for name, defect := range defects {
		t.Run(name, func(t *testing.T) {
			d := &defective{Store: defect.below(), random: rand.New(rand.NewPCG(1, 1)), old: make(map[store.Key]store.Row)}
			defect.seed(d)
			traffic := Traffic{Clients: clients, Operations: 1000, Rows: 8, Budget: budget}
			err := Record(t, yielding{d}, traffic).verify(t.ArtifactDir())
			if err == nil || errors.Is(err, errUndecided) {
				t.Fatalf("not found: %v", err)
			}
			t.Log(err)
		})
	}
}

// defective is a store with defects.
type defective struct {
	store.Store
	blindReplace, blindDelete, overwritingInsert, staleRead, lostWrite, falseConflict, lyingConflict bool
	constantETag, ambiguousIsDone, ambiguousIsFailed                                                 bool

	mu     sync.Mutex
	random *rand.Rand              // Guarded by mu.
	old    map[store.Key]store.Row // First versions, for stale reads. Guarded by mu.
}

// now tells whether the defect shows in this operation.
func (d *defective) now(defect bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return defect && d.random.IntN(50) == 0
}

func (d *defective) Get(ctx context.Context, k store.Key) (store.Row, error) {
	row, err := d.Store.Get(ctx, k)
	stale := d.now(d.staleRead)
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.old[k]; ok && stale {
		return old, nil
	}
	if _, ok := d.old[k]; !ok && err == nil {
		d.old[k] = row
	}
	return row, err
}

func (d *defective) Insert(ctx context.Context, k store.Key, columns store.Columns) (string, error) {
	etag, err := d.Store.Insert(ctx, k, columns)
	if errors.Is(err, store.ErrConflict) && d.now(d.overwritingInsert) {
		return d.overwrite(ctx, k, columns)
	}
	return d.settle(etag, err)
}

func (d *defective) Replace(ctx context.Context, k store.Key, columns store.Columns, etag string) (string, error) {
	if d.now(d.lostWrite) {
		return fmt.Sprintf("lost %v", columns), nil
	}
	if d.now(d.falseConflict) {
		return "", store.ErrConflict
	}
	newETag, err := d.Store.Replace(ctx, k, columns, etag)
	if errors.Is(err, store.ErrConflict) && d.now(d.blindReplace) {
		return d.overwrite(ctx, k, columns)
	}
	if err == nil && d.now(d.lyingConflict) {
		return "", store.ErrConflict
	}
	if err == nil && d.now(d.constantETag) {
		return etag, nil
	}
	return d.settle(newETag, err)
}

func (d *defective) Delete(ctx context.Context, k store.Key, etag string) error {
	err := d.Store.Delete(ctx, k, etag)
	if errors.Is(err, store.ErrConflict) && d.now(d.blindDelete) {
		if row, err := d.Store.Get(ctx, k); err == nil {
			return d.Store.Delete(ctx, k, row.ETag)
		}
	}
	_, err = d.settle("", err)
	return err
}

// settle misjudges unknown outcomes.
func (d *defective) settle(etag string, err error) (string, error) {
	if !errors.Is(err, store.ErrAmbiguous) {
		return etag, err
	}
	if d.ambiguousIsFailed {
		return "", store.ErrUnavailable
	}
	if d.ambiguousIsDone {
		return fmt.Sprint("guessed ", time.Now().UnixNano()), nil
	}
	return etag, err
}

func (d *defective) overwrite(ctx context.Context, k store.Key, columns store.Columns) (string, error) {
	row, err := d.Store.Get(ctx, k)
	if err != nil {
		return "", err
	}
	return d.Store.Replace(ctx, k, columns, row.ETag)
}
