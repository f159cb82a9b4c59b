package maintenance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
)

// functionName is the name of the function of the timer, which is its folder's.
const functionName = "maintenance"

// maxTimerCall bounds the body of a call in bytes. One is about 400 bytes.
const maxTimerCall = 64 << 10

// Timer is the handler of an Azure Functions host's timer trigger, which calls a
// custom handler by POST /<function name> with the values of the bindings in an
// envelope (https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers).
// It is safe for concurrent use.
type Timer struct {
	run   func(context.Context) Report
	fault func(fault any, stack []byte)
}

// NewTimer returns the handler that does one run per call. A panic of run is
// given to fault and fails the call.
func NewTimer(run func(context.Context) Report, fault func(fault any, stack []byte)) *Timer {
	return &Timer{run: run, fault: fault}
}

// Takes tells whether a request is a call of the timer. Users' requests are not:
// the host forwards those under the routes of its HTTP functions alone, and always
// with X-Forwarded headers, which it does not send with calls of its own.
func (t *Timer) Takes(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/"+functionName && !forwarded(r.Header)
}

func forwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// ServeHTTP does a run and answers when it is done. A body of any other form than
// the host's is answered with 400. A run that could not do all is no failure of the
// call: the host has nothing better to do than to call again.
func (t *Timer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			t.fault(fault, debug.Stack())
			http.Error(w, "the run has failed", http.StatusInternalServerError)
		}
	}()
	if err := checkTimerCall(r); err != nil {
		http.Error(w, "not a timer's call: "+err.Error(), http.StatusBadRequest)
		return
	}
	report := t.run(r.Context())
	// The host takes no other type, and never ends a call that has no answer in it.
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(timerAnswer{Logs: report.Lines()}) // the host has left: the next call comes by itself
}

// timerAnswer is the host's form of an answer. What is in Logs it writes to the
// log of the call.
type timerAnswer struct {
	Outputs     struct{}
	Logs        []string
	ReturnValue *struct{}
}

func checkTimerCall(r *http.Request) error {
	if r.URL.RawQuery != "" {
		return errors.New("it has a query")
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return errors.New("its Content-Type is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxTimerCall+1))
	if err != nil {
		return errors.New("its body cannot be read")
	}
	return checkTimerBody(body)
}

// checkTimerBody checks the host's envelope: the value of one binding, which is a
// timer's, and the name of the function. What else newer hosts may add is theirs.
func checkTimerBody(body []byte) error {
	if len(body) > maxTimerCall {
		return fmt.Errorf("its body has more than %d bytes", maxTimerCall)
	}
	var envelope struct {
		Data map[string]struct {
			IsPastDue *bool
		}
		Metadata struct {
			Sys struct {
				MethodName string
			}
		}
	}
	if json.Unmarshal(body, &envelope) != nil {
		return errors.New("its body is not the envelope of a timer")
	}
	if len(envelope.Data) != 1 {
		return fmt.Errorf("its Data has %d values, want the timer's alone", len(envelope.Data))
	}
	for _, timer := range envelope.Data {
		if timer.IsPastDue == nil {
			return errors.New("its Data has no timer's value")
		}
	}
	if !strings.EqualFold(envelope.Metadata.Sys.MethodName, functionName) {
		return errors.New("its Metadata names another function")
	}
	return nil
}

var _ http.Handler = (*Timer)(nil)
