package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"spillway/shared/openai"
)

const html = "text/html; charset=utf-8"

// Which kinds of answers are good depends on what was asked for.
func TestKindsOfAnswers(t *testing.T) {
	const fault = `{"error":{"message":"boom","type":"server_error","code":null}}`
	tests := []struct {
		name        string
		op          openai.Operation
		stream      bool
		status      int
		contentType string
		body        string
		outcome     Outcome
		reason      string
	}{
		{"transcript", openai.Transcriptions, false, 200, json, `{"text":"Hi."}`, OK, ""},
		{"transcript as text", openai.Transcriptions, false, 200, "text/plain; charset=utf-8", "Hi.\n", OK, ""},
		{"empty transcript as text", openai.Transcriptions, false, 200, "text/plain", "", OK, ""},
		{"transcript as subtitles", openai.Translations, false, 200, "text/vtt", "WEBVTT\n", OK, ""},
		{"transcript without a type", openai.Transcriptions, false, 200, "", "Hi.", OK, ""},
		{"transcript of a model without streams", openai.Transcriptions, true, 200, "text/plain", "Hi.", OK, ""},
		{"page instead of a transcript", openai.Transcriptions, false, 200, html, "<html></html>", Failed, ReasonContentType},
		{"cut transcript", openai.Transcriptions, false, 200, json, `{"text":`, Failed, ReasonMalformed},
		{"speech", openai.Speech, false, 200, "audio/mpeg", "\xff\xfb\x90", OK, ""},
		{"speech without a type", openai.Speech, false, 200, "", "{\xff", OK, ""},
		{"speech of a model without streams", openai.Speech, true, 200, "audio/wav", "RIFF", OK, ""},
		{"no speech", openai.Speech, false, 200, "audio/mpeg", "", Failed, ReasonEmpty},
		{"error instead of speech", openai.Speech, false, 200, json, fault, Failed, ReasonStream},
		{"page instead of speech", openai.Speech, false, 200, html, "<html></html>", Failed, ReasonContentType},
		{"file", openai.FileContent, false, 200, "application/octet-stream", "{\"id\":1}\n{\"id\":2}\n", OK, ""},
		{"file that is a page", openai.FileContent, false, 200, html, "<html></html>", OK, ""},
		{"file that is an error", openai.FileContent, false, 200, json, fault, OK, ""},
		{"file that is a stream", openai.FileContent, false, 200, "text/event-stream", delta("a"), OK, ""},
		{"empty file", openai.FileContent, false, 200, json, "", OK, ""},
		{"deleted", openai.DeleteFile, false, 200, json, `{"id":"file-1","deleted":true}`, OK, ""},
		{"deleted without a body", openai.DeleteFile, false, 200, json, "", OK, ""},
		{"deleted without content", openai.DeleteResponse, false, 204, "", "", OK, ""},
		{"cancelled without a body", openai.CancelResponse, false, 200, "", "", OK, ""},
		{"page instead of a deletion", openai.DeleteFile, false, 200, html, "<html></html>", Failed, ReasonContentType},
		{"half a deletion", openai.DeleteFile, false, 200, json, `{"id":`, Failed, ReasonMalformed},
		{"file's data without a body", openai.GetFile, false, 200, json, "", Failed, ReasonMalformed},
		{"list", openai.ListModels, false, 200, json, `{"object":"list","data":[]}`, OK, ""},
		{"pictures", openai.ImageGenerations, false, 200, json, `{"data":[{"b64_json":"x"}]}`, OK, ""},
		{"text instead of pictures", openai.ImageGenerations, true, 200, "text/plain", "x", Failed, ReasonContentType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil // not guessed
				if test.contentType != "" {
					w.Header().Set("Content-Type", test.contentType)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			r := client.Do(t.Context(), backend, Call{Operation: test.op, Deployment: "d", ID: "x", Body: bodyOf("{}"), Stream: test.stream})
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.outcome || r.Reason != test.reason {
				t.Fatalf("got %v, %q, want %v, %q: %v", r.Outcome, r.Reason, test.outcome, test.reason, r.Err)
			}
			if r.Outcome != OK {
				return
			}
			if text, d := relayed(r); text != test.body || d.Err != nil || d.HasUsage || r.Stream || r.Status != test.status {
				t.Errorf("the client gets %d %q, stream %t: %+v", r.Status, text, r.Stream, d)
			}
			if _, said := r.Header["Content-Length"]; said == (test.status == 204) {
				t.Errorf("status %d with the header %v", test.status, r.Header)
			}
		})
	}
}

// A file passes as it is, also if it looks like an answer of a model and is too long to
// be read whole.
func TestFilesAreNotRead(t *testing.T) {
	for _, padding := range []int{10, 2 * maxWhole} {
		file := strings.Replace(chatAnswer, `"Hi."`, `"`+strings.Repeat("x", padding)+`"`, 1)
		client, backend := serve(t, answer(200, json, file))
		r := client.Do(t.Context(), backend, Call{Operation: openai.FileContent, ID: "file-1"})
		checkResult(t, r)
		if text, d := relayed(r); text != file || d.HasUsage || r.HasUsage || r.ObjectID != "" || d.ObjectStatus != "" || d.Err != nil {
			t.Errorf("the client gets %d bytes of %d, id %q: %+v", len(text), len(file), r.ObjectID, d)
		}
		r.Close()
	}
}

