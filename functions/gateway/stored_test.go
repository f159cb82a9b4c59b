package gateway_test

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// upload is a form with a file and these fields, the file in front: a field that
// stands behind it must be found, too.
func upload(path, key string, file string, fields ...string) rig.Call {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, _ := w.CreateFormFile("file", "file.wav")
	_, _ = part.Write([]byte(file))
	for i := 0; i < len(fields); i += 2 {
		_ = w.WriteField(fields[i], fields[i+1])
	}
	_ = w.Close()
	return rig.Call{Path: path, Key: key, Body: body.String(), Header: map[string]string{"Content-Type": w.FormDataContentType()}}
}

func (s *site) upload(c rig.Call) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.Send(s.t.Context(), c)
}

// ids are the ids that a list names, or the id of a single object.
func (s *site) ids(w *httptest.ResponseRecorder) []string {
	s.t.Helper()
	var got struct {
		ID   string
		Data []struct{ ID string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 || err != nil {
		s.t.Fatalf("no list and no object: %d %s, want 200", w.Code, w.Body)
	}
	var ids []string
	if got.ID != "" {
		ids = append(ids, got.ID)
	}
	for _, entry := range got.Data {
		ids = append(ids, entry.ID)
	}
	return ids
}

// v1Others is the pair of backends for two teams that may both use all models.
var v1Others = v1Pair + consumer("team", teamKey, "requestsPerMinute: 1000") + consumer("others", otherKey, "")

// Files live on the backend that the configuration names for them. Who shares it sees
// only its own.
func TestFilesAreTheirOwnersOnly(t *testing.T) {
	runBefore(t, v1Others, v1Backends, func(s *site) {
		mine := s.ids(s.upload(upload("/v1/files", teamKey, "{}\n", "purpose", "batch")))
		theirs := s.ids(s.upload(upload("/v1/files", otherKey, "{ }\n", "purpose", "batch")))
		if got := s.ids(s.send("GET", "/v1/files?purpose=batch", teamKey, "")); !slices.Equal(got, mine) {
			t.Errorf("the team's list has %v, want %v", got, mine)
		}
		path := "/v1/files/" + mine[0]
		if w := s.send("GET", path+"/content", teamKey, ""); w.Code != 200 || w.Body.String() != "{}\n" {
			t.Errorf("content: %d %q", w.Code, w.Body)
		}
		for _, test := range []struct{ method, path string }{{"GET", path}, {"GET", path + "/content"}, {"DELETE", path}} {
			s.refused(s.send(test.method, test.path, otherKey, ""), 404, "")
		}
		batch := `{"input_file_id":"` + theirs[0] + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`
		s.refused(s.send("POST", "/v1/batches", teamKey, batch), 404, "")

		s.servedBy(s.send("DELETE", path, teamKey, ""), "east", "")
		s.refused(s.send("GET", path, teamKey, ""), 404, "")
		if n := s.asked("west.test", "whisper"); n != 0 {
			t.Error("the other backend was asked")
		}
	})
}

// A batch goes through the backend of its file. The file that it makes is its owner's.
func TestBatch(t *testing.T) {
	runBefore(t, v1Others, v1Backends, func(s *site) {
		const line = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"east-4o","messages":[{"role":"user","content":"Hi"}]}}`
		input := s.ids(s.upload(upload("/v1/files", teamKey, line+"\n", "purpose", "batch")))
		made := s.ids(s.send("POST", "/v1/batches", teamKey, `{"input_file_id":"`+input[0]+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`))
		path := "/v1/batches/" + made[0]
		s.refused(s.send("GET", path, otherKey, ""), 404, "")
		if got := s.ids(s.send("GET", "/v1/batches", otherKey, "")); len(got) != 0 {
			t.Errorf("the others see the batches %v", got)
		}
		var batch struct {
			Status string
			Output string `json:"output_file_id"`
		}
		for range 200 {
			if err := json.Unmarshal(s.send("GET", path, teamKey, "").Body.Bytes(), &batch); err != nil {
				t.Fatal(err)
			}
			if batch.Status == "completed" {
				break
			}
			s.wait(time.Minute)
		}
		if w := s.send("GET", "/v1/files/"+batch.Output+"/content", teamKey, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"custom_id"`) {
			t.Errorf("the output of %+v: %d %s", batch, w.Code, w.Body)
		}
		s.refused(s.send("GET", "/v1/files/"+batch.Output, otherKey, ""), 404, "")
	})
}

// A client that chooses another backend than the one that keeps what it asks for is
// told so.
func TestStoredElsewhere(t *testing.T) {
	runBefore(t, v1Pair+consumer("team", teamKey, "mayChooseBackend: true"), v1Backends, func(s *site) {
		path := "/v1/responses/" + s.response(s.respond("")).ID
		for name, value := range map[string]string{"x-spillway-backend": "west", "x-spillway-exclude": "west, east"} {
			e := s.refused(s.Send(s.t.Context(), rig.Call{Method: "GET", Path: path, Key: teamKey, Header: map[string]string{name: value}}), 400, "invalid_header")
			if !strings.Contains(e.Message, "kept by east") {
				t.Errorf("%s: the answer does not help: %s", name, e.Message)
			}
		}
		s.servedBy(s.Send(s.t.Context(), rig.Call{Method: "GET", Path: path, Key: teamKey, Header: map[string]string{"x-spillway-backend": "east"}}), "east", "")
	})
}

// Without a backend for files in the pools that a consumer may use there are none.
func TestNoBackendForFiles(t *testing.T) {
	run(t, keyed, func(s *site) {
		for _, call := range []rig.Call{
			upload("/v1/files", teamKey, "{}", "purpose", "batch"),
			{Method: "GET", Path: "/openai/files?api-version=2024-10-21", Key: teamKey},
			{Path: "/openai/v1/batches", Key: teamKey, Body: `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
		} {
			s.refused(s.Send(s.t.Context(), call), 400, "files_not_available")
		}
	})
}

// A form finds its model wherever it stands, goes to another backend when the first
// fails, and names the deployment there. It takes a request of the consumer's limits.
func TestTranscription(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		call := upload("/v1/audio/transcriptions", teamKey, strings.Repeat("sound ", 1000), "model", "whisper")
		s.hosts["east.test"].Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Times: 1})
		w := s.upload(call)
		s.servedBy(w, "west", "failed")
		got, _ := s.hosts["west.test"].LastRequest()
		if !bytes.Contains(got.Body, []byte(strings.Repeat("sound ", 1000))) || !bytes.Contains(got.Body, []byte("whisper")) {
			t.Errorf("the backend got %d bytes", len(got.Body))
		}
		if left := w.Header().Get("X-Ratelimit-Remaining-Requests"); left != "999" {
			t.Errorf("%s requests are left, want 999", left)
		}
	})
}

// Forms that cannot be read reach no backend.
func TestFormsThatCannotBeRead(t *testing.T) {
	whole := upload("/v1/audio/transcriptions", teamKey, "sound", "model", "whisper")
	tests := []struct {
		name   string
		change func(rig.Call) rig.Call
		status int
		code   string
		says   string
	}{
		{"without a model", func(rig.Call) rig.Call { return upload("/v1/audio/transcriptions", teamKey, "sound") }, 400, "", "model"},
		{"with two models", func(rig.Call) rig.Call {
			return upload("/v1/audio/transcriptions", teamKey, "sound", "model", "whisper", "model", "gpt-4o")
		}, 400, "", "model"},
		{"of an unknown model", func(rig.Call) rig.Call { return upload("/v1/audio/transcriptions", teamKey, "sound", "model", "x") }, 404, "model_not_found", "whisper"},
		{"cut in the middle", func(c rig.Call) rig.Call { c.Body = c.Body[:len(c.Body)/2]; return c }, 400, "", "closing boundary"},
		{"no form", func(c rig.Call) rig.Call {
			c.Header = map[string]string{"Content-Type": "application/json"}
			return c
		}, 400, "", "multipart/form-data"},
		{"larger than the limit", func(c rig.Call) rig.Call {
			return upload("/v1/audio/transcriptions", teamKey, strings.Repeat("sound", 1<<20), "model", "whisper")
		}, 413, "request_too_large", "1048576"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			runBefore(t, "limits: { requestBody: 1MiB }\n"+v1Teams, v1Backends, func(s *site) {
				e := s.refused(s.upload(test.change(whole)), test.status, test.code)
				if !strings.Contains(e.Message, test.says) {
					t.Errorf("the answer does not help: %s", e.Message)
				}
				if n := len(s.hosts["east.test"].Requests()); n != 0 {
					t.Errorf("%d requests reached a backend, want 0", n)
				}
			})
		})
	}
}

// What the consumer may use is listed, in every dialect, and nothing else.
func TestModelsAreListed(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		for _, path := range []string{"/v1/models", "/openai/v1/models", "/openai/models?api-version=2024-10-21"} {
			if got := s.ids(s.send("GET", path, otherKey, "")); !slices.Equal(got, []string{"gpt-4o"}) {
				t.Errorf("%s lists %v for the others", path, got)
			}
			if got := s.ids(s.send("GET", path, teamKey, "")); !slices.Equal(got, []string{"gpt-4o", "gpt-image-1", "tts", "whisper"}) {
				t.Errorf("%s lists %v for the team", path, got)
			}
		}
		if got := s.ids(s.send("GET", "/v1/models/whisper", teamKey, "")); !slices.Equal(got, []string{"whisper"}) {
			t.Errorf("one model: %v", got)
		}
		s.refused(s.send("GET", "/v1/models/whisper", otherKey, ""), 404, "model_not_found")
		s.refused(s.send("GET", "/v1/models", "nobody's key, which is long", ""), 401, "invalid_api_key")
	})
}

// The realtime API needs websockets, which there are none.
func TestRealtimeIsNotServed(t *testing.T) {
	run(t, keyed, func(s *site) {
		for _, call := range []rig.Call{
			{Method: "GET", Path: "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-4o", Key: teamKey},
			{Method: "GET", Path: "/v1/realtime?model=gpt-4o", Key: teamKey, Header: map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"}},
			{Method: "GET", Path: "/v1/models", Key: teamKey, Header: map[string]string{"Connection": "Upgrade", "Upgrade": "WebSocket"}},
		} {
			s.refused(s.Send(s.t.Context(), call), 501, "not_implemented")
		}
	})
}

// Images and speech are relayed as they are. What reports no tokens is counted as a
// request alone.
func TestImagesAndSpeech(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		w := s.send("POST", "/v1/images/generations", teamKey, `{"model":"gpt-image-1","prompt":"A dam","size":"1024x1024"}`)
		s.servedBy(w, "east", "")
		if r := s.last(); !r.Measured || r.Tokens.Total() == 0 {
			t.Errorf("an image is recorded as %+v", r)
		}
		w = s.send("POST", "/v1/audio/speech", teamKey, `{"model":"tts","input":"Hello!","voice":"alloy"}`)
		s.servedBy(w, "east", "")
		if kind := w.Header().Get("Content-Type"); kind != "audio/mpeg" || w.Body.Len() == 0 {
			t.Errorf("speech: %s, %d bytes", kind, w.Body.Len())
		}
		if r := s.last(); r.Tokens.Total() != 0 {
			t.Errorf("speech is recorded as %+v", r)
		}
	})
}
