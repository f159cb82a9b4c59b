package store

import (
	"context"
	"sync/atomic"
	"time"
)

// patient is a context with what one request has left to wait for the store.
type patient struct {
	context.Context
	left atomic.Int64 // in nanoseconds
}

type patientKey struct{}

// Value implements context.Context.
func (p *patient) Value(key any) any {
	if _, own := key.(patientKey); own {
		return p
	}
	return p.Context.Value(key)
}

// WithPatience gives one request a time to wait for the store, over all the steps
// that may have to: a store that is slow then costs it that much once, and not
// once at every limit and breaker that it meets.
func WithPatience(ctx context.Context, most time.Duration) context.Context {
	p := &patient{Context: ctx}
	p.left.Store(int64(most))
	return p
}

// Patience returns how long a step may wait: at most the time given, and no longer
// than what the request of ctx has left, which may be nothing. A ctx without
// patience leaves it at the time given.
func Patience(ctx context.Context, most time.Duration) time.Duration {
	if p, ok := ctx.Value(patientKey{}).(*patient); ok {
		return max(min(most, time.Duration(p.left.Load())), 0)
	}
	return most
}

// Waited takes from the patience of ctx what a step has waited.
func Waited(ctx context.Context, took time.Duration) {
	if p, ok := ctx.Value(patientKey{}).(*patient); ok {
		p.left.Add(-int64(took))
	}
}

// Await waits until done is closed, but not beyond the deadline, the end of ctx or what
// its patience leaves, from which it takes what it has waited.
func Await(ctx context.Context, done <-chan struct{}, deadline time.Time) {
	began := time.Now()
	defer func() { Waited(ctx, time.Since(began)) }()
	timer := time.NewTimer(Patience(ctx, deadline.Sub(began)))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
