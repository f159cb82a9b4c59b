package postpaid_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/prove/postpaid"
)

// backends answers as told, and remembers which host was asked.
type backends struct {
	status int
	asked  []string
}

func (b *backends) RoundTrip(r *http.Request) (*http.Response, error) {
	b.asked = append(b.asked, r.URL.Host+r.URL.Path)
	if b.status == 0 {
		return nil, errors.New("no connection")
	}
	return &http.Response{StatusCode: b.status, Header: http.Header{"X-From": {r.URL.Host}}, Body: io.NopCloser(strings.NewReader("answer"))}, nil
}

// newGateway has a limit of 1,000 tokens, a threshold of 300 and charges a
// token per byte.
func newGateway(b *backends) *postpaid.Gateway {
	return postpaid.New(postpaid.Options{
		PTU:             &url.URL{Scheme: "http", Host: "ptu"},
		PAYG:            []*url.URL{{Scheme: "http", Host: "one"}, {Scheme: "http", Host: "two"}},
		TokensPerMinute: 1000,
		SpillBelow:      300,
		Charge:          func(body []byte) (int64, error) { return int64(len(body)), nil },
		Transport:       b,
	})
}

func send(g http.Handler, tokens int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/path", strings.NewReader(strings.Repeat("x", tokens))))
	return w
}

func TestTheCounterFallsWhenAnswersArriveAndRisesWithTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backends{status: http.StatusOK}
		g := newGateway(b)
		for _, tokens := range []int{400, 300, 100, 100, 100} {
			if w := send(g, tokens); w.Code != http.StatusOK || w.Body.String() != "answer" || w.Header().Get("X-From") == "" {
				t.Fatalf("got %d %q %v, want the backend's answer", w.Code, w.Body, w.Header())
			}
		}
		<-time.After(time.Minute)
		send(g, 100)
		// 1,000, 600, 300 are enough; 200 is not.
		if got := strings.Join(b.asked, " "); got != "ptu/path ptu/path ptu/path two/path one/path ptu/path" {
			t.Errorf("asked %s, want ptu/path ptu/path ptu/path two/path one/path ptu/path", got)
		}
	})
}

func TestTheClientGetsTheBackends429AndItIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backends{status: http.StatusTooManyRequests}
		g := newGateway(b)
		for range 5 {
			if w := send(g, 900); w.Code != http.StatusTooManyRequests {
				t.Fatalf("got %d, want 429", w.Code)
			}
		}
		if got := strings.Join(b.asked, " "); strings.Contains(got, "one") || strings.Contains(got, "two") {
			t.Errorf("asked %s, want only the PTU: refused requests do not reduce the counter", got)
		}
	})
}

func TestABackendThatCannotBeReachedIsABadGateway(t *testing.T) {
	if w := send(newGateway(new(backends)), 1); w.Code != http.StatusBadGateway {
		t.Errorf("got %d, want 502", w.Code)
	}
}
