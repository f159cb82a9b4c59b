package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"spillway/shared/openai"
)

func TestStreamIsJudgedByItsFirstEvents(t *testing.T) {
	const (
		broken    = `data: {"error":{"message":"boom","type":"server_error","code":"internal_error"}}` + "\n\n"
		limitedBy = `data: {"error":{"message":"slow down","type":"tokens","code":"rate_limit_exceeded"}}` + "\n\n"
		number429 = `data: {"error":{"message":"slow down","code":429}}` + "\n\n"
		filter    = `data: {"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}` + "\n\n"
		named     = "event: error\n" + `data: {"error":{"message":"boom"}}` + "\n\n"
		gone      = `data: {"error":{"message":"no","code":"DeploymentNotFound"}}` + "\n\n"
	)
	tests := []struct {
		name    string
		stream  string
		outcome Outcome
		reason  string
		status  int
	}{
		{"good", delta("Hi.") + finish + done, OK, "", 200},
		{"good after the prompt filter", preamble + delta("Hi.") + finish + done, OK, "", 200},
		{"good after a comment", ": ping\n\n" + delta("Hi.") + finish + done, OK, "", 200},
		{"good with CRLF", strings.ReplaceAll(delta("Hi.")+finish+done, "\n", "\r\n"), OK, "", 200},
		{"good with a byte order mark", "\ufeff" + delta("Hi.") + finish + done, OK, "", 200},
		{"good without its last blank line", strings.TrimRight(delta("Hi."), "\n"), OK, "", 200},
		{"error", broken, Failed, ReasonStream, 500},
		{"error after the prompt filter", preamble + broken, Failed, ReasonStream, 500},
		{"named error", named, Failed, ReasonStream, 500},
		{"rate limit", limitedBy, Throttled, ReasonStream, 429},
		{"rate limit as a number", preamble + number429, Throttled, ReasonStream, 429},
		{"content filter", preamble + filter, ClientFault, ReasonStream, 400},
		{"missing deployment", gone, Broken, ReasonStream, 404},
		{"no output", preamble + done, Failed, ReasonEmpty, 200},
		{"only comments", ": ping\n\n: ping\n\n", Failed, ReasonEmpty, 200},
		{"nothing", "", Failed, ReasonEmpty, 200},
		{"not JSON", "data: oops\n\n", Failed, ReasonMalformed, 200},
		{"not events", "oops", Failed, ReasonEmpty, 200},
		{"half a first event", `data: {"choices":[{"de`, Failed, ReasonMalformed, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, events(test.stream))
			r := client.Do(t.Context(), backend, stream())
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.outcome || r.Reason != test.reason || r.Status != test.status {
				t.Fatalf("got %v, %q, %d, want %v, %q, %d: %v", r.Outcome, r.Reason, r.Status, test.outcome, test.reason, test.status, r.Err)
			}
			if wantFault := r.Reason == ReasonStream; (r.Fault != nil) != wantFault {
				t.Errorf("fault %+v", r.Fault)
			}
			if r.Outcome == OK {
				if !r.Stream || r.Header.Get("Content-Length") != "" {
					t.Errorf("stream %t, header %v", r.Stream, r.Header)
				}
			}
		})
	}
}

// Events may be taken out of a stream, or one added: its length is not known.
func TestLengthOfAStreamIsNotPassedOn(t *testing.T) {
	whole := delta("a") + finish + usageOnly + done
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		events(whole)(w, r)
	})
	r := client.Do(t.Context(), backend, stream())
	defer r.Close()
	if length, ok := r.Header["Content-Length"]; r.Outcome != OK || ok {
		t.Errorf("got %v, length %v", r.Outcome, length)
	}
}

