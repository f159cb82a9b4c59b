package gateway_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// v1Pair is two backends of the dialect azure-v1 that serve one model to two teams;
// east is tried first.
const v1Pair = `
access: keys
admin: { keys: ["` + adminKey + `"] }
backends:
  - { name: east, endpoint: "http://east.test", api: azure-v1, auth: { apiKey: "key of east" }, files: true,
      deployments: [{ model: gpt-4o, deployment: east-4o, tokensPerMinute: 10000, accounting: actual }, { model: whisper }, { model: gpt-image-1 }, { model: tts }] }
  - { name: west, endpoint: "http://west.test", api: azure-v1, auth: { apiKey: "key of west" },
      deployments: [{ model: gpt-4o, deployment: west-4o }, { model: whisper }] }
pools:
  - { model: gpt-4o, members: [{ backend: east }, { backend: west, priority: 2 }] }
  - { model: whisper, members: [{ backend: east }, { backend: west, priority: 2 }] }
  - { model: gpt-image-1, members: [{ backend: east }] }
  - { model: tts, members: [{ backend: east }] }
consumers:
`

const otherKey = clientSecret + " of the others"

var v1Teams = v1Pair + consumer("team", teamKey, "tokensPerMinute: 100000, requestsPerMinute: 1000") + consumer("others", otherKey, "models: [gpt-4o]")

func v1Backends() hosts {
	backend := func(name string) *azureopenai.Server {
		return azureopenai.New(azureopenai.Options{
			Name: name, Key: "key of " + name, Output: azureopenai.Output{Exact: 20},
			Deployments: []azureopenai.Deployment{{Name: name + "-4o", Model: "gpt-4o"}, {Name: "whisper"}, {Name: "gpt-image-1"}, {Name: "tts"}},
		})
	}
	return hosts{"east.test": backend("east"), "west.test": backend("west")}
}

// wireResponse is what the tests read of a response.
type wireResponse struct {
	ID                 string
	Status             string
	PreviousResponseID string `json:"previous_response_id"`
	Usage              *struct {
		InputTokens  int64 `json:"input_tokens"`
		OutputTokens int64 `json:"output_tokens"`
		TotalTokens  int64 `json:"total_tokens"`
	}
}

func (s *site) response(w *httptest.ResponseRecorder) wireResponse {
	s.t.Helper()
	var got wireResponse
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 || err != nil || got.ID == "" {
		s.t.Fatalf("no response: %d %s", w.Code, w.Body)
	}
	return got
}

func (s *site) send(method, path, key, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.Send(s.t.Context(), rig.Call{Method: method, Path: path, Key: key, Body: body})
}

// respond makes a response for the team.
func (s *site) respond(settings string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.send("POST", "/v1/responses", teamKey, `{"model":"gpt-4o","input":"Hello!","max_output_tokens":20`+settings+`}`)
}

// A response takes its tokens by the path of every request: reserved before it is
// sent, from max_output_tokens, and settled to what it took.
func TestResponseTakesTokens(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		s.servedBy(s.respond(""), "east", "")
		record := s.last()
		if record.Estimated < 20 || !record.Measured || record.Tokens.Completion != 20 || record.Tokens.Prompt == 0 {
			t.Errorf("recorded %+v", record)
		}
		w := s.respond(`,"stream":true`)
		streamed := s.last()
		if w.Code != 200 || !strings.Contains(w.Body.String(), "event: response.completed") || streamed.Tokens != record.Tokens || !streamed.Measured {
			t.Errorf("stream: %d, recorded %+v, %s", w.Code, streamed, w.Body)
		}
		left := s.deployment("east/east-4o").Tokens.Remaining
		if want := 10000 - 2*record.Tokens.Total(); left != want {
			t.Errorf("%d tokens are left of the deployment's limit, want %d", left, want)
		}
	})
}

// A response that does not fit spills over like any other request.
func TestResponseSpillsOver(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		w := s.send("POST", "/v1/responses", teamKey, `{"model":"gpt-4o","input":"Hello!","max_output_tokens":20000}`)
		s.servedBy(w, "west", "too_large")
	})
}

