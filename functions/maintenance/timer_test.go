package maintenance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/functions/maintenance"
)

// call is what a Functions host sends when the timer is due.
const call = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},` +
	`"Metadata":{"sys":{"MethodName":"maintenance","UtcNow":"2026-11-22T07:00:00.0000000Z","RandGuid":"6b1ad3ee-9c3f-4a5e-8e6b-0c2ea1b6d0a1"}}}`

func timerRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/maintenance", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Azure-Functions-Host/4.1041.200.0")
	r.Header.Set("X-Azure-Functions-InvocationId", "0d4b7a43-6f62-4b7e-9b0f-3c1f8b8c1e55")
	return r
}

// timed is a timer that counts its runs.
type timed struct {
	*maintenance.Timer
	runs, faults int
}

func newTimed(run func(context.Context) maintenance.Report) *timed {
	t := new(timed)
	t.Timer = maintenance.NewTimer(func(ctx context.Context) maintenance.Report {
		t.runs++
		return run(ctx)
	}, func(any, []byte) { t.faults++ })
	return t
}

func idle(context.Context) maintenance.Report { return maintenance.Report{Took: time.Millisecond} }

// The answer is the host's form, byte for byte, and tells what was done, whether
// the run could do all or not.
func TestTimerAnswersInTheHostsForm(t *testing.T) {
	tests := []struct {
		name   string
		report maintenance.Report
		want   string
	}{
		{"a run", maintenance.Report{Rolled: 2, Probed: 3, Ready: 1, Expired: 4, Took: 12 * time.Millisecond},
			`{"Outputs":{},"Logs":["maintenance: 2 rows rolled, 1 of 3 probed deployments ready, 0 hours folded, 0 idle rows swept, 4 expired objects removed, in 12ms"],"ReturnValue":null}`},
		{"a run that could not do all", maintenance.Report{Err: errors.Join(errors.New("roll: no store"), errors.New("sweep: no store"))},
			`{"Outputs":{},"Logs":["maintenance: 0 rows rolled, 0 of 0 probed deployments ready, 0 hours folded, 0 idle rows swept, 0 expired objects removed, in 0s","roll: no store","sweep: no store"],"ReturnValue":null}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			timer := newTimed(func(context.Context) maintenance.Report { return test.report })
			w := httptest.NewRecorder()
			timer.ServeHTTP(w, timerRequest(call))
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || strings.TrimSpace(w.Body.String()) != test.want {
				t.Errorf("%d %s: %s\nwant %s", w.Code, w.Header().Get("Content-Type"), w.Body, test.want)
			}
			if timer.runs != 1 {
				t.Errorf("%d runs, want 1", timer.runs)
			}
		})
	}
}

// The run is called off when the host is.
func TestTimerRunEndsWithItsCall(t *testing.T) {
	timer := newTimed(func(ctx context.Context) maintenance.Report { return maintenance.Report{Err: ctx.Err()} })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	timer.ServeHTTP(w, timerRequest(call).WithContext(ctx))
	if !strings.Contains(w.Body.String(), context.Canceled.Error()) {
		t.Errorf("the run did not see the end of its call: %s", w.Body)
	}
}

// A panic fails the call. The process, and the next call, go on.
func TestTimerSurvivesAPanic(t *testing.T) {
	broken := true
	timer := newTimed(func(context.Context) maintenance.Report {
		if broken {
			panic("a bug")
		}
		return maintenance.Report{}
	})
	for _, want := range []int{http.StatusInternalServerError, http.StatusOK} {
		w := httptest.NewRecorder()
		timer.ServeHTTP(w, timerRequest(call))
		if w.Code != want || strings.Contains(w.Body.String(), "a bug") {
			t.Errorf("%d: %s, want %d", w.Code, w.Body, want)
		}
		broken = false
	}
	if timer.faults != 1 {
		t.Errorf("%d faults were told, want 1", timer.faults)
	}
}

