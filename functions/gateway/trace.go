package gateway

import "net/http"

// Span is a request that is traced. It belongs to the request's goroutine, and reads
// the record that Options.Trace was given.
type Span interface {
	// Attempt begins an attempt, and puts its traceparent into the headers that are
	// to be sent. It ends the attempt before, which is the record's last by then.
	Attempt(header http.Header)
	// End ends the request. The record is complete.
	End()
}
