package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/openai"
)

// typed is an event of a stream whose events have types; members follow the type.
func typed(kind, members string) string {
	return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + members + "}\n\n"
}

// response is an event about the response, in a status and with further members.
func response(kind, status, members string) string {
	return typed(kind, `,"response":{"id":"resp_1","object":"response","status":"`+status+`","output":[]`+members+`}`)
}

// word is an event with a piece of a response's text.
func word(text string) string {
	return typed("response.output_text.delta", `,"item_id":"msg_1","delta":"`+text+`"`)
}

const typedUsage = `,"usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11}`

var (
	created   = response("response.created", "in_progress", `,"error":null,"usage":null`)
	added     = typed("response.output_item.added", `,"item":{"id":"msg_1","status":"in_progress"}`)
	completed = response("response.completed", "completed", typedUsage)
)

// failedBy is a response that has failed for a code.
func failedBy(code string) string {
	return response("response.failed", "failed", `,"error":{"code":"`+code+`","message":"boom"}`+typedUsage)
}

// typedCall is a call for a stream of the operation.
func typedCall(op openai.Operation) Call {
	return Call{Operation: op, Deployment: "d", ID: "resp_1", Body: bodyOf("{}"), Stream: true}
}

func TestTypedStreamIsJudgedByItsFirstEvents(t *testing.T) {
	tests := []struct {
		name    string
		op      openai.Operation
		stream  string
		outcome Outcome
		reason  string
		status  int
	}{
		{"text", openai.Responses, created + word("Hi.") + completed, OK, "", 200},
		{"an item", openai.Responses, created + added, OK, "", 200},
		{"complete without output", openai.Responses, created + response("response.incomplete", "incomplete", typedUsage), OK, "", 200},
		{"a type that nobody knows", openai.Responses, typed("response.novelty", ""), OK, "", 200},
		{"without names of events", openai.Responses, strings.ReplaceAll(created+word("Hi."), "event: ", ": "), OK, "", 200},
		{"failed", openai.Responses, created + failedBy("server_error"), Failed, ReasonStream, 500},
		{"failed for its rate", openai.Responses, created + failedBy("rate_limit_exceeded"), Throttled, ReasonStream, 429},
		{"failed for what it says", openai.Responses, created + failedBy("invalid_prompt"), ClientFault, ReasonStream, 400},
		{"error", openai.Responses, created + typed("error", `,"code":"server_error","message":"boom"`), Failed, ReasonStream, 500},
		{"plain error", openai.Responses, `data: {"error":{"message":"boom","code":"rate_limit_exceeded"}}` + "\n\n", Throttled, ReasonStream, 429},
		{"only a beginning", openai.Responses, created, Failed, ReasonEmpty, 200},
		{"only [DONE]", openai.Responses, created + done, Failed, ReasonEmpty, 200},
		{"not JSON", openai.Responses, created + "data: oops\n\n", Failed, ReasonMalformed, 200},
		{"a stored response that has failed", openai.GetResponse, created + failedBy("server_error"), OK, "", 200},
		{"a stored response with an error", openai.GetResponse, typed("error", `,"code":"server_error","message":"boom"`), Failed, ReasonStream, 500},
		{"picture", openai.ImageGenerations, typed("image_generation.partial_image", `,"b64_json":"eA=="`), OK, "", 200},
		{"transcript", openai.Transcriptions, typed("transcript.text.delta", `,"delta":"Hi."`), OK, "", 200},
		{"speech", openai.Speech, typed("speech.audio.delta", `,"audio":"eA=="`), OK, "", 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, events(test.stream))
			r := client.Do(t.Context(), backend, typedCall(test.op))
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.outcome || r.Reason != test.reason || r.Status != test.status {
				t.Fatalf("got %v, %q, %d, want %v, %q, %d: %v", r.Outcome, r.Reason, r.Status, test.outcome, test.reason, test.status, r.Err)
			}
			if r.Outcome == OK && !r.Stream {
				t.Error("a stream is not taken for one")
			}
		})
	}
}

// A fault of the client that comes as an event with a type becomes a plain answer, in
// the form that plain answers have.
func TestClientFaultInsideATypedStream(t *testing.T) {
	const want = `{"error":{"message":"boom","type":null,"param":null,"code":"invalid_prompt"}}`
	client, backend := serve(t, events(created, failedBy("invalid_prompt")))
	r := client.Do(t.Context(), backend, typedCall(openai.Responses))
	defer r.Close()
	text, d := relayed(r)
	if text != want || r.Status != 400 || r.Stream || d.Err != nil || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Length") != fmt.Sprint(len(want)) {
		t.Errorf("the client gets %d %q, %v: %+v", r.Status, text, r.Header, d)
	}
}

