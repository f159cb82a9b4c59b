package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"spillway/functions/maintenance"
)

const (
	// maintainEvery is the mean time between two runs of the maintenance.
	maintainEvery = 10 * time.Second
	// giveBackEvery is how often leases are looked at, and giveBackIdle how long
	// one must have been idle to go back.
	giveBackEvery = 5 * time.Second
	giveBackIdle  = 5 * time.Second
	// checkTime bounds the one check of the store.
	checkTime = 15 * time.Second
)

// Maintain does one run of the maintenance and logs what it did. It is safe to
// call at any time, from any number of instances at once, or never.
func (a *App) Maintain(ctx context.Context) maintenance.Report {
	report := a.maintenance.Run(ctx)
	if !errors.Is(ctx.Err(), context.Canceled) { // called off: what is unfinished is no fault
		a.events.maintained(report)
	}
	return report
}

// Tend does what a process with time of its own does beside its requests, until
// ctx ends: it says once whether the store can be used, runs the maintenance every
// ten seconds or so unless the host calls for it, writes the ledger, and gives back
// what idle leases hold. It is not for a process that freezes between two requests.
//
// Where several instances share limits they share the maintenance, too: each
// draws whether a run is its own, so that there is about one per ten seconds
// however many they are.
func (a *App) Tend(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { a.checkState(ctx) })
	if !a.options.Timer {
		parts.Go(func() { a.maintainNowAndThen(ctx) })
	}
	parts.Go(func() { a.ledger.Run(ctx) })
	parts.Go(func() {
		for a.pause(ctx, giveBackEvery) {
			a.leases.GiveBackIdle(ctx, giveBackIdle)
		}
	})
	parts.Wait()
}

func (a *App) maintainNowAndThen(ctx context.Context) {
	for a.pause(ctx, maintainEvery) {
		if a.options.Random(uint64(a.leases.Instances())) == 0 {
			a.Maintain(ctx)
		}
	}
}

// checkState logs whether the store can be used. Requests do not wait for it.
func (a *App) checkState(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := checkStore(limited, a.options.table); ctx.Err() == nil {
		a.events.storeChecked(a.state, err)
	}
}

// pause waits for a time, ±20 % so that instances which started together part,
// and tells whether ctx goes on.
func (a *App) pause(ctx context.Context, mean time.Duration) bool {
	timer := time.NewTimer(mean*4/5 + time.Duration(a.options.Random(uint64(mean*2/5))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
