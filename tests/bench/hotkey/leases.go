package hotkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// leases is Spillway's way: each writer is an instance that takes its requests
// from a lease.
type leases struct {
	name   string
	window quota.Window
}

var _ contender = (*leases)(nil)

func newLeases(name string) *leases {
	return &leases{name: name}
}

const (
	period = quota.Minute
	// limit is far more than can be granted in a minute.
	limit = quota.MaxUnits
)

// begin waits until the turn fits into one window, since the row that is audited
// tells of one.
func (l *leases) begin(ctx context.Context, stores []store.Store, takes time.Duration) ([]writer, error) {
	const margin = 2 * time.Second
	now := time.Now()
	if end := period.End(period.Window(now)); now.Add(startTime + takes + margin).After(end) {
		pause(ctx, time.Until(end))
	}
	l.window = period.Window(time.Now())
	limits := make([]*lease.Limit, len(stores))
	for i, s := range stores {
		engine, err := lease.New(lease.Options{
			Store: s, Instance: fmt.Sprintf("instance-%d", i), OnUnavailable: lease.Deny,
		})
		if err != nil {
			return nil, err
		}
		limits[i] = engine.Limit(l.name, limit, period)
	}
	if err := warm(ctx, limits); err != nil {
		return nil, err
	}
	writers := make([]writer, len(limits))
	for i, shared := range limits {
		writers[i] = func(ctx context.Context) (bool, error) { return reserve(ctx, shared) }
	}
	return writers, nil
}

// startTime is how long it may take until each instance has its first lease.
const startTime = 10 * time.Second

// warm has each instance take its first lease, in the crowd of all others.
func warm(ctx context.Context, limits []*lease.Limit) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	errs := make([]error, len(limits))
	var all sync.WaitGroup
	for i, shared := range limits {
		all.Go(func() {
			for granted := false; !granted && errs[i] == nil; {
				granted, errs[i] = reserve(ctx, shared)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// reserve counts one request. Where others were faster, or the table is too slow in
// the crowd at the start, it waits as it is told.
func reserve(ctx context.Context, shared *lease.Limit) (bool, error) {
	reservation, verdict := shared.Reserve(ctx, 1)
	switch verdict.Outcome {
	case lease.Granted:
		reservation.Settle(1)
		return true, nil
	case lease.Contended, lease.Refused:
		pause(ctx, time.Until(verdict.RetryAt))
		return false, ctx.Err()
	default:
		return false, fmt.Errorf("one request of %d is %v", int64(limit), verdict.Outcome)
	}
}

func (l *leases) granted(ctx context.Context, s store.Store) (int64, error) {
	stored, err := s.Get(ctx, store.Key{Partition: quota.Partition(l.name, period, 0), Row: quota.RowKey})
	if err != nil {
		return 0, err
	}
	row, err := quota.Decode(period, stored.Columns)
	if err != nil {
		return 0, err
	}
	if row.Window != l.window || row.Shards != 1 {
		return 0, fmt.Errorf("the row is of window %d with %d shards, not of %d with one", row.Window, row.Shards, l.window)
	}
	return row.Granted, nil
}
