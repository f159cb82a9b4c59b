package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/rs/zerolog"

	"spillway/functions/maintenance"
	"spillway/shared/telemetry"
)

// function answers the events that Lambda calls it with. It is safe for concurrent
// use: managed instances run several calls at once.
type function struct {
	handler  http.Handler
	maintain func(context.Context) done
	settle   func(context.Context) // nil: nothing goes on after an answer
	log      zerolog.Logger
}

// event is what the two kinds of events look like, in one: a request to a Function
// URL (https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html), and what
// EventBridge sends when a schedule is due.
type event struct {
	events.LambdaFunctionURLRequest
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
}

func (e *event) isRequest() bool {
	return e.Version == "2.0" && e.RequestContext.HTTP.Method != ""
}

func (e *event) isSchedule() bool {
	return e.DetailType == "Scheduled Event" && (e.Source == "aws.events" || e.Source == "aws.scheduler")
}

// handle answers one event: a request by a stream, a schedule by what was done. Any
// other is an error, which names the event's keys and shows no value of it.
func (f *function) handle(ctx context.Context, payload json.RawMessage) (any, error) {
	e := new(event)
	err := json.Unmarshal(payload, e)
	switch {
	case err == nil && e.isRequest():
		return f.answer(ctx, &e.LambdaFunctionURLRequest)
	case err == nil && e.isSchedule():
		return f.runMaintenance(ctx)
	default:
		return nil, unknownEvent(payload)
	}
}

// done is what a run of the maintenance has done.
type done struct {
	Rolled   int      `json:"rolled"`
	Probed   int      `json:"probed"`
	Ready    int      `json:"ready"`
	Folded   int      `json:"folded"`
	Swept    int      `json:"swept"`
	Expired  int      `json:"expired"`
	Took     float64  `json:"tookMs"`
	Problems []string `json:"problems,omitempty"`
}

func doneBy(r maintenance.Report) done {
	d := done{
		Rolled: r.Rolled, Probed: r.Probed, Ready: r.Ready, Folded: r.Folded, Swept: r.Swept, Expired: r.Expired,
		Took: float64(r.Took.Microseconds()) / 1000,
	}
	if r.Err != nil {
		d.Problems = strings.Split(r.Err.Error(), "\n")
	}
	return d
}

// runMaintenance does one run. One that could not do all is no failed call: Lambda
// would only repeat it, and the next run comes by itself.
func (f *function) runMaintenance(ctx context.Context) (d done, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			f.panicked(fault)
			err = messages.InvokeResponse_Error{Type: "Gateway.Panic", Message: "the run has failed"}
		}
	}()
	ctx, cancel := ahead(ctx)
	defer cancel()
	return f.maintain(ctx), nil
}

func (f *function) panicked(fault any) {
	f.log.Error().
		Str(telemetry.KeyEvent, "panic").
		Str(telemetry.KeyReason, fmt.Sprint(fault)).
		Bytes(telemetry.KeyStack, debug.Stack()).
		Msg("panic")
}

// lastWords is the time before the call's deadline that is left for an honest
// answer: Lambda ends a process that is late, and with it all that it holds.
const lastWords = time.Second

// ahead is ctx with its deadline a little earlier: by lastWords, or by a tenth of
// what is left if that is less.
func ahead(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(lastWords, time.Until(deadline)/10)))
}

// unknownEvent names the keys of an event that is none of the two. What stands in it
// may be a secret.
func unknownEvent(payload []byte) error {
	return messages.InvokeResponse_Error{
		Type:    "Gateway.UnknownEvent",
		Message: "neither a request to a Function URL nor a schedule's event, but " + shape(payload),
	}
}

// The most of an event's keys that an error names, and of one key in bytes.
const (
	maxKeys = 20
	maxKey  = 40
)

// shape tells the keys of a JSON object, or that it is none.
func shape(payload []byte) string {
	var object map[string]json.RawMessage
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) || json.Unmarshal(payload, &object) != nil {
		return "no JSON object"
	}
	if len(object) == 0 {
		return "an object without keys"
	}
	keys := slices.Sorted(maps.Keys(object))
	more := ""
	if len(keys) > maxKeys {
		more = fmt.Sprintf(" and %d more", len(keys)-maxKeys)
		keys = keys[:maxKeys]
	}
	for i, key := range keys {
		if len(key) > maxKey {
			key = strings.ToValidUTF8(key[:maxKey], "") + "…"
		}
		keys[i] = fmt.Sprintf("%q", key)
	}
	return "an object with the keys " + strings.Join(keys, ", ") + more
}
