package azureopenai

import (
	"encoding/json"
	"strings"
	"time"
)

// storedBatch is a batch that the resource keeps. It is guarded by store.mu.
type storedBatch struct {
	batchObject
	job
	work *exchange // the request that made it; never changed
}

type batchObject struct {
	ID               string          `json:"id"`
	Object           string          `json:"object"`
	Endpoint         string          `json:"endpoint"`
	Model            string          `json:"model,omitempty"`
	Errors           *batchErrors    `json:"errors"`
	InputFileID      string          `json:"input_file_id"`
	CompletionWindow string          `json:"completion_window"`
	Status           string          `json:"status"`
	OutputFileID     *string         `json:"output_file_id"`
	ErrorFileID      *string         `json:"error_file_id"`
	CreatedAt        int64           `json:"created_at"`
	InProgressAt     *int64          `json:"in_progress_at"`
	ExpiresAt        int64           `json:"expires_at"`
	FinalizingAt     *int64          `json:"finalizing_at"`
	CompletedAt      *int64          `json:"completed_at"`
	FailedAt         *int64          `json:"failed_at"`
	ExpiredAt        *int64          `json:"expired_at"`
	CancellingAt     *int64          `json:"cancelling_at"`
	CancelledAt      *int64          `json:"cancelled_at"`
	RequestCounts    batchCounts     `json:"request_counts"`
	Usage            *responseUsage  `json:"usage,omitempty"`
	Metadata         json.RawMessage `json:"metadata"`
}

type batchCounts struct {
	Total     int64 `json:"total"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
}

type batchErrors struct {
	Object string       `json:"object"`
	Data   []batchError `json:"data"`
}

type batchError struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
	Line    *int64  `json:"line"`
}

// The states that only a batch has.
const (
	statusValidating = "validating"
	statusFinalizing = "finalizing"
	statusCancelling = "cancelling"
)

var batchEndpoints = []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/chat/completions"}

// batchWindow is the time that every batch is given.
const batchWindow = 24 * time.Hour

func (r *request) parseBatch(f fields) *serviceError {
	b := &batchObject{Object: "batch", Status: statusValidating, Metadata: f.orElse("metadata", "null")}
	members := []struct {
		name   string
		into   *string
		values []string
	}{{"input_file_id", &b.InputFileID, nil}, {"endpoint", &b.Endpoint, batchEndpoints}, {"completion_window", &b.CompletionWindow, []string{"24h"}}}
	for _, m := range members {
		if !f.has(m.name) {
			return missing(m.name)
		}
		var problem *serviceError
		if *m.into, problem = f.text(m.name, m.values...); problem != nil {
			return problem
		}
	}
	r.batch = b
	return nil
}

// createBatch begins a batch on a file that was uploaded for it.
func (e *exchange) createBatch() error {
	s, object := e.server, *e.request.batch
	object.ID = "batch_" + e.dice.uuid()
	object.CreatedAt = s.today().Unix()
	object.ExpiresAt = object.CreatedAt + int64(batchWindow.Seconds())
	s.store.mu.Lock()
	file, ok := s.store.files.get(object.InputFileID)
	if ok && file.Purpose == "batch" {
		work := *e
		work.dice = newDice(s.options.Seed, []byte(object.ID), 0) // The answer goes on with its own.
		b := &storedBatch{batchObject: object, work: &work}
		s.store.batches.put(object.ID, b, s.options.Kept)
		s.start(&b.job, b, s.options.Batches)
	}
	s.store.mu.Unlock()
	switch {
	case !ok:
		return invalid("input_file_id", "", "Invalid 'input_file_id': no file with id '%s' was found.", object.InputFileID)
	case file.Purpose != "batch":
		return invalid("input_file_id", "", "Invalid 'input_file_id': the file's purpose is '%s', but must be 'batch'.", file.Purpose)
	}
	return e.writeBody(object)
}

func (b *storedBatch) ended() bool {
	switch b.Status {
	case statusCompleted, statusFailed, statusCancelled:
		return true
	}
	return false
}

// stamp is the time that a state began, for its member.
func (b *storedBatch) stamp(s *Server, at time.Time) *int64 {
	if !s.options.Dated.IsZero() {
		at = s.options.Dated
	}
	unix := at.Unix()
	return &unix
}

// step takes a batch to its next state.
func (b *storedBatch) step(s *Server, now time.Time) (time.Duration, bool) {
	stamp := b.stamp(s, now)
	switch b.Status {
	case statusValidating:
		if b.validate(s) {
			b.Status, b.InProgressAt = statusInProgress, stamp
			return s.options.Batches.Running, true
		}
		b.Status, b.FailedAt = statusFailed, stamp
		return 0, false
	case statusInProgress:
		b.Status, b.FinalizingAt = statusFinalizing, stamp
		return 0, true
	case statusFinalizing:
		b.run(s)
		b.Status, b.CompletedAt = statusCompleted, stamp
	case statusCancelling:
		b.Status, b.CancelledAt = statusCancelled, stamp
	}
	return 0, false
}

// batch returns the batch that the path names, in the state it has by now.
func (e *exchange) batch() (*storedBatch, *serviceError) {
	s := e.server
	s.store.mu.Lock()
	b, ok := s.store.batches.get(e.route.id)
	s.store.mu.Unlock()
	if !ok {
		return nil, noSuch(e.route.dialect, "Batch", e.route.id)
	}
	s.catchUp(&b.job, b)
	return b, nil
}

func (e *exchange) getBatch() error {
	b, problem := e.batch()
	if problem != nil {
		return problem
	}
	e.server.store.mu.Lock()
	object := b.batchObject
	e.server.store.mu.Unlock()
	return e.writeBody(object)
}

func (e *exchange) listBatches() error {
	s := e.server
	s.store.mu.Lock()
	batches := s.store.batches.all()
	s.store.mu.Unlock()
	var all []listed
	for _, b := range batches {
		s.catchUp(&b.job, b)
		s.store.mu.Lock()
		all = append(all, listed{b.ID, b.batchObject})
		s.store.mu.Unlock()
	}
	page, problem := listPage(all, e.route.query, 20, 100, "desc")
	if problem != nil {
		return problem
	}
	return e.writeBody(page)
}

// cancelBatch begins to end a batch; the next step has ended it.
func (e *exchange) cancelBatch() error {
	b, problem := e.batch()
	if problem != nil {
		return problem
	}
	s := e.server
	s.store.mu.Lock()
	if b.ended() {
		s.store.mu.Unlock()
		return &serviceError{status: 409, typ: "invalid_request_error", message: "Cannot cancel a batch with status '" + b.Status + "'."}
	}
	if b.Status != statusCancelling {
		b.stop()
		b.Status, b.CancellingAt = statusCancelling, b.stamp(s, time.Now())
		if !b.pace.Manual {
			s.schedule(&b.job, b, time.Now())
		}
	}
	object := b.batchObject
	s.store.mu.Unlock()
	return e.writeBody(object)
}

// batchURL is a batch's endpoint as the end of a path.
func batchURL(url string) string {
	return strings.TrimPrefix(strings.TrimPrefix(url, "/v1"), "/")
}
