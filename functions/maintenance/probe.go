package maintenance

import (
	"context"
	"sync/atomic"
	"time"

	"spillway/shared/breaker"
)

const (
	// worthIt is how much longer a throttle must last to be worth a probe.
	worthIt = 5 * time.Second
	// probeTime bounds one probe. A request of one token that takes longer is
	// not one that users should be sent after.
	probeTime = 10 * time.Second
	// probers is how many deployments are probed at once.
	probers = 8
)

// probe tries every deployment that is taken out. It returns how many were
// tried, and how many of those are usable now.
//
// Several instances may do so at once: the claim lets one of them try a
// deployment, and each begins at another one.
func (m *Maintenance) probe(ctx context.Context) (probed, ready int, err error) {
	now := m.o.Clock.Now()
	var out []*breaker.Deployment
	for d := range m.o.Board.All() {
		if takenOut(d.View(), now) {
			out = append(out, d)
		}
	}
	for i := len(out) - 1; i > 0; i-- {
		j := m.o.Random(uint64(i) + 1)
		out[i], out[j] = out[j], out[i]
	}
	var tried, usable atomic.Int64
	err = each(ctx, probers, out, func(d *breaker.Deployment) error {
		if !takenOut(d.View(), m.o.Clock.Now()) {
			return nil // has recovered while others were tried
		}
		pass, ok := d.Probe(ctx)
		if !ok {
			return nil // somebody else tries it, or has
		}
		tried.Add(1)
		m.attempt(ctx, d, pass)
		if v := d.View(); v.State == breaker.Closed && !v.Throttled(m.o.Clock.Now()) {
			usable.Add(1)
		}
		return nil
	})
	return int(tried.Load()), int(usable.Load()), err
}

// takenOut tells whether a deployment is worth a probe: its breaker is open, or
// its trial has been lost, or it is throttled for some time yet.
func takenOut(v breaker.View, now time.Time) bool {
	switch v.State {
	case breaker.Open:
		return true
	case breaker.HalfOpen:
		return !now.Before(v.OpenUntil)
	default:
		return v.ThrottledUntil.Sub(now) > worthIt
	}
}

// attempt lets the probe have its pass, as long as the claim holds.
func (m *Maintenance) attempt(ctx context.Context, d *breaker.Deployment, pass breaker.Pass) {
	limit := probeTime
	if deadline := pass.Deadline(); !deadline.IsZero() {
		limit = min(limit, deadline.Sub(m.o.Clock.Now()))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m.o.Probe(ctx, d.ID(), pass)
}
