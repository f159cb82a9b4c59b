package gateway

import (
	"context"
	"sync"
	"time"

	"spillway/shared/lease"
	"spillway/shared/lifetime"
	"spillway/shared/store"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// workspace is the memory for what lives as long as a request does. It serves one request
// after another: made anew, this would nearly double the bytes that a request allocates.
type workspace struct {
	response response
	record   usage.Record
	visit    visit
	request  request
	hold     hold
	turns    [1]turn // more, where there are fallbacks, are made anew
	trail    trail
	answer   answer          // of the last attempt
	result   upstream.Result // of the same
	bill     bill

	limits       [4]*Limit            // of request, where they suffice
	reservations [4]lease.Reservation // of hold, likewise

	ctx *bounded
	// spoiled: something may hold on to a part of it.
	spoiled bool

	kept // for the next request
}

// kept is what a workspace has made once for all its requests.
type kept struct {
	alarm *lifetime.Alarm // of ctx
	flush func() error    // of response
}

// workspaces are those that no request uses.
type workspaces struct{ sync.Pool }

// take returns a workspace in which nothing of a request is set.
func (p *workspaces) take() *workspace {
	if s, ok := p.Get().(*workspace); ok {
		return s
	}
	s := new(workspace)
	s.alarm, s.flush = new(lifetime.Alarm), s.response.flush
	return s
}

// give takes a workspace back. The request has ended, and been recorded.
func (p *workspaces) give(s *workspace) {
	if s.spoiled {
		return
	}
	*s = workspace{kept: s.kept}
	p.Put(s)
}

// bounded is the context of a request. It ends with the host's, or when the request's time
// is up, or when the request has ended.
type bounded struct {
	lifetime.Lifetime
	values   context.Context // the host's, with what is the request's own
	deadline time.Time
}

// Deadline implements context.Context.
func (b *bounded) Deadline() (time.Time, bool) {
	if hosts, ok := b.Lifetime.Deadline(); ok && hosts.Before(b.deadline) {
		return hosts, true
	}
	return b.deadline, true
}

// Value implements context.Context.
func (b *bounded) Value(key any) any { return b.values.Value(key) }

// bound begins the context of a request: it ends after Options.Total, or when the client
// wants no answer any more. unbind must follow.
func (g *Gateway) bound(host context.Context, v *visit) *bounded {
	most, cause := g.Total, errTotal
	if late := v.asked.deadline; !late.IsZero() {
		if rest := late.Sub(g.Clock.Now()); rest < most {
			most, cause = rest, errDeadline
		}
	}
	b := &bounded{values: store.WithPatience(host, storePatience), deadline: time.Now().Add(most)}
	b.Begin(host)
	v.space.ctx = b
	if most <= 0 {
		b.End(context.DeadlineExceeded, cause)
	} else {
		v.space.alarm.Set(b.deadline, &b.Lifetime, context.DeadlineExceeded, cause)
	}
	return b
}

// unbind ends the context of the workspace's request.
func unbind(s *workspace) {
	s.alarm.Stop()
	s.ctx.End(context.Canceled, nil)
}

// storePatience is how long one request waits for a store that is slow or down,
// over all limits and breakers that it meets.
const storePatience = 150 * time.Millisecond
