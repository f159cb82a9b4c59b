package replay

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

func TestLoopbackCarriesRequestsUntilItIsClosed(t *testing.T) {
	network := new(Loopback)
	backend, err := network.Backend("one", azureopenai.New(azureopenai.Options{Name: "one", Deployments: []azureopenai.Deployment{{Name: model}}}))
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := network.Gateway(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if err != nil {
		t.Fatal(err)
	}
	transport := network.Transport()
	for url, want := range map[string]int{
		gateway: http.StatusTeapot,
		backend + "/openai/deployments/" + model + "/chat/completions?api-version=2024-10-21": http.StatusOK,
	} {
		answer, err := transport.RoundTrip(post(t, url))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != want {
			t.Errorf("%s: %d, %v; want %d", url, answer.StatusCode, err, want)
		}
		answer.Body.Close()
	}
	if err := network.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.RoundTrip(post(t, gateway)); err == nil {
		t.Error("the gateway answers after its network was closed")
	}
}

func post(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(string(encode("Hello.", 5))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
