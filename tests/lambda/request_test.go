package lambda_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

const single = `
access: keys
backends:
  - { name: only, endpoint: "${BACKEND}", auth: { apiKey: backend-key }, deployments: [{ model: gpt }] }
pools:
  - { model: gpt, members: [{ backend: only }] }
consumers:
  - { name: one, keys: ["caller-key-of-the-tests"] }
`

const small = `{"model":"gpt","messages":[{"role":"user","content":"Hello."}]}`

func caller(contentType string) http.Header {
	return http.Header{"Content-Type": {contentType}, "Api-Key": {"caller-key-of-the-tests"}}
}

// A request through the URL: the answer is the backend's, the caller's key stays here,
// and so does what Lambda has added to the request. A body of another type comes to
// the function in base64.
func TestCompletion(t *testing.T) {
	backend, url := newBackend(t, azureopenai.Options{Name: "only", Key: "backend-key", Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	i := start(t, single, map[string]string{"BACKEND": url}, patience)
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/octet-stream"} {
		a := i.post(t, small, caller(contentType))
		var completion struct {
			Choices []struct{ Message struct{ Content string } }
			Usage   struct {
				Total int `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(a.body), &completion); a.status != http.StatusOK || a.err != nil || err != nil ||
			len(completion.Choices) != 1 || completion.Choices[0].Message.Content == "" || completion.Usage.Total == 0 || a.served() != "only" {
			t.Fatalf("%s: %+v, %v", contentType, a, err)
		}
		got, ok := backend.LastRequest()
		if !ok || string(got.Body) != small || got.Header.Get("Api-Key") != "backend-key" {
			t.Errorf("the backend got %s with %v", got.Body, got.Header)
		}
		for name := range got.Header {
			if strings.HasPrefix(name, "X-Amzn-") || strings.HasPrefix(name, "X-Forwarded-") {
				t.Errorf("the backend got %s", name)
			}
		}
		if strings.Contains(got.Host, "lambda-url") {
			t.Errorf("the backend got the host %s", got.Host)
		}
	}
	if a := i.post(t, small, http.Header{"Api-Key": {"wrong"}}); a.status != http.StatusUnauthorized || a.code() == "" {
		t.Errorf("with a wrong key: %+v", a)
	}
	if response, err := http.Get(i.url + "/spillway/healthz"); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("healthz: %v", err)
	} else {
		response.Body.Close()
	}
}

// The events of a stream arrive one by one: the backend sends each when the client
// has read the one before.
func TestStream(t *testing.T) {
	const events = 5
	read := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w)
		for n := range events {
			fmt.Fprintf(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{"content":"%d"}}]}`+"\n\n", n)
			_ = flush.Flush() // the client has left: so the test says
			select {
			case <-read:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(backend.Close)
	i := start(t, single, map[string]string{"BACKEND": backend.URL}, patience)

	request, err := http.NewRequestWithContext(limited(t), http.MethodPost, i.url+"/v1/chat/completions", strings.NewReader(strings.Replace(small, "{", `{"stream":true,`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = caller("application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
		t.Fatalf("%s, %s", response.Status, kind)
	}
	lines := bufio.NewReader(response.Body)
	for n := range events {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf(`"content":"%d"`, n); err != nil || !strings.Contains(line, want) {
			t.Fatalf("event %d is %q: %v", n, line, err)
		}
		if blank, err := lines.ReadString('\n'); err != nil || blank != "\n" {
			t.Fatalf("event %d ends with %q, want %q: %v", n, blank, "\n", err)
		}
		read <- struct{}{}
	}
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "data: [DONE]\n\n" {
		t.Errorf("the stream ends with %q: %v", rest, err)
	}
}

// A backend that hangs until the function's time is up: the caller is told so, in time,
// and the instance lives on.
func TestOutOfTime(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for deadlines")
	}
	t.Parallel()
	backend, url := newBackend(t, azureopenai.Options{Key: "backend-key", Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	i := start(t, single, map[string]string{"BACKEND": url}, 5*time.Second)
	backend.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
	if a := i.post(t, small, caller("application/json")); a.status != http.StatusGatewayTimeout || a.code() != "timeout" || a.err != nil {
		t.Errorf("an answer that does not begin: %+v", a)
	}
	backend.Clear()
	backend.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 3})
	a := i.post(t, strings.Replace(small, "{", `{"stream":true,`, 1), caller("application/json"))
	if a.status != http.StatusOK || a.err != nil || strings.Count(a.body, "data: ") != 4 || !strings.Contains(a.body[strings.LastIndex(a.body, "data: "):], `"error"`) {
		t.Errorf("a stream that does not go on: %+v", a)
	}
	backend.Clear()
	if a := i.post(t, small, caller("application/json")); a.status != http.StatusOK {
		t.Errorf("the next call: %+v, want status %v", a, http.StatusOK)
	}
}

// A plain answer that the backend breaks off does not look complete to the client, and
// the instance lives on.
func TestBrokenAnswer(t *testing.T) {
	backend, url := newBackend(t, azureopenai.Options{Key: "backend-key", Deployments: []azureopenai.Deployment{
		{Name: "gpt", Output: &azureopenai.Output{Exact: 100_000}}, // larger than what is kept until it is whole
	}})
	i := start(t, single, map[string]string{"BACKEND": url}, patience)
	backend.Inject(azureopenai.Fault{Kind: azureopenai.FaultCut, Times: 1})
	if a := i.post(t, small, caller("application/json")); a.status != http.StatusOK || a.err == nil || len(a.body) < 100_000 {
		t.Errorf("the answer seems complete: %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	if a := i.post(t, small, caller("application/json")); a.status != http.StatusOK || a.err != nil {
		t.Errorf("the next call: %d, want %d, %d bytes, %v", a.status, http.StatusOK, len(a.body), a.err)
	}
}
