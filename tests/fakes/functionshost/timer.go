package functionshost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"
)

// envelope is what a function without an HTTP trigger is called with.
type envelope struct {
	Data     map[string]timerValue
	Metadata struct {
		Sys struct{ MethodName, UtcNow, RandGuid string } `json:"sys"`
	}
}

type timerValue struct {
	Schedule       struct{ AdjustForDST bool }
	ScheduleStatus *struct{ Last, Next, LastUpdated time.Time } // null below a minute
	IsPastDue      bool
}

// Trigger calls a function with a timer, as if it were due, and returns what the
// handler wants logged. An answer that the real host would not take is an error,
// and so is one on which it would wait for ever.
func (h *Host) Trigger(ctx context.Context, name string) (logs []string, err error) {
	i := slices.IndexFunc(h.app.functions, func(f *function) bool { return f.name == name && f.timer != nil && h.here(name) })
	if i < 0 {
		return nil, fmt.Errorf("functions host: no function %s with a timer on this instance", name)
	}
	request, err := h.timerRequest(ctx, h.app.functions[i])
	if err != nil {
		return nil, err
	}
	response, err := h.forward.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("functions host: %s: %w", name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("functions host: %s: %w", name, err)
	}
	if logs, err = checkAnswer(response, body); err != nil {
		return nil, fmt.Errorf("functions host: %s: %w: %q", name, err, body)
	}
	return logs, nil
}

func (h *Host) timerRequest(ctx context.Context, f *function) (*http.Request, error) {
	var e envelope
	value := timerValue{}
	value.Schedule.AdjustForDST = true
	e.Data = map[string]timerValue{f.timer.binding: value}
	e.Metadata.Sys.MethodName = f.name
	e.Metadata.Sys.UtcNow = time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z")
	e.Metadata.Sys.RandGuid = rand.Text()
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	// A body of unknown length goes in chunks.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:"+h.port+"/"+f.name, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
	request.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	request.Header.Set("X-Azure-Functions-InvocationId", rand.Text())
	return request, nil
}

func checkAnswer(response *http.Response, body []byte) ([]string, error) {
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, fmt.Errorf("the call has failed with status %d", response.StatusCode)
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || string(trimmed) == "null" {
		return nil, errors.New("the answer is nothing: the real host would wait for ever")
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, fmt.Errorf("the answer is %q, want application/json", response.Header.Get("Content-Type"))
	}
	var answer struct {
		Outputs     map[string]any
		Logs        []string
		ReturnValue any
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		return nil, fmt.Errorf("the answer is not in the host's form: %w", err)
	}
	if answer.Outputs == nil || answer.Logs == nil || len(answer.Outputs) > 0 || answer.ReturnValue != nil {
		return nil, errors.New("the answer has not Outputs and Logs alone: the function has no bindings for more")
	}
	return answer.Logs, nil
}

// runTimers calls what is due, one call of a function at a time.
func (h *Host) runTimers(ctx context.Context) {
	for {
		next := time.Now().Truncate(time.Second).Add(time.Second)
		select {
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
			return
		}
		for _, f := range h.app.functions {
			if f.timer == nil || !h.here(f.name) || !f.timer.schedule.due(next) {
				continue
			}
			logs, err := h.Trigger(ctx, f.name)
			for _, text := range logs {
				h.say(Line{Level: "Information", Text: text, Function: f.name})
			}
			if err != nil && ctx.Err() == nil {
				h.say(Line{Level: "Error", Text: err.Error(), Function: f.name})
			}
		}
	}
}
