package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/maintenance"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/rs/zerolog"
)

// request is the event of a request to the Function URL.
func request(method, path, body string) []byte {
	text, err := json.Marshal(events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: path, RawQueryString: "a=b", Body: body,
		Headers: map[string]string{
			"api-key": "k", "host": "id.lambda-url.us-east-1.on.aws", "x-forwarded-port": "443", "x-amzn-trace-id": "Root=1", "x-request-id": "r",
		},
		RequestContext: events.LambdaFunctionURLRequestContext{
			DomainName: "id.lambda-url.us-east-1.on.aws",
			HTTP:       events.LambdaFunctionURLRequestContextHTTPDescription{Method: method, Path: path, SourceIP: "192.0.2.1"},
		},
	})
	if err != nil {
		panic(err)
	}
	return text
}

const schedule = `{"version":"0","id":"53dc4d37","detail-type":"Scheduled Event","source":"aws.scheduler","account":"1","time":"2026-01-01T00:00:00Z","region":"us-east-1","resources":["r"],"detail":"{}"}`

// serving is a function whose requests a handler answers.
func serving(h http.HandlerFunc) *function { return &function{handler: h} }

// body reads what is left of an answer, and ends the call.
func body(t *testing.T, answer any) (status int, header map[string]string, text string, err error) {
	t.Helper()
	response, ok := answer.(*events.LambdaFunctionURLStreamingResponse)
	if !ok {
		t.Fatalf("the answer is %T", answer)
	}
	raw, err := io.ReadAll(response.Body)
	if closed := response.Close(); closed != nil {
		t.Error(closed)
	}
	return response.StatusCode, response.Headers, string(raw), err
}

// A handler gets the request as a server would have received it.
func TestRequest(t *testing.T) {
	var got *http.Request
	var read string
	f := serving(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, read = r, string(raw)
		w.Header().Set("X-One", "1")
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "yes")
	})
	answer, err := f.handle(t.Context(), request(http.MethodPost, "/v1/chat%2fcompletions", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	status, header, text, err := body(t, answer)
	if status != http.StatusCreated || header["X-One"] != "1" || header["X-Two"] != "1,2" || header["X-Late"] != "" || text != "yes" || err != nil {
		t.Errorf("the answer is %d %v %q: %v", status, header, text, err)
	}
	if got.Method != http.MethodPost || got.URL.EscapedPath() != "/v1/chat%2fcompletions" || got.URL.RawQuery != "a=b" || read != "hello" || got.ContentLength != 5 {
		t.Errorf("the request is %s %s, %q", got.Method, got.URL, read)
	}
	if len(got.Header) != 2 || got.Header.Get("Api-Key") != "k" || got.Header.Get("X-Request-Id") != "r" {
		t.Errorf("its headers are %v", got.Header)
	}
}

// A body that comes in base64 is decoded, and its length is not claimed.
func TestEncodedBody(t *testing.T) {
	f := serving(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if string(raw) != "\x00\xff" || err != nil || r.ContentLength != -1 {
			t.Errorf("%q of %d bytes: %v", raw, r.ContentLength, err)
		}
	})
	event := strings.Replace(string(request(http.MethodPost, "/", "AP8=")), `"isBase64Encoded":false`, `"isBase64Encoded":true`, 1)
	answer, err := f.handle(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, text, err := body(t, answer); status != http.StatusOK || text != "" || err != nil {
		t.Errorf("a handler that says nothing answers %d %q, want %d, %q: %v", status, text, http.StatusOK, "", err)
	}
}

// Each write can be read before the next one is made.
func TestStream(t *testing.T) {
	next := make(chan struct{})
	f := serving(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Flusher); ok {
			t.Error("the tests count on a host without a Flusher")
		}
		for i := range 3 {
			fmt.Fprint(w, i)
			<-next
		}
	})
	answer, err := f.handle(t.Context(), request(http.MethodGet, "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	for i := range 3 {
		if _, err := io.ReadFull(answer.(io.Reader), prelude(t, answer, i, one)); err != nil || string(one) != fmt.Sprint(i) {
			t.Fatalf("part %d is %q: %v", i, one, err)
		}
		next <- struct{}{}
	}
	if _, _, rest, err := body(t, answer); rest != "" || err != nil {
		t.Errorf("then come %q, want %q, %v", rest, "", err)
	}
}

// prelude skips what comes before the first part, and returns one.
func prelude(t *testing.T, answer any, part int, one []byte) []byte {
	t.Helper()
	for zeros := 0; part == 0 && zeros < 8; {
		if _, err := io.ReadFull(answer.(io.Reader), one); err != nil {
			t.Fatal(err)
		}
		if one[0] == 0 {
			zeros++
		}
	}
	return one
}

