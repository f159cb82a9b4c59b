// Package usage says what one request was and what it took: the usage record.
// Every admitted request makes exactly one record, whichever way it ended.
package usage

import "time"

// Tokens are the tokens of one request by kind. Cached tokens are part of
// Prompt, reasoning tokens part of Completion, as in the OpenAI API.
type Tokens struct {
	Prompt     int64
	Cached     int64
	Completion int64
	Reasoning  int64
}

// Total is what a limit is charged with: prompt and completion.
func (t Tokens) Total() int64 { return t.Prompt + t.Completion }

// Attempt is one try on one deployment, with the reason it ended for.
type Attempt struct {
	Deployment string
	Status     int    // HTTP status of the backend, 0 if it never answered
	Reason     string // "ok", or why the request went elsewhere
	Duration   time.Duration
	// Prompt is the tokens that the backend has read for nothing: it had the request,
	// and failed. They are no part of what the request used, and may be billed.
	Prompt  int64
	Spilled bool   // of a lower priority
	Region  string // as configured
}

// Record is one request as the ledger and the log see it. It holds no content
// and no credential.
type Record struct {
	Start      time.Time
	RequestID  string
	TraceID    string // of the caller's traceparent, empty if there was none
	BackendID  string // apim-request-id or x-request-id of the backend's answer
	Consumer   string
	Credential string // which of the consumer's: the key's label, or the application's id
	Tags       string // as ParseTags returns them
	Operation  string
	Model      string // as the client asked for it
	Pool       string
	Backend    string // who served, or was at work when the request was called off; empty if nobody was
	Deployment string
	Region     string // where Backend is: as configured, else as its answer said
	Stream     bool
	Status     int    // status sent to the client; 499 if it had left
	Refused    string // why no backend's answer was given: the error's code; else empty
	Shadowed   string // the code of the limit that would have refused, had it been in force
	Spillover  string // why a lower priority served; empty if none did

	Estimated int64 // tokens reserved for the consumer before sending
	Tokens    Tokens
	Measured  bool    // Tokens were reported by the backend; else counted here
	Cost      float64 // of Tokens, by Price.Cost: a whole number of Nanos

	Attempts  []Attempt
	Waited    time.Duration // held for capacity before the first attempt
	FirstByte time.Duration // from arrival to the first byte to the client
	Duration  time.Duration
}

// Served tells whether the client was given a backend's answer.
func (r *Record) Served() bool { return r.Backend != "" && r.Refused == "" }
