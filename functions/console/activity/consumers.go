package activity

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"spillway/shared/usage"
)

const (
	// followed is how many consumers are told apart. A further one takes the place of
	// one that has done little lately.
	followed = 1000
	// newcomers says how often it does where it has done no more itself: with one in so
	// many requests of those that are not followed. Where many thousands take turns a
	// place is not given away with each request.
	newcomers = 32
)

// Usage is what was used since the instance began to count.
type Usage struct {
	Requests   int64 `json:"requests"`
	Limited    int64 `json:"limited"` // 429 to the client
	Errors     int64 `json:"errors"`  // 5xx to the client
	Spilled    int64 `json:"spilled"` // served by a lower priority
	Shadowed   int64 `json:"shadowed,omitempty"`
	Prompt     int64 `json:"promptTokens"`
	Completion int64 `json:"completionTokens"`
}

// ConsumerUsage is what one consumer used.
type ConsumerUsage struct {
	Name string
	Last time.Time // its latest request
	Usage
}

// consumer is one that is followed.
type consumer struct {
	Usage
	last   time.Time
	score  int64 // tokens and requests, halved every scoreHalves
	halved int64 // the period in which score was last right
}

// scoreHalves is the time in which what a consumer did loses half of its weight.
const scoreHalves = 5 * time.Minute

// consumers counts by consumer. It is safe for concurrent use.
type consumers struct {
	mu     sync.Mutex
	byName map[string]*consumer // guarded by mu
	others Usage                // guarded by mu: of those that are not followed, or no more
	passed int                  // guarded by mu: requests of others since the last newcomer
	least  int64                // guarded by mu: the score of who was dropped for that one
}

// add counts a request of a consumer.
func (c *consumers) add(r *usage.Record, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.byName[r.Consumer]
	if one == nil {
		c.passed++
		if len(c.byName) >= followed && c.passed < newcomers && scoreOf(r) <= c.least {
			c.others.add(r)
			return
		}
		c.passed = 0
		one = c.follow(strings.Clone(r.Consumer), now)
	}
	one.Usage.add(r)
	one.last = now
	one.score = one.scoreAt(now) + scoreOf(r)
	one.halved = max(one.halved, halving(now))
}

// follow needs mu.
func (c *consumers) follow(name string, now time.Time) *consumer {
	if c.byName == nil {
		c.byName = make(map[string]*consumer)
	}
	one := new(consumer)
	if len(c.byName) >= followed {
		one = c.drop(now)
	}
	*one = consumer{halved: halving(now)}
	c.byName[name] = one
	return one
}

// drop needs mu. It stops to follow the least active of some that the map's own order
// picks, and returns what was known of it. A few are enough to keep those that matter:
// one that is busy goes only where all of them are busier.
func (c *consumers) drop(now time.Time) *consumer {
	const looked = 4
	var least *consumer
	whose, seen := "", 0
	for name, one := range c.byName {
		if least == nil || one.scoreAt(now) < least.scoreAt(now) {
			whose, least = name, one
		}
		if seen++; seen == looked {
			break
		}
	}
	c.least = least.scoreAt(now)
	c.others.merge(least.Usage)
	delete(c.byName, whose)
	return least
}

// top returns the n most active consumers, how many are followed, and what those used
// that are followed no more.
func (c *consumers) top(n int, now time.Time) (most []ConsumerUsage, all int, others Usage) {
	type ranked struct {
		ConsumerUsage
		score int64
	}
	c.mu.Lock()
	list := make([]ranked, 0, len(c.byName))
	for name, one := range c.byName {
		list = append(list, ranked{ConsumerUsage{name, one.last, one.Usage}, one.scoreAt(now)})
	}
	others = c.others
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.score, a.score), b.Last.Compare(a.Last), strings.Compare(a.Name, b.Name))
	})
	for _, one := range list[:min(n, len(list))] {
		most = append(most, one.ConsumerUsage)
	}
	return most, len(list), others
}

// halving numbers the periods after which scores are halved.
func halving(now time.Time) int64 { return now.Unix() / int64(scoreHalves/time.Second) }

// scoreOf is what a request adds to a score.
func scoreOf(r *usage.Record) int64 { return r.Tokens.Total() + 1 }

func (c *consumer) scoreAt(now time.Time) int64 {
	return c.score >> min(max(halving(now)-c.halved, 0), 63)
}

func (u *Usage) add(r *usage.Record) {
	u.Requests++
	u.Prompt += r.Tokens.Prompt
	u.Completion += r.Tokens.Completion
	switch {
	case r.Status == http.StatusTooManyRequests:
		u.Limited++
	case r.Status >= http.StatusInternalServerError:
		u.Errors++
	}
	if r.Spillover != "" {
		u.Spilled++
	}
	if r.Shadowed != "" {
		u.Shadowed++
	}
}

func (u *Usage) merge(more Usage) {
	u.Requests += more.Requests
	u.Limited += more.Limited
	u.Errors += more.Errors
	u.Spilled += more.Spilled
	u.Shadowed += more.Shadowed
	u.Prompt += more.Prompt
	u.Completion += more.Completion
}
