package faultstore

import (
	"context"
	"fmt"
	"time"

	"spillway/shared/store"
	"spillway/tests/pause"
)

// none is the fault of an operation that goes well.
const none = faults

// plan is what will befall one operation.
type plan struct {
	inner   store.Store
	fault   Fault
	out     time.Duration // Delay of the request.
	back    time.Duration // Delay of the answer.
	late    time.Duration // For LateApply.
	rows    int           // For AnswerLost of a query: rows that still arrive.
	delayed bool
	slowed  bool
	sent    time.Time
}

// plan draws the fate of the next operation and counts it.
func (s *Store) plan(write bool) plan {
	s.operations.Add(1)
	p := s.draw(write)
	switch {
	case s.down.Load():
		p = plan{fault: Outage}
	case write && s.readOnly.Load():
		p = plan{fault: WriteRefused}
	case !write && s.writeOnly.Load():
		p = plan{fault: ReadRefused}
	}
	if p.fault != none {
		s.counts[p.fault].Add(1)
	}
	if p.delayed {
		s.counts[Delayed].Add(1)
	}
	if p.slowed {
		s.counts[Slowed].Add(1)
	}
	p.sent = time.Now()
	return p
}

func (s *Store) draw(write bool) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := plan{inner: s.inner, fault: none}
	at := s.random.Float64()
	for fault := Refused; fault < Delayed; fault++ {
		rate := s.options.Rates[fault]
		if at < rate {
			p.fault = fault
			break
		}
		at -= rate
	}
	switch p.fault {
	case LateApply, Conflicted, BusyApplied, ConflictedApplied:
		if !write {
			p.fault = none // Only writes know these.
		}
	}
	if s.random.Float64() < s.options.Rates[Delayed] {
		p.delayed = true
		total := s.between(s.options.Delay)
		p.out = s.between([2]time.Duration{0, total})
		p.back = total - p.out
	}
	p.late = s.between(s.options.Late)
	p.rows = s.random.IntN(8)
	if s.options.Latency[1] > 0 {
		half := s.between(s.options.Latency) / 2 * time.Duration(s.slowdown)
		p.out += half
		p.back += half
		p.slowed = s.slowdown > 1
	}
	return p
}

// between draws a duration of a span. The caller holds mu.
func (s *Store) between(span [2]time.Duration) time.Duration {
	return span[0] + time.Duration(s.random.Int64N(int64(span[1]-span[0])+1))
}

// before is the way of the request: an error means that the operation does not
// happen now. lost is what a caller gets to hear that waits for an answer.
func (s *Store) before(ctx context.Context, p plan, lost error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("faultstore: %w: %w", store.ErrUnavailable, err)
	}
	switch p.fault {
	case Refused, Outage, WriteRefused, ReadRefused:
		return fmt.Errorf("faultstore: %w: %v", store.ErrUnavailable, p.fault)
	}
	if err := wait(ctx, p.out); err != nil {
		return fmt.Errorf("faultstore: %w: %w", lost, err)
	}
	switch p.fault {
	case RequestLost, LateApply, Busy:
		return fmt.Errorf("faultstore: %w: %v", lost, p.fault)
	case Conflicted:
		return fmt.Errorf("faultstore: %w: %v", store.ErrConflict, p.fault)
	}
	return nil
}

// after is the way of the answer.
func (s *Store) after(ctx context.Context, p plan, lost error) error {
	if err := wait(ctx, p.back); err != nil {
		return fmt.Errorf("faultstore: %w: %w", lost, err)
	}
	if p.fault == AnswerLost || p.fault == BusyApplied {
		return fmt.Errorf("faultstore: %w: %v", lost, p.fault)
	}
	s.tellDate(p.sent)
	return nil
}

// tellDate hands on the date of an answer.
func (s *Store) tellDate(sent time.Time) {
	s.mu.Lock()
	tell := s.options.OnServerDate
	s.mu.Unlock()
	if tell == nil {
		return
	}
	offset := time.Duration(s.dateOffset.Load())
	if offset != 0 {
		s.counts[DateOff].Add(1)
	}
	now := time.Now()
	tell(now.Add(offset).UTC().Truncate(time.Second), sent, now)
}

// wait lets time pass, or ends with the context's error. A call that takes none does
// not look at its context.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	return pause.For(ctx, d)
}
