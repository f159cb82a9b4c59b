package replay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"spillway/tests/prove/judge"
)

// Options are the circumstances of a replay.
type Options struct {
	Windows int // full windows to replay
	Seed    uint64
	// Network makes the network of one gateway.
	Network func() Network
}

// Outcome is what came out of one contender in one scenario.
type Outcome struct {
	Scenario  Scenario
	Contender Contender
	Result    judge.Result
	Seconds   []Second
}

// Second is what happened in one second of a replay, in tokens and in answers.
type Second struct {
	Charged   int64 // tokens that the PTU has accepted
	Refused   int64 // tokens that the PTU has refused
	Spilled   int64 // tokens that left for PAYG
	Client429 int   // 429s that users have got
}

// Run replays all scenarios on all their contenders at the same time, from the
// next full minute on. It returns the outcomes in the order of the scenarios, or
// the first reason why there are none.
func Run(ctx context.Context, scenarios []Scenario, o Options, p *Progress) ([]Outcome, error) {
	var cells []*cell
	defer func() {
		for _, c := range cells {
			c.close()
		}
	}()
	for _, s := range scenarios {
		for _, contender := range s.Contenders {
			c, err := newCell(ctx, s, contender, o, p)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", contender.Kind, s.Name(), err)
			}
			cells = append(cells, c)
		}
	}
	start := Start(time.Now())
	end := start.Add(time.Duration(o.Windows) * time.Minute)
	var running sync.WaitGroup
	errs := make([]error, len(cells))
	for i, c := range cells {
		running.Go(func() { errs[i] = c.run(ctx, start, end) })
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, ctx.Err() // nothing else ends a cell early
	}
	outcomes := make([]Outcome, len(cells))
	for i, c := range cells {
		var err error
		if outcomes[i], err = c.outcome(start); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", c.contender.Kind, c.scenario.Name(), err)
		}
	}
	return outcomes, nil
}

// Start is the full minute that follows now: the next window's edge.
func Start(now time.Time) time.Time { return now.Truncate(time.Minute).Add(time.Minute) }

func (c *cell) outcome(start time.Time) (Outcome, error) {
	evidence, err := c.evidence(start)
	if err != nil {
		return Outcome{}, err
	}
	result, err := judge.Weigh(evidence)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Scenario: c.scenario, Contender: c.contender, Result: result, Seconds: seconds(evidence)}, nil
}

// seconds sums up the evidence by seconds.
func seconds(e judge.Evidence) []Second {
	all := make([]Second, e.Windows*60)
	at := func(t time.Time) *Second {
		d := t.Sub(e.Start)
		if i := int(d / time.Second); d >= 0 && i < len(all) {
			return &all[i]
		}
		return new(Second) // after the end
	}
	for _, b := range e.Bookings {
		if b.Accepted {
			at(b.Noted).Charged += b.Charge
		} else {
			at(b.Noted).Refused += b.Charge
		}
	}
	for _, j := range e.Journeys {
		if j.Status == http.StatusTooManyRequests {
			at(j.Ended).Client429++
		}
		for _, d := range j.Sent {
			if d.Backend != e.PTU {
				at(d.At).Spilled += j.Charge
			}
		}
	}
	return all
}
