package usage

import (
	"cmp"
	"math"
	"net/http"
	"strings"
	"time"
)

// Dimensions are what usage is told apart by. They are comparable.
type Dimensions struct {
	Consumer string
	// Model is as the client asked for it; empty where it was refused before it was
	// known that there is such a model.
	Model string
	// Deployment, Backend and Region are empty where no backend served.
	Deployment string
	Backend    string
	Region     string
	// Spilled: a lower priority served.
	Spilled bool
	// Status is the class of the status that the client got: 2xx, 4xx, 429, 499 (the
	// client left) or 5xx.
	Status string
	// Tags are those that the client wrote on its requests, as ParseTags returns them.
	Tags string
}

// Counts are sums over requests. Cached tokens are part of Prompt, reasoning
// tokens part of Completion.
type Counts struct {
	Requests   int64
	Errors     int64 // of them: those with a status of 400 or more
	Prompt     int64
	Cached     int64
	Completion int64
	Reasoning  int64
	Shadowed   int64 // requests that a limit would have refused, had it been in force
	Cost       int64 // in 1/Nano of the currency
}

// Entry is what was used in one hour.
type Entry struct {
	Hour time.Time // its beginning, in UTC
	Dimensions
	Counts
}

// The classes of a status.
const (
	statusGood    = "2xx"
	statusClient  = "4xx"
	statusLimited = "429"
	statusGone    = "499"
	statusServer  = "5xx"
)

// statusClientGone is the status of a request whose client left before its answer.
const statusClientGone = 499

// DimensionsOf are the dimensions of a request.
func DimensionsOf(r *Record) Dimensions {
	d := Dimensions{
		Consumer: r.Consumer, Model: r.Model, Deployment: r.Deployment, Backend: r.Backend, Region: r.Region,
		Spilled: r.Spillover != "", Status: statusClass(r.Status), Tags: r.Tags,
	}
	if r.Pool == "" && r.Backend == "" {
		d.Model = "" // whatever the client wrote: no pool was found for it
	}
	return d
}

// DimensionsOfAttempt are the dimensions of what a backend has read for an attempt
// that failed.
func DimensionsOfAttempt(r *Record, a *Attempt) Dimensions {
	backend, deployment, _ := strings.Cut(a.Deployment, "/")
	return Dimensions{
		Consumer: r.Consumer, Model: r.Model, Deployment: deployment, Backend: backend, Region: a.Region,
		Spilled: a.Spilled, Status: statusServer, Tags: r.Tags,
	}
}

func statusClass(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return statusLimited
	case status == statusClientGone:
		return statusGone
	case status >= http.StatusInternalServerError, status < http.StatusOK:
		return statusServer
	case status >= http.StatusBadRequest:
		return statusClient
	default:
		return statusGood
	}
}

// CountsOf is what one request adds.
func CountsOf(r *Record) Counts {
	c := Counts{
		Requests: 1, Cost: NanosOf(r.Cost),
		Prompt: max(r.Tokens.Prompt, 0), Cached: max(r.Tokens.Cached, 0),
		Completion: max(r.Tokens.Completion, 0), Reasoning: max(r.Tokens.Reasoning, 0),
	}
	if statusClass(r.Status) != statusGood {
		c.Errors = 1
	}
	if r.Shadowed != "" {
		c.Shadowed = 1
	}
	return c
}

// Add adds counts that are not negative. A sum beyond the largest int64 stays
// there.
func (c *Counts) Add(more Counts) {
	c.Requests = sum(c.Requests, more.Requests)
	c.Errors = sum(c.Errors, more.Errors)
	c.Prompt = sum(c.Prompt, more.Prompt)
	c.Cached = sum(c.Cached, more.Cached)
	c.Completion = sum(c.Completion, more.Completion)
	c.Reasoning = sum(c.Reasoning, more.Reasoning)
	c.Shadowed = sum(c.Shadowed, more.Shadowed)
	c.Cost = sum(c.Cost, more.Cost)
}

func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Beyond is what c counts more than part, and nothing where it counts less.
func (c Counts) Beyond(part Counts) Counts {
	return Counts{
		Requests: max(c.Requests-part.Requests, 0), Errors: max(c.Errors-part.Errors, 0),
		Prompt: max(c.Prompt-part.Prompt, 0), Cached: max(c.Cached-part.Cached, 0),
		Completion: max(c.Completion-part.Completion, 0), Reasoning: max(c.Reasoning-part.Reasoning, 0),
		Shadowed: max(c.Shadowed-part.Shadowed, 0), Cost: max(c.Cost-part.Cost, 0),
	}
}

// Compare orders dimensions by their names, field by field.
func (d Dimensions) Compare(other Dimensions) int {
	return cmp.Or(
		strings.Compare(d.Consumer, other.Consumer),
		strings.Compare(d.Model, other.Model),
		strings.Compare(d.Deployment, other.Deployment),
		strings.Compare(d.Backend, other.Backend),
		strings.Compare(d.Region, other.Region),
		strings.Compare(spilledText(d.Spilled), spilledText(other.Spilled)),
		strings.Compare(d.Status, other.Status),
		strings.Compare(d.Tags, other.Tags),
	)
}

func spilledText(spilled bool) string {
	if spilled {
		return "yes"
	}
	return "no"
}
