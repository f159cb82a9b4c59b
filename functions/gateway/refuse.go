package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"spillway/shared/lease"
	"spillway/shared/openai"
)

// overLimit is the answer to a consumer that has no room: the exact time to
// wait, or that waiting does not help.
func (g *Gateway) overLimit(limit *Limit, n int64, v lease.Verdict) *openai.Error {
	kind := "tokens"
	if limit.Requests {
		kind = "requests"
	}
	status := limit.Status()
	wait := g.until(v.RetryAt)
	switch {
	case v.Outcome == lease.TooLarge:
		e := openai.RateLimited(kind, fmt.Sprintf("Request too large: your limit is %d %s, requested %d. It can never be served; make it smaller or lower its maximum output.", status.Amount, kind, n), 0)
		e.NoRetry = true
		return e
	case v.Outcome == lease.Contended, v.Outcome == lease.Refused: // nothing is spent; nobody could say
		return openai.RateLimited(kind, fmt.Sprintf("Your limit of %d %s cannot be read at the moment. Please try again in %s.", status.Amount, kind, readable(wait)), wait)
	case limit.budget():
		return openai.QuotaExceeded(fmt.Sprintf("You exceeded your quota of %d %s. It is renewed in %s.", status.Amount, kind, readable(wait)), wait)
	default:
		return openai.RateLimited(kind, fmt.Sprintf("Rate limit reached: limit %d %s, remaining %d, requested %d. Please try again in %s.", status.Amount, kind, max(0, status.Remaining), n, readable(wait)), wait)
	}
}

// unserved is the answer when no member served: an honest 429 when one of them
// is full rather than broken, and a 503 only when all are broken.
func (g *Gateway) unserved(ctx context.Context, p *Pool, req *request, short shortage) *openai.Error {
	if refused := g.ended(ctx); refused != nil {
		return refused
	}
	wait := g.until(short.soonest)
	switch {
	case short.late > 0 && short.late == short.skips:
		e := tooLong("its deadline allows: no deployment of " + p.Model + " has been fast enough")
		e.Code, e.NoRetry = "deadline", true
		return e
	case short.full > 0 && !short.soonest.IsZero():
		return openai.RateLimited("tokens", fmt.Sprintf("All deployments of %s are at capacity. Please try again in %s.", p.Model, readable(wait)), wait)
	case short.full+short.late == short.skips && short.full > 0:
		e := openai.RateLimited("tokens", fmt.Sprintf("Request too large for %s: about %d tokens, more than the whole limit of each of its deployments.", p.Model, req.estimate.Total()), 0)
		e.NoRetry = true
		return e
	case req.pinned():
		return away("previous response", req.only, wait)
	default:
		return openai.Overloaded(wait)
	}
}

// ended is the answer to a request whose client has left or whose time is up,
// or nil if it may go on.
func (g *Gateway) ended(ctx context.Context) *openai.Error {
	var cause error
	if b, ok := ctx.(*bounded); ok {
		cause = b.Cause()
	}
	switch {
	case ctx.Err() == nil:
		return nil
	case errors.Is(cause, errTotal):
		return tooLong(g.Total.String())
	case errors.Is(cause, errDeadline):
		e := tooLong("its deadline allows")
		e.Code, e.NoRetry = "deadline", true
		return e
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return tooLong("this host allows") // as a Lambda function's time
	default:
		return &openai.Error{Status: statusClientGone, Message: "the client closed the request", Code: "client_gone"}
	}
}

func tooLong(most string) *openai.Error {
	return &openai.Error{
		Status:  http.StatusGatewayTimeout,
		Message: fmt.Sprintf("The request took longer than %s.", most),
		Type:    "server_error",
		Code:    "timeout",
	}
}

// statusClientGone is nginx's status for a client that left before it was
// answered. It is logged, and never seen by anyone.
const statusClientGone = 499

// bodyError is the answer to a body that could not be read.
func (g *Gateway) bodyError(err error) *openai.Error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return openai.TooLarge(g.MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &openai.Error{
			Status:  http.StatusRequestTimeout,
			Message: fmt.Sprintf("The request's body stopped arriving for %s.", g.BodyIdle),
			Type:    "invalid_request_error",
			Code:    "body_timeout",
		}
	default:
		return openai.InvalidRequest("", "The request's body ended early.")
	}
}

// until is the waiting time until t, at least a millisecond; 0 for the zero
// time.
func (g *Gateway) until(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(time.Millisecond, t.Sub(g.Clock.Now()))
}

// readable writes a waiting time for a person.
func readable(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