// A panic never ends the process. It is a 500 where nothing has been sent, else the
// answer ends as broken.
func TestPanic(t *testing.T) {
	tests := []struct {
		name    string
		fault   any
		written string
		status  int
		broken  bool
		logged  bool
	}{
		{name: "before the answer", fault: "secret", status: http.StatusInternalServerError, logged: true},
		{name: "in the answer", fault: "secret", written: "half", status: http.StatusOK, broken: true, logged: true},
		{name: "the handler's own, told by itself", fault: http.ErrAbortHandler, written: "half", status: http.StatusOK, broken: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			f := serving(func(w http.ResponseWriter, _ *http.Request) {
				if test.written != "" {
					fmt.Fprint(w, test.written)
				}
				panic(test.fault)
			})
			f.log = zerolog.New(&log)
			answer, err := f.handle(t.Context(), request(http.MethodPost, "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			status, _, text, err := body(t, answer)
			var failure messages.InvokeResponse_Error
			if status != test.status || test.broken != errors.As(err, &failure) || !strings.HasPrefix(text, test.written) {
				t.Errorf("%d %q, %v", status, text, err)
			}
			if !test.broken && (!strings.Contains(text, `"server_error"`) || strings.Contains(text, "secret")) {
				t.Errorf("the answer is %s", text)
			}
			if logged := strings.Contains(log.String(), `"event":"panic"`) && strings.Contains(log.String(), "function_test.go"); logged != test.logged {
				t.Errorf("the log is %s", log.String())
			}
		})
	}
}

// The handler's deadline is a little earlier than the call's, so that it can still
// answer. A handler that then says nothing is spoken for.
func TestDeadline(t *testing.T) {
	tests := []struct{ call, handler time.Duration }{
		{900 * time.Second, 899 * time.Second},
		{10 * time.Second, 9 * time.Second},
		{3 * time.Second, 2700 * time.Millisecond},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), test.call)
			defer cancel()
			began := time.Now()
			f := serving(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				if took := time.Since(began); took != test.handler {
					t.Errorf("of %s the handler has %s, want %s", test.call, took, test.handler)
				}
			})
			answer, err := f.handle(ctx, request(http.MethodPost, "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			if status, header, text, err := body(t, answer); status != http.StatusGatewayTimeout || header["Content-Type"] != "application/json" || !strings.Contains(text, `"timeout"`) || err != nil {
				t.Errorf("%d %v %q: %v", status, header, text, err)
			}
			if ctx.Err() != nil {
				t.Error("the call's own deadline has passed")
			}
		})
	}
}

// A call that Lambda ends early ends its handler, and not before that is done does
// the next call begin.
func TestCloseEndsTheHandler(t *testing.T) {
	ended := false
	f := serving(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "one")
		<-r.Context().Done()
		ended = true
		if _, err := fmt.Fprint(w, "two"); err == nil {
			t.Error("what nobody reads is taken")
		}
	})
	answer, err := f.handle(t.Context(), request(http.MethodPost, "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.(io.Closer).Close(); err != nil || !ended {
		t.Errorf("closed with the handler's end %t: %v", ended, err)
	}
}

// A path that no URL can have is the caller's mistake, and the handler is not asked.
func TestMalformedRequest(t *testing.T) {
	for _, event := range [][]byte{request(http.MethodPost, "/%zz", ""), request("P O", "/", "")} {
		f := serving(func(http.ResponseWriter, *http.Request) { t.Error("the handler is asked") })
		answer, err := f.handle(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, text, err := body(t, answer); status != http.StatusBadRequest || !strings.Contains(text, "invalid_request_error") || err != nil {
			t.Errorf("%d %q: %v", status, text, err)
		}
	}
}

// Both forms of a schedule's event run the maintenance, within the call's time, and
// the answer is what was done. A run that could not do all is no failed call.
func TestSchedule(t *testing.T) {
	for _, event := range []string{schedule, strings.Replace(schedule, "aws.scheduler", "aws.events", 1)} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := &function{maintain: func(ctx context.Context) done {
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 59*time.Second {
					t.Errorf("the run's deadline is %s", deadline)
				}
				return doneBy(maintenance.Report{
					Rolled: 1, Probed: 2, Ready: 3, Folded: 4, Swept: 5, Expired: 6,
					Took: 7 * time.Millisecond, Err: errors.Join(errors.New("a"), errors.New("b")),
				})
			}}
			answer, err := f.handle(ctx, []byte(event))
			if err != nil {
				t.Fatal(err)
			}
			const want = `{"rolled":1,"probed":2,"ready":3,"folded":4,"swept":5,"expired":6,"tookMs":7,"problems":["a","b"]}`
			if text, err := json.Marshal(answer); string(text) != want || err != nil {
				t.Errorf("the answer is %s, want %s: %v", text, want, err)
			}
		})
	}
}