// A stored response is asked for where it was made, whoever is tried first otherwise.
// What follows it goes there, too.
func TestStoredResponseIsFoundWhereItWasMade(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		s.hosts["east.test"].Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 5 * time.Second, Times: 1})
		first := s.respond("")
		s.servedBy(first, "west", "throttled")
		made := s.response(first)
		s.wait(6 * time.Second)
		s.servedBy(s.respond(""), "east", "")

		path := "/v1/responses/" + made.ID
		for _, test := range []struct{ method, path string }{{"GET", path}, {"GET", path + "/input_items?order=asc"}, {"GET", "/openai/v1/responses/" + made.ID}} {
			s.servedBy(s.send(test.method, test.path, teamKey, ""), "west", "")
		}
		next := s.respond(`,"previous_response_id":"` + made.ID + `"`)
		s.servedBy(next, "west", "chosen")
		if got := s.response(next); got.PreviousResponseID != made.ID {
			t.Errorf("the next response follows %q, want %q", got.PreviousResponseID, made.ID)
		}
		s.servedBy(s.send("DELETE", path, teamKey, ""), "west", "")
		s.refused(s.send("GET", path, teamKey, ""), 404, "")
	})
}

// Nobody finds another's response, nor one that was not to be stored.
func TestResponseOfAnother(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		made := s.response(s.respond(""))
		path := "/v1/responses/" + made.ID
		for _, test := range []struct{ method, path string }{{"GET", path}, {"DELETE", path}, {"POST", path + "/cancel"}, {"GET", path + "/input_items"}} {
			s.refused(s.send(test.method, test.path, otherKey, ""), 404, "")
		}
		s.refused(s.send("POST", "/v1/responses", otherKey, `{"model":"gpt-4o","input":"Hi","previous_response_id":"`+made.ID+`"}`), 404, "previous_response_not_found")
		s.servedBy(s.send("GET", path, teamKey, ""), "east", "")

		kept := s.response(s.respond(`,"store":false`))
		s.refused(s.send("GET", "/v1/responses/"+kept.ID, teamKey, ""), 404, "")
	})
}

// When the backend that keeps the previous response is out, the client is told so,
// or served without it, if it would rather.
func TestPreviousResponseOfABackendThatIsOut(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		made := s.response(s.respond(""))
		s.hosts["east.test"].Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500})
		follow := rig.Call{Path: "/v1/responses", Key: teamKey, Body: `{"model":"gpt-4o", "previous_response_id":"` + made.ID + `", "input":"And?"}`}
		e := s.refused(s.Send(s.t.Context(), follow), 503, "backend_unavailable")
		if !strings.Contains(e.Message, "east") {
			t.Errorf("the answer does not help: %s", e.Message)
		}
		s.refused(s.send("GET", "/v1/responses/"+made.ID, teamKey, ""), 503, "backend_unavailable")

		follow.Header = map[string]string{"x-spillway-fresh-route": "true"}
		w := s.Send(s.t.Context(), follow)
		s.servedBy(w, "west", "failed")
		if got := s.response(w); got.PreviousResponseID != "" || w.Header().Get("X-Spillway-Fresh-Route") != "true" {
			t.Errorf("the answer %+v does not tell that it begins afresh: %v", got, w.Header())
		}
	})
}

// A response that is made in the background is charged with its estimate at once, and
// with what it took when its client asks for it: once, however often it asks.
func TestResponseInTheBackground(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		made := s.response(s.respond(`,"background":true`))
		if made.Status != "queued" || made.Usage != nil {
			t.Fatalf("made %+v", made)
		}
		if r := s.last(); r.Tokens.Total() != 0 || r.Measured {
			t.Errorf("recorded before it is made: %+v", r)
		}
		var done wireResponse
		for range 100 {
			if done = s.response(s.send("GET", "/v1/responses/"+made.ID, teamKey, "")); done.Status == "completed" {
				break
			}
			s.wait(time.Second)
		}
		if done.Usage == nil || s.last().Tokens.Total() != done.Usage.TotalTokens || !s.last().Measured {
			t.Errorf("done %+v, recorded %+v", done, s.last())
		}
		s.response(s.send("GET", "/v1/responses/"+made.ID, teamKey, ""))
		if again := s.last(); again.Tokens.Total() != 0 {
			t.Errorf("charged twice: %+v", again)
		}
	})
}

// The stream of a response that is made in the background tells what it took: then
// it is charged with that, and not again when it is asked for.
func TestStreamOfAResponseInTheBackground(t *testing.T) {
	runBefore(t, v1Teams, v1Backends, func(s *site) {
		w := s.respond(`,"background":true,"stream":true`)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "response.completed") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if r := s.last(); !r.Measured || r.Tokens.Completion != 20 {
			t.Errorf("the stream is recorded as %+v", r)
		}
		_, rest, _ := strings.Cut(w.Body.String(), `"response":{`)
		_, rest, _ = strings.Cut(rest, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		s.response(s.send("GET", "/v1/responses/"+id, teamKey, ""))
		if r := s.last(); r.Tokens.Total() != 0 {
			t.Errorf("charged twice: %+v", r)
		}
	})
}