// What was held back is not lost.
func TestHeldBackEventsReachTheClient(t *testing.T) {
	whole := preamble + ": ping\n\n" + delta("Hi.") + finish + usageOnly + done
	client, backend := serve(t, events(preamble, ": ping\n\n", delta("Hi."), finish+usageOnly, done))
	r := client.Do(t.Context(), backend, stream())
	defer r.Close()
	text, d := relayed(r)
	if text != whole {
		t.Errorf("the client gets %q, want %q", text, whole)
	}
	if d.Err != nil || d.Truncated || !d.HasUsage || d.Usage != usageOfAnswer || d.Bytes != int64(len(whole)) || d.Text != nil {
		t.Errorf("delivery %+v", d)
	}
}

// The refusal of a prompt may come inside a 200. The client gets what it would
// have got without a stream: a 400 with the error as its body.
func TestClientFaultInsideAStreamBecomesAPlainAnswer(t *testing.T) {
	const fault = `{"error":{"message":"filtered","param":"prompt","code":"content_filter"}}`
	client, backend := serve(t, events("data: "+fault+"\n\n"))
	r := client.Do(t.Context(), backend, stream())
	defer r.Close()
	text, d := relayed(r)
	if r.Outcome != ClientFault || r.Status != 400 || r.Stream || text != fault || d.Err != nil {
		t.Errorf("got %v, %d, stream %t, %q", r.Outcome, r.Status, r.Stream, text)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Length") != fmt.Sprint(len(fault)) {
		t.Errorf("header %v", r.Header)
	}
}

func TestHoldingBackIsBounded(t *testing.T) {
	const failure = `data: {"error":{"message":"late"}}` + "\n\n"
	long := `data: {"choices":[],"padding":"` + strings.Repeat("x", 100<<10) + `"}` + "\n\n"
	tests := []struct {
		name   string
		before string
		held   bool
	}{
		{"63 events", strings.Repeat(": ping\n\n", maxHeldEvents-1), true},
		{"64 events", strings.Repeat(": ping\n\n", maxHeldEvents), false},
		{"200 KiB", strings.Repeat(long, 2), true},
		{"300 KiB", strings.Repeat(long, 3), false},
		{"one event of 600 KiB", `data: {"padding":"` + strings.Repeat("x", 600<<10), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, events(test.before, failure))
			r := client.Do(t.Context(), backend, stream())
			defer r.Close()
			if held := r.Outcome == Failed; held != test.held {
				t.Fatalf("got %v: %v", r.Outcome, r.Err)
			}
			if cap := len(*orEmpty(r.buf)); cap > maxHeld {
				t.Errorf("%d bytes are held, want at most %d", cap, maxHeld)
			}
			if test.held {
				return
			}
			if text, d := relayed(r); !strings.HasPrefix(text, test.before) || !d.Truncated {
				t.Errorf("the client gets %d bytes: %+v", len(text), d)
			}
		})
	}
}

func orEmpty(b *[]byte) *[]byte {
	if b == nil {
		return new([]byte)
	}
	return b
}

const sse = delta0 + done

var contentTypeTests = []struct {
	name        string
	stream      bool
	contentType string
	encoding    string
	body        string
	outcome     Outcome
	reason      string
	isStream    bool
	hasUsage    bool
}{
	{"stream", true, "text/event-stream; charset=utf-8", "", sse, OK, "", true, false},
	{"stream without a type", true, "", "", sse, OK, "", true, false},
	{"stream that was not asked for", false, "text/event-stream", "", sse, OK, "", true, false},
	{"plain answer to a stream", true, "application/json", "", chatAnswer, OK, "", false, true},
	{"page instead of a stream", true, "text/html", "", "<html></html>", Failed, ReasonContentType, false, false},
	{"text instead of a stream", true, "text/plain", "", sse, Failed, ReasonContentType, false, false},
	{"plain", false, "application/json; charset=utf-8", "", chatAnswer, OK, "", false, true},
	{"plain with spaces", false, "application/json", "", " \r\n" + chatAnswer + "\n", OK, "", false, true},
	{"plain without a type", false, "", "", chatAnswer, OK, "", false, true},
	{"problem type", false, "application/problem+json", "", chatAnswer, OK, "", false, true},
	{"page", false, "text/html; charset=utf-8", "", "<html></html>", Failed, ReasonContentType, false, false},
	{"cut JSON under a whole length", false, "application/json", "", chatAnswer[:40], Failed, ReasonMalformed, false, false},
	{"empty", false, "application/json", "", "", Failed, ReasonMalformed, false, false},
	{"not an object", false, "application/json", "", `"ok"`, Failed, ReasonMalformed, false, false},
	{"sound", false, "audio/mpeg", "", "\xff\xfb\x90", OK, "", false, false},
	{"error in a plain 200", false, "application/json", "", `{"error":{"message":"boom"}}`, Failed, ReasonStream, false, false},
	{"no error in a plain 200", false, "application/json", "", `{"error":null,"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`, OK, "", false, true},
	{"packed although told not to", false, "application/json", "gzip", "\x1f\x8b...", OK, "", false, false},
	{"packed stream", true, "text/event-stream", "br", "\x0b...", OK, "", true, false},
	{"identity", false, "application/json", "identity", chatAnswer, OK, "", false, true},
}