// A stream of typed events is complete with its last event. [DONE] may follow; where
// the last event is missing the client is told.
func TestEndOfATypedStream(t *testing.T) {
	lost := errors.New("connection reset")
	picture := typed("image_generation.completed", `,"b64_json":"eA=="`+typedUsage)
	partial := typed("image_generation.partial_image", `,"b64_json":"eA=="`)
	tests := []struct {
		name   string
		op     openai.Operation
		body   string
		end    error
		reason string // "" for a good end
		told   bool   // the client gets our error event
		usage  bool
		status string
	}{
		{"completed", openai.Responses, created + word("a") + completed, nil, "", false, true, "completed"},
		{"completed, then [DONE]", openai.Responses, created + word("a") + completed + done, nil, "", false, true, "completed"},
		{"completed, then lost", openai.Responses, created + word("a") + completed, lost, "", false, true, "completed"},
		{"incomplete", openai.Responses, created + word("a") + response("response.incomplete", "incomplete", typedUsage), nil, "", false, true, "incomplete"},
		{"cancelled", openai.Responses, created + word("a") + response("response.cancelled", "cancelled", ""), nil, "", false, false, "cancelled"},
		{"failed after output", openai.Responses, created + word("a") + failedBy("server_error"), nil, ReasonStream, false, true, "failed"},
		{"error after output", openai.Responses, created + word("a") + typed("error", `,"message":"boom"`), nil, ReasonStream, false, false, "in_progress"},
		{"a stored response that has failed", openai.GetResponse, created + word("a") + failedBy("server_error"), nil, "", false, true, "failed"},
		{"a stored response whose stream has failed, too", openai.GetResponse, created + word("a") + typed("error", `,"message":"boom"`) + failedBy("server_error"), nil, ReasonStream, false, true, "failed"},
		{"only [DONE]", openai.Responses, created + word("a") + done, nil, "", false, false, "in_progress"},
		{"cut", openai.Responses, created + word("a"), nil, ReasonCut, true, false, "in_progress"},
		{"cut behind what only looks like an end", openai.Responses, created + word("a") + typed("response.output_item.done", `,"item":{"finish_reason":"stop"}`), nil, ReasonCut, true, false, "in_progress"},
		{"lost", openai.Responses, created + word("a"), lost, ReasonReset, true, false, "in_progress"},
		{"transcript", openai.Transcriptions, typed("transcript.text.delta", `,"delta":"a"`) + typed("transcript.text.done", `,"text":"a"`+typedUsage), nil, "", false, true, ""},
		{"cut transcript", openai.Transcriptions, typed("transcript.text.delta", `,"delta":"a"`), nil, ReasonCut, true, false, ""},
		{"speech", openai.Speech, typed("speech.audio.delta", `,"audio":"eA=="`) + typed("speech.audio.done", typedUsage), nil, "", false, true, ""},
		{"picture", openai.ImageGenerations, partial + picture, nil, "", false, true, ""},
		{"two pictures", openai.ImageGenerations, picture + partial + picture, nil, "", false, true, ""},
		{"cut in the second picture", openai.ImageGenerations, picture + partial, nil, ReasonCut, true, true, ""},
	}
	for _, test := range tests {
		for _, size := range []int{1, 1 << 20} {
			t.Run(fmt.Sprint(test.name, " in reads of ", size), func(t *testing.T) {
				client := New(Options{Transport: eventStream(&pieces{text: test.body, size: size, end: test.end})})
				r := client.Do(t.Context(), backendAt(t, "http://backend.test"), typedCall(test.op))
				defer r.Close()
				text, d := relayed(r)
				rest, found := strings.CutPrefix(text, test.body)
				if !found || test.told != strings.HasPrefix(rest, errorEvent) || !test.told && rest != "" {
					t.Errorf("the client gets %q", text)
				}
				broke := test.reason != ""
				if d.Reason != test.reason || d.Truncated != broke || (d.Err != nil) != broke || d.ClientGone {
					t.Errorf("delivery %+v, want the reason %q", d, test.reason)
				}
				if d.HasUsage != test.usage || test.usage && d.Usage != usageOfAnswer {
					t.Errorf("usage %t %+v", d.HasUsage, d.Usage)
				}
				if d.ObjectStatus != test.status {
					t.Errorf("status %q, want %q", d.ObjectStatus, test.status)
				}
			})
		}
	}
}

// The id of a response is known as soon as its stream has begun.
func TestIDAndStatusOfAStream(t *testing.T) {
	client, backend := serve(t, events(response("response.queued", "queued", ""), created, word("a"), completed))
	r := client.Do(t.Context(), backend, typedCall(openai.Responses))
	defer r.Close()
	if r.ObjectID != "resp_1" || r.ObjectStatus != "in_progress" {
		t.Errorf("at first %q is %q, want %q, %q: %v", r.ObjectID, r.ObjectStatus, "resp_1", "in_progress", r.Err)
	}
	if _, d := relayed(r); d.ObjectStatus != "completed" {
		t.Errorf("at last it is %q, want %q", d.ObjectStatus, "completed")
	}
}