// Only what the host itself sends is a call of the timer.
func TestTimerTakesTheHostsCallsAlone(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *http.Request)
		want   bool
	}{
		{"the host's", func(*http.Request) {}, true},
		{"through the host's proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, false},
		{"with one trace of a proxy", func(r *http.Request) { r.Header.Set("x-forwarded-proto", "https") }, false},
		{"with an empty trace of a proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "") }, false},
		{"with the standard's trace of a proxy", func(r *http.Request) { r.Header.Set("Forwarded", "for=192.0.2.1") }, false},
		{"with another method", func(r *http.Request) { r.Method = http.MethodGet }, false},
		{"for another path", func(r *http.Request) { r.URL.Path = "/maintenance/" }, false},
		{"for a path in another case", func(r *http.Request) { r.URL.Path = "/Maintenance" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := timerRequest(call)
			test.change(r)
			if got := newTimed(idle).Takes(r); got != test.want {
				t.Errorf("taken: %t, want %t", got, test.want)
			}
		})
	}
}

// A call in another form is refused, and nothing is run.
func TestTimerRefusesOtherForms(t *testing.T) {
	const sys = `"Metadata":{"sys":{"MethodName":"maintenance"}}`
	bodies := map[string]string{
		"nothing":                 ``,
		"null":                    `null`,
		"an empty object":         `{}`,
		"a list":                  `[]`,
		"half":                    call[:len(call)/2],
		"two":                     call + call,
		"no data":                 `{` + sys + `}`,
		"no value":                `{"Data":{},` + sys + `}`,
		"two values":              `{"Data":{"timer":{"IsPastDue":false},"other":{"IsPastDue":false}},` + sys + `}`,
		"a value that is null":    `{"Data":{"timer":null},` + sys + `}`,
		"a value that is a text":  `{"Data":{"timer":"now"},` + sys + `}`,
		"no timer's value":        `{"Data":{"req":{"Url":"/"}},` + sys + `}`,
		"a wrong type":            `{"Data":{"timer":{"IsPastDue":"no"}},` + sys + `}`,
		"no metadata":             `{"Data":{"timer":{"IsPastDue":false}}}`,
		"another function's":      strings.Replace(call, `"maintenance"`, `"other"`, 1),
		"nested without an end":   strings.Repeat(`{"Data":`, 7000),
		"more than a host writes": strings.Replace(call, `"Data"`, `"x":"`+strings.Repeat("x", 64<<10)+`","Data"`, 1),
	}
	tests := map[string]*http.Request{}
	for name, body := range bodies {
		tests[name] = timerRequest(body)
	}
	for _, kind := range []string{"", "text/plain", "application/json; charset=utf-16", "application/jsonp", "multipart/form-data; boundary=x", ";"} {
		tests["Content-Type "+kind] = timerRequest(call)
		tests["Content-Type "+kind].Header.Set("Content-Type", kind)
	}
	tests["with a query"] = timerRequest(call)
	tests["with a query"].URL.RawQuery = "code=x"
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			timer := newTimed(idle)
			w := httptest.NewRecorder()
			timer.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest || timer.runs != 0 {
				t.Errorf("status %d after %d runs, want 400 after none: %s", w.Code, timer.runs, w.Body)
			}
		})
	}
}

// What hosts may add is not read, and what they may leave out is not missed.
func TestTimerTakesCallsOfOtherHosts(t *testing.T) {
	tests := map[string]string{
		"a schedule of minutes": strings.Replace(call, `"ScheduleStatus":null`, `"ScheduleStatus":{"Last":"2026-11-22T06:59:00Z","Next":"2026-11-22T07:01:00Z","LastUpdated":"2026-11-22T06:59:00Z"}`, 1),
		"past due":              strings.Replace(call, `"IsPastDue":false`, `"IsPastDue":true`, 1),
		"a retry":               strings.Replace(call, `"Metadata":{`, `"Metadata":{"RetryContext":{"RetryCount":1,"MaxRetryCount":2,"Exception":null},`, 1),
		"another name":          strings.Replace(strings.Replace(call, `"timer"`, `"clock"`, 1), `"maintenance"`, `"Maintenance"`, 1),
		"no schedule":           `{"Data":{"timer":{"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"maintenance"}}}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			timer := newTimed(idle)
			w := httptest.NewRecorder()
			timer.ServeHTTP(w, timerRequest(body))
			if w.Code != http.StatusOK || timer.runs != 1 {
				t.Errorf("status %d after %d runs, want %d, 1: %s", w.Code, timer.runs, http.StatusOK, w.Body)
			}
		})
	}
}

// Whatever the body is, it is a run or it is refused, and what is run is JSON that
// names the timer and the function.
func FuzzTimerCall(f *testing.F) {
	f.Add([]byte(call))
	f.Fuzz(func(t *testing.T, body []byte) {
		timer := newTimed(idle)
		w := httptest.NewRecorder()
		timer.ServeHTTP(w, timerRequest(string(body)))
		switch {
		case w.Code == http.StatusBadRequest && timer.runs == 0:
		case w.Code == http.StatusOK && timer.runs == 1:
			lower := bytes.ToLower(body)
			if !json.Valid(body) || !bytes.Contains(lower, []byte("true")) && !bytes.Contains(lower, []byte("false")) {
				t.Errorf("this was taken for a call: %q", body)
			}
		default:
			t.Errorf("status %d after %d runs", w.Code, timer.runs)
		}
	})
}