func TestContentTypeOfAnAnswer(t *testing.T) {
	for _, test := range contentTypeTests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if accepts := r.Header["Accept-Encoding"]; len(accepts) != 1 || accepts[0] != "identity" {
					t.Errorf("Accept-Encoding %q", accepts)
				}
				w.Header()["Content-Type"] = nil // not guessed
				if test.contentType != "" {
					w.Header().Set("Content-Type", test.contentType)
				}
				if test.encoding != "" {
					w.Header().Set("Content-Encoding", test.encoding)
				}
				_, _ = io.WriteString(w, test.body)
			})
			call := chat()
			call.Stream = test.stream
			call.Header.Set("Accept-Encoding", "gzip, br")
			r := client.Do(t.Context(), backend, call)
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.outcome || r.Reason != test.reason {
				t.Fatalf("got %v, %q, want %v, %q: %v", r.Outcome, r.Reason, test.outcome, test.reason, r.Err)
			}
			if r.Outcome != OK {
				return
			}
			if r.Stream != test.isStream || r.Unread != (test.encoding != "" && test.encoding != "identity") {
				t.Errorf("stream %t, unread %t, want %t, %t", r.Stream, r.Unread, test.isStream, test.encoding != "" && test.encoding != "identity")
			}
			if r.HasUsage != test.hasUsage || test.hasUsage && r.Usage != usageOfAnswer {
				t.Errorf("usage %t %+v", r.HasUsage, r.Usage)
			}
			text, d := relayed(r)
			if text != test.body || d.Err != nil || d.HasUsage != test.hasUsage {
				t.Errorf("the client gets %q: %+v", text, d)
			}
		})
	}
}

const delta0 = `data: {"choices":[{"index":0,"delta":{"content":"Hi."}}]}` + "\n\n"

// An older model may refuse the stream_options that we, not the client, asked
// for. That is told apart from a fault of the client.
func TestRefusedStreamOptions(t *testing.T) {
	const refusal = `{"error":{"message":"Unknown parameter: 'stream_options'.","type":"invalid_request_error","param":"stream_options","code":"unknown_parameter"}}`
	client, backend := serve(t, answer(400, "application/json", refusal))
	for _, ours := range []bool{true, false} {
		call := stream()
		call.DropUsage = ours
		r := client.Do(t.Context(), backend, call)
		want := "status_400"
		if ours {
			want = ReasonStreamOptions
		}
		if r.Outcome != ClientFault || r.Reason != want {
			t.Errorf("ours %t: got %v, %q, want %v, %q", ours, r.Outcome, r.Reason, ClientFault, want)
		}
		r.Close()
	}
}

// checkUsage is what every delivery of a metered answer has to say.
func checkUsage(t *testing.T, d Delivery, want openai.Usage) {
	t.Helper()
	if !d.HasUsage || d.Usage != want || d.Text != nil {
		t.Errorf("usage %t %+v, want true, %+v, text %q", d.HasUsage, d.Usage, want, d.Text)
	}
}