// A backend may keep the connection open after the last event. Its end is awaited for a
// moment, and then the stream is complete all the same.
func TestConnectionThatStaysOpenAfterTheLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			events(created, word("a"), completed)(w, r)
			<-r.Context().Done()
		})
		defer stop()
		r := client.Do(t.Context(), backend, typedCall(openai.Responses))
		defer r.Close()
		start := time.Now()
		text, d := relayed(r)
		if text != created+word("a")+completed || d.Err != nil {
			t.Errorf("the client gets %q, want %q: %v", text, created+word("a")+completed, d.Err)
		}
		if took := time.Since(start); took != doneWait {
			t.Errorf("the end is awaited for %v, want %v", took, doneWait)
		}
	})
}

// What a client has got that leaves before the usage is known can be counted.
func TestTextOfAClientThatLeaves(t *testing.T) {
	gone := errors.New("broken pipe")
	arguments := typed("response.function_call_arguments.delta", `,"delta":"{}"`)
	client, backend := serve(t, events(created+word("Grüße, ")+arguments+word("Welt")))
	r := client.Do(t.Context(), backend, typedCall(openai.Responses))
	defer r.Close()
	d := r.Relay(writer(func([]byte) (int, error) { return 0, gone }), nil)
	if !d.ClientGone || d.HasUsage || string(d.Text) != "Grüße, {}Welt" || d.ObjectStatus != "in_progress" {
		t.Errorf("delivery %+v, text %q", d, d.Text)
	}
}

// Pictures and whole responses may be longer than what is held of an event. Their
// usage counts, their status is known, and a stream that ends with one is complete.
func TestLongTypedEvents(t *testing.T) {
	padding := strings.Repeat("x", 3*maxEvent)
	picture := typed("image_generation.completed", `,"b64_json":"`+padding+`"`+typedUsage)
	long := response("response.completed", "completed", `,"padding":"`+padding+`"`+typedUsage)
	nameless := func(event string) string { return event[strings.Index(event, "data:"):] }
	tests := []struct {
		name   string
		op     openai.Operation
		body   string
		status string
		usage  bool
		cut    bool
	}{
		{"picture", openai.ImageGenerations, picture, "", true, false},
		{"picture behind another", openai.ImageGenerations, picture + typed("image_generation.partial_image", `,"b64_json":"`+padding+`"`) + picture, "", true, false},
		{"picture whose event has no name", openai.ImageEdits, nameless(picture), "", true, false},
		{"part of a picture at the end", openai.ImageGenerations, typed("image_generation.partial_image", `,"b64_json":"`+padding+`"`), "", false, true},
		{"response", openai.Responses, created + word("a") + long, "completed", true, false},
		{"response whose event has no name", openai.Responses, created + word("a") + nameless(long), "completed", true, false},
		{"response with CRLF", openai.Responses, strings.ReplaceAll(created+word("a")+long, "\n", "\r\n"), "completed", true, false},
		{"item at the end", openai.Responses, created + typed("response.output_item.done", `,"item":{"result":"`+padding+`"}`), "in_progress", false, true},
		{"event without a type at the end", openai.Responses, created + word("a") + `data: {"padding":"` + padding + `"` + typedUsage + "}\n\n", "in_progress", false, true},
		{"choices", openai.ChatCompletions, delta("a") + `data: {"type":"response.completed","padding":"` + padding + `"}` + "\n\n", "", false, true},
	}
	for _, test := range tests {
		for _, size := range []int{1000, 32 << 10, 8 << 20} {
			t.Run(fmt.Sprint(test.name, " in reads of ", size), func(t *testing.T) {
				client := New(Options{Transport: eventStream(&pieces{text: test.body, size: size})})
				r := client.Do(t.Context(), backendAt(t, "http://backend.test"), typedCall(test.op))
				defer r.Close()
				text, d := relayed(r)
				rest, found := strings.CutPrefix(text, test.body)
				if !found || test.cut != strings.HasPrefix(rest, errorEvent) || d.Truncated != test.cut {
					t.Errorf("the client gets %d bytes of %d and then %q: %v", len(text), len(test.body), rest, d.Err)
				}
				if d.HasUsage != test.usage || test.usage && d.Usage != usageOfAnswer || d.ObjectStatus != test.status {
					t.Errorf("usage %t %+v, status %q, want %t, %q", d.HasUsage, d.Usage, d.ObjectStatus, test.usage, test.status)
				}
			})
		}
	}
}