// Of a request that names something by its id, it is the client's matter that there is
// no such thing; only what is not the API's word is the backend's.
func TestNotFoundByAnID(t *testing.T) {
	const nothing = `{"error":{"message":"No such response.","type":"invalid_request_error","param":null,"code":null}}`
	tests := []struct {
		op          openai.Operation
		contentType string
		body        string
		want        Outcome
	}{
		{openai.GetResponse, json, nothing, ClientFault},
		{openai.CancelBatch, json, nothing, ClientFault},
		{openai.FileContent, json, `{"error":{"code":"404","message":"Resource not found"}}`, ClientFault},
		{openai.GetResponse, html, "<html>not here</html>", Broken},
		{openai.ListFiles, json, nothing, Broken},
		{openai.Responses, json, nothing, Broken},
		{openai.Responses, json, `{"error":{"code":"previous_response_not_found","message":"no"}}`, ClientFault},
	}
	for _, test := range tests {
		client, backend := serve(t, answer(404, test.contentType, test.body))
		r := client.Do(t.Context(), backend, Call{Operation: test.op, ID: "x"})
		checkResult(t, r)
		if r.Outcome != test.want {
			t.Errorf("%v, %s: got %v, want %v", test.op, test.body, r.Outcome, test.want)
		}
		r.Close()
	}
}

// Speech can be heard while it comes: its first bytes do not wait for the rest.
func TestSoundIsRelayedAsItComes(t *testing.T) {
	heard := make(chan struct{})
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		for _, piece := range []string{"first", "second"} {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
			<-heard
		}
	})
	r := client.Do(t.Context(), backend, Call{Operation: openai.Speech, Deployment: "tts", Body: bodyOf("{}")})
	defer r.Close()
	checkResult(t, r)
	var pieces []string
	d := r.Relay(writer(func(p []byte) (int, error) {
		pieces = append(pieces, string(p))
		return len(p), nil
	}), func() error {
		heard <- struct{}{}
		return nil
	})
	if got := strings.Join(pieces, "|"); got != "first|second" || d.Err != nil {
		t.Errorf("the client hears %q, want %q: %v", got, "first|second", d.Err)
	}
}

// Speech that breaks off before its first byte has failed; later the gateway is told,
// and has to cut the client's connection.
func TestSoundThatBreaksOff(t *testing.T) {
	for sent, want := range map[string]Outcome{"": Failed, "first": OK} {
		backend := rawBackend(t, func(c net.Conn) {
			readRequest(c)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 100\r\n\r\n%s", sent)
		})
		client := New(Options{})
		r := client.Do(t.Context(), backend, Call{Operation: openai.Speech, Deployment: "tts", Body: bodyOf(chatRequest)})
		checkResult(t, r)
		if r.Outcome != want {
			t.Errorf("behind %q: got %v, want %v: %v", sent, r.Outcome, want, r.Err)
		}
		if text, d := relayed(r); want == OK && (text != sent || !d.Truncated || d.Reason != ReasonCut) {
			t.Errorf("the client gets %q: %+v", text, d)
		}
		r.Close()
		client.CloseIdleConnections()
	}
}

// The id and the status of what an answer is about are known before it is relayed, of
// an answer too long to be read whole if they stand in its beginning.
func TestIDAndStatusOfAnAnswer(t *testing.T) {
	const response = `{"id":"resp_1","object":"response","status":"completed","output":[{"id":"msg_1","status":"x"}],` +
		`"usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11}}`
	long := strings.Replace(response, `"output":[`, `"padding":"`+strings.Repeat("x", 2*maxWhole)+`","output":[`, 1)
	late := strings.Replace(long, `"status":"completed",`, "", 1)
	late = strings.TrimSuffix(late, "}") + `,"status":"completed"}`
	tests := []struct {
		name       string
		op         openai.Operation
		body       string
		id, status string // when Do has returned
		last       string // the status after the relay
	}{
		{"response", openai.Responses, response, "resp_1", "completed", "completed"},
		{"long response", openai.Responses, long, "resp_1", "completed", "completed"},
		{"long response that tells its status late", openai.Responses, late, "resp_1", "", "completed"},
		{"file", openai.UploadFile, `{"id":"file-1","object":"file","bytes":7}`, "file-1", "", ""},
		{"batch", openai.CreateBatch, `{"id":"batch_1","status":"validating"}`, "batch_1", "validating", "validating"},
		{"list", openai.ListFiles, `{"data":[{"id":"file-1"}]}`, "", "", ""},
		{"an id that no path can name", openai.UploadFile, `{"id":"../file"}`, "", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, answer(200, json, test.body))
			r := client.Do(t.Context(), backend, Call{Operation: test.op, Body: bodyOf("{}")})
			defer r.Close()
			checkResult(t, r)
			text, d := relayed(r)
			if r.ObjectID != test.id || r.ObjectStatus != test.status || d.ObjectStatus != test.last || text != test.body {
				t.Errorf("got %q, %q and at last %q: %v", r.ObjectID, r.ObjectStatus, d.ObjectStatus, r.Err)
			}
			if test.op == openai.Responses {
				checkUsage(t, d, usageOfAnswer)
			}
		})
	}
}