// A panic of the maintenance fails the call and not the process.
func TestPanicOfTheMaintenance(t *testing.T) {
	var log bytes.Buffer
	f := &function{log: zerolog.New(&log), maintain: func(context.Context) done { panic("fault") }}
	_, err := f.handle(t.Context(), []byte(schedule))
	var failure messages.InvokeResponse_Error
	if !errors.As(err, &failure) || failure.Type != "Gateway.Panic" || failure.ShouldExit {
		t.Errorf("the call ends with %#v", err)
	}
	if !strings.Contains(log.String(), `"event":"panic"`) {
		t.Errorf("the log is %s", log.String())
	}
}

// Any other event fails with the names of its keys, and none of its values.
func TestUnknownEvents(t *testing.T) {
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("key%03d%s", i, strings.Repeat("x", 100))] = "secret"
	}
	flood, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ event, want string }{
		{`{"Records":[{"secret":1}],"b":"secret"}`, `keys "Records", "b"`},
		{`{"version":"1.0","httpMethod":"POST","headers":{"a":"secret"}}`, `keys "headers", "httpMethod", "version"`},
		{`{"version":"2.0","headers":"secret","requestContext":{"http":{"method":"POST"}}}`, `keys "headers", "requestContext", "version"`},
		{strings.Replace(schedule, "Scheduled Event", "secret", 1), `"detail-type"`},
		{strings.Replace(schedule, "aws.scheduler", "secret", 1), `"source"`},
		{`{}`, "an object without keys"},
		{`["secret"]`, "no JSON object"},
		{`"secret"`, "no JSON object"},
		{`null`, "no JSON object"},
		{`12345`, "no JSON object"},
		{`{"a":"secret"`, "no JSON object"},
		{string(flood), `…" and 80 more`},
	}
	for _, test := range tests {
		f := serving(func(http.ResponseWriter, *http.Request) { t.Error("the handler is asked") })
		f.maintain = func(context.Context) done {
			t.Error("the maintenance runs")
			return done{}
		}
		_, err := f.handle(t.Context(), []byte(test.event))
		var failure messages.InvokeResponse_Error
		if !errors.As(err, &failure) || failure.Type != "Gateway.UnknownEvent" || !strings.Contains(failure.Message, test.want) {
			t.Errorf("%.80s ends with %v, want %s", test.event, err, test.want)
		}
		if strings.Contains(failure.Message, "secret") || strings.Contains(failure.Message, "12345") || len(failure.Message) > 2000 {
			t.Errorf("the error shows a value, or all too much: %s", failure.Message)
		}
	}
}

// A configuration that cannot be used is refused in one line with all its problems.
func TestRefuse(t *testing.T) {
	var log bytes.Buffer
	refuse(zerolog.New(&log), errors.Join(errors.New("one"), errors.New("two")))
	var line struct {
		Level, Event string
		Problems     []string
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "error" || line.Event != "start_refused" || len(line.Problems) != 2 {
		t.Errorf("the log is %s: %v", log.String(), err)
	}
}

// Whatever an event is, there is an answer or an error that shows nothing of it.
func FuzzEvent(f *testing.F) {
	f.Add(request(http.MethodPost, "/v1/x", "body"))
	f.Add([]byte(schedule))
	f.Add([]byte(`{"version":"2.0","requestContext":{"http":{"method":"\u0000"}},"rawPath":"//[::1"}`))
	f.Add([]byte(`{"a\ud800":1,"version":2}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		if !json.Valid(event) {
			return // the library decodes an event before it gets here
		}
		function := serving(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})
		function.maintain = func(context.Context) done { return done{} }
		answer, err := function.handle(t.Context(), event)
		switch answer := answer.(type) {
		case *events.LambdaFunctionURLStreamingResponse:
			if _, err := io.Copy(io.Discard, answer); err != nil {
				t.Errorf("the answer breaks: %v", err)
			}
			if err := answer.Close(); err != nil {
				t.Error(err)
			}
		case done:
		default:
			var failure messages.InvokeResponse_Error
			if !errors.As(err, &failure) || len(failure.Message) > 4000 {
				t.Errorf("neither an answer nor an error that tells: %v", err)
			}
		}
	})
}
