package gateway

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/lease"
	"spillway/shared/pool"
	"spillway/shared/quota"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// Accounting says how a deployment's token limit is charged.
type Accounting uint8

const (
	// Actual settles the reservation to the tokens that were really used.
	Actual Accounting = iota
	// Azure charges what Azure's own limiter charges when the request
	// arrives, and never refunds: ⌈characters ÷ 4⌉ plus the maximum output.
	Azure
)

// Deployment is a model on a backend: the unit of limits, throttles and
// breakers. Every pool that has it as a member shares this one value.
type Deployment struct {
	// ID names the deployment in logs and in shared state.
	ID         string
	Backend    *upstream.Backend
	Name       string // the deployment's name on the backend
	Accounting Accounting
	SpillBelow int64        // fewer tokens left than this: prefer another member
	Tokens     *lease.Limit // nil: no token limit
	Requests   *lease.Limit // nil: no request limit
	Breaker    *breaker.Deployment
	Latency    *pool.Latency

	inFlight             atomic.Int64
	refusesStreamOptions atomic.Bool // learned from its answers
}

// InFlight is the number of requests that the deployment is answering now.
func (d *Deployment) InFlight() int64 { return d.inFlight.Load() }

// Member is a deployment's place in a pool.
type Member struct {
	*Deployment
	Priority int // lower is tried first
	Weight   int
}

// Pool is who can serve a model, and how to choose among them. Make it with NewPool.
type Pool struct {
	Name      string
	Model     string
	Strategy  pool.Strategy
	Members   []Member
	Fallbacks []string      // models to try when no member has room, in order
	MaxWait   time.Duration // how long a request may be held for capacity
	Price     usage.Price

	first  int         // the priority whose members are not spillover
	best   []int       // those members, by their place in Members
	shares pool.Shares // of best
}

// NewPool returns the Pool of which the exported fields are those of p. There must be
// members.
func NewPool(p Pool) *Pool {
	p.first = slices.MinFunc(p.Members, func(a, b Member) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	var weights []int
	p.best = nil
	for i, m := range p.Members {
		if m.Priority == p.first {
			p.best = append(p.best, i)
			weights = append(weights, m.Weight)
		}
	}
	p.shares = pool.NewShares(weights)
	return &p
}

// Limit is one limit of a consumer.
type Limit struct {
	*lease.Limit
	// Model is the only one that it is for; empty: all of them.
	Model string
	// Period is that of the limit's windows.
	Period quota.Period
	// Requests: the limit counts requests; else it counts tokens.
	Requests bool

	mark mark
}

// Name says what is limited: tokens/minute, requests/minute, tokens/month and the like.
func (l *Limit) Name() string {
	if l.Requests {
		return "requests/" + l.Period.String()
	}
	return "tokens/" + l.Period.String()
}

// title names the limit for people.
func (l *Limit) title() string { return strings.TrimPrefix(l.Model+" "+l.Name(), " ") }

// budget tells whether it is a quota, for an hour or longer. Spending it is not worth a
// retry.
func (l *Limit) budget() bool { return l.Period != quota.Minute }

// Consumer is a calling application: what it may call, and how much. Make it with
// NewConsumer.
//
// There may be hundreds of thousands, each calling now and then, so that a request waits
// for the memory of its consumer. What every request needs comes first.
type Consumer struct {
	Name string
	// Limits hold for all models together.
	Limits []Limit
	// Pools are the pools of the models that it may call, by model.
	Pools map[string]*Pool
	// ModelLimits are, by model, those that hold for it alone.
	ModelLimits map[string][]Limit
	// Weights say what a token counts against the limits; nil: each counts one.
	Weights *Weights

	few [3]Limit // the memory of Limits, where it suffices

	// Spillover caps the tokens that lower priorities may serve; nil: no cap.
	Spillover *lease.Limit
	// NoSpillover keeps the consumer on the first priority of each pool.
	NoSpillover bool
	// Shadow: the limits are counted and reported, and reject nothing.
	Shadow bool
	// MayChooseBackend allows the headers that choose or exclude backends.
	MayChooseBackend bool
	// Tags are the names that it may tag its requests with.
	Tags []string
	// Files is the backend that keeps its files and batches; nil: there is none.
	Files *upstream.Backend
}

// NewConsumer returns a Consumer of that name that may call nothing. Its limits are to be
// appended.
func NewConsumer(name string) *Consumer {
	c := &Consumer{Name: name}
	c.Limits = c.few[:0]
	return c
}

// Caller is the consumer that sent a request.
type Caller struct {
	*Consumer
	// Credential names what it showed: the beginning of its key's hash, or the
	// id of its application. Empty if it showed nothing.
	Credential string
}

// Weights are what one token of a kind counts against a consumer's limits.
// Tokens of the other kinds count one.
type Weights struct {
	CachedInput float64 // 0 to 1
	Reasoning   float64 // 0 to 10
}

// limits appends those that a request for the model must meet.
func (c *Consumer) limits(to []*Limit, model string) []*Limit {
	for _, limits := range [...][]Limit{c.Limits, c.ModelLimits[model]} {
		for i := range limits {
			to = append(to, &limits[i])
		}
	}
	return to
}

// charge is what used tokens count against the consumer's limits, rounded up.
func (c *Consumer) charge(used usage.Tokens) int64 {
	if c.Weights == nil {
		return used.Total()
	}
	cached, reasoning := min(used.Cached, used.Prompt), min(used.Reasoning, used.Completion)
	weighted := float64(cached)*c.Weights.CachedInput + float64(reasoning)*c.Weights.Reasoning
	return used.Total() - cached - reasoning + int64(math.Ceil(weighted))
}

// possibleOutput is the most that an output of so many tokens may count.
func (c *Consumer) possibleOutput(tokens int64) int64 {
	if c.Weights == nil || c.Weights.Reasoning <= 1 {
		return tokens
	}
	return int64(math.Ceil(float64(tokens) * c.Weights.Reasoning))
}
