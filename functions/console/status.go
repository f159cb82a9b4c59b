package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"spillway/functions/console/activity"
	"spillway/shared/openai"
)

// status answers GET /spillway/status?since=: how this instance and what it shares
// with others stand. Since, in seconds since 1970, leaves out history and events
// before it.
func (c *Console) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	since, ok := parseSince(r.URL.RawQuery)
	if !ok {
		openai.InvalidRequest("since", "Since is a time in whole seconds since 1970, and the only parameter. Leave it out to get the whole hour.").Write(w)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(c.Status(since)) // the client has left; nobody is there to be told
}

// parseSince reads the query of a request for the status. None is 1970.
func parseSince(raw string) (since time.Time, ok bool) {
	if raw == "" {
		return time.Unix(0, 0), true
	}
	values, err := url.ParseQuery(raw)
	if err != nil || len(values) != 1 || len(values["since"]) != 1 {
		return time.Time{}, false
	}
	const latest = 1 << 40 // far beyond any clock, and far from an overflow
	seconds, err := strconv.ParseInt(values.Get("since"), 10, 64)
	if err != nil || seconds < 0 || seconds > latest {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}

// View says whose state a Status is.
const View = "Totals, counts, percentiles, consumers' use, history and events are this instance's own, since it started. " +
	"Breakers, throttles and limits are those that all instances share, as this one last saw them."

// Status is the state of one instance, and of what it shares as it sees that.
type Status struct {
	View      string    `json:"view"`
	Version   string    `json:"version"`
	Instance  string    `json:"instance"`
	Now       time.Time `json:"now"`
	Started   time.Time `json:"started"`
	Instances int64     `json:"instances"` // that share its limits, as far as it can tell

	Store       Store            `json:"store"`
	Totals      Totals           `json:"totals"`
	Pools       []Pool           `json:"pools"`
	Deployments []Deployment     `json:"deployments"`
	Consumers   Consumers        `json:"consumers"`
	Events      []activity.Event `json:"events"`
	History     activity.History `json:"history"`
}

// Store is the shared state as this instance finds it.
type Store struct {
	Kind     string `json:"kind"`
	Degraded bool   `json:"degraded"` // it does not answer: this instance decides alone
	// Message says what that means; empty while it answers.
	Message string `json:"message,omitempty"`
}

// Pool is who can serve a model.
type Pool struct {
	Name     string   `json:"name"`
	Model    string   `json:"model"`
	Strategy string   `json:"strategy"`
	Members  []Member `json:"members"`
}

// Member is a deployment's place in a pool.
type Member struct {
	Deployment string `json:"deployment"`
	Priority   int    `json:"priority"`
	Weight     int    `json:"weight"`
}

// Deployment is the state of a deployment as this instance sees it. A limit
// that is not configured is absent.
type Deployment struct {
	ID             string     `json:"id"`
	Backend        string     `json:"backend"`
	Region         string     `json:"region,omitempty"`
	Breaker        string     `json:"breaker"`
	OpenUntil      *time.Time `json:"openUntil,omitempty"`
	ThrottledUntil *time.Time `json:"throttledUntil,omitempty"`
	InFlight       int64      `json:"inFlight"`
	FirstByteMs    float64    `json:"firstByteMs"` // the average that the strategy leastLatency goes by
	Tokens         *Limit     `json:"tokens,omitempty"`
	Requests       *Limit     `json:"requests,omitempty"`
	// Fill is the share of the token limit that the present window has used up; of the
	// request limit where there is no other; null without either.
	Fill activity.Share `json:"fill"`
	// Share is its part of all requests that deployments served.
	Share  float64         `json:"share"`
	Counts activity.Counts `json:"counts"`
	// Latency and TimeToFirstByte are of the last five to six minutes, in milliseconds.
	Latency         activity.Percentiles `json:"latency"`
	TimeToFirstByte activity.Percentiles `json:"timeToFirstByte"`
}

// Limit is a limit and what is left of it in the current window.
type Limit struct {
	Limit     int64     `json:"limit"`
	Remaining int64     `json:"remaining"`
	ResetAt   time.Time `json:"resetAt"`
}

// MaxConsumers is how many consumers a Status shows.
const MaxConsumers = 50

// Consumers are those that called this instance.
type Consumers struct {
	Seen       int        `json:"seen"`       // how many are told apart, at most 1,000
	MostActive []Consumer `json:"mostActive"` // at most MaxConsumers, the most active first
	// Others is what those used that are told apart no more.
	Others activity.Usage `json:"others"`
}

// Consumer is what one consumer used, and may still use.
type Consumer struct {
	Name   string    `json:"name"`
	Last   time.Time `json:"last"`
	Shadow bool      `json:"shadow,omitempty"` // its limits reject nothing
	activity.Usage
	Limits []ConsumerLimit `json:"limits"`
}

// ConsumerLimit is one of a consumer's limits.
type ConsumerLimit struct {
	Name  string `json:"name"`            // tokens/minute, requests/minute, tokens/day, spillover tokens/minute, …
	Model string `json:"model,omitempty"` // empty: it holds for all models together
	Limit
}
