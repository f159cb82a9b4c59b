package azureopenai

import (
	"errors"
	"time"
)

// Account is what one accepted request has used: what the service would bill. It is
// the truth by which accounts of others are judged, request by request, as Stats is in
// sums. A response in the background is accounted for when it is done; requests about
// stored objects, and what batches use, are not.
type Account struct {
	Number     int64     // of the request on this server, from 1
	Arrived    time.Time // when the request was there
	Deployment string
	Body       []byte // of the request; read-only
	Stream     bool

	// Prompt and Completion are the tokens read and generated, an answer that ended
	// early included; Cached and Reasoning are parts of them.
	Prompt, Cached, Completion, Reasoning int64

	// End is EventAccepted while the answer is to come, then how it ended:
	// EventFinished, EventCanceled, EventBroken or, answered with an error status,
	// EventRejected.
	End EventKind
	// Fault is the one that bent or ended the answer; empty: none did.
	Fault FaultKind
}

// account tells what the request has used by now.
func (e *exchange) account(end EventKind) {
	if e.server.options.Account == nil || e.deployment == e.server.resource {
		return
	}
	a := Account{
		Number: e.number, Arrived: e.recorded.Time, Deployment: e.deployment.Name, Body: e.recorded.Body, Stream: e.request.stream,
		Prompt: e.prompt, Cached: e.cached, Completion: e.generated, Reasoning: min(e.generated, e.reasoning()), End: end,
	}
	if e.fault != nil {
		a.Fault = e.fault.Kind
	} else if e.hit != nil {
		a.Fault = e.hit.fault.Kind // a hang that has ended
	}
	e.server.options.Account(a)
}

// endOf is how an accepted request has ended.
func endOf(err error) EventKind {
	var problem *serviceError
	switch {
	case err == nil:
		return EventFinished
	case errors.As(err, &problem):
		return EventRejected
	case errors.Is(err, errCanceled):
		return EventCanceled
	}
	return EventBroken
}
