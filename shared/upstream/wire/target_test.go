package wire

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

// What is not ordinary is not sent by Send, and its body is not asked for.
func TestSendIsForOrdinaryRequests(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for name, test := range map[string]struct {
		url    string
		header []Field
		body   *inMemory
	}{
		"another scheme": {"ftp://contoso.test/", nil, fromMemory("body")},
		"Connection":     {b.url, []Field{{"Connection", []string{"close"}}}, fromMemory("body")},
		"bad value":      {b.url, []Field{{"A", []string{"b"}}, {"C", []string{"d\r\ne: f"}}}, fromMemory("body")},
		"empty body":     {b.url, nil, fromMemory()},
	} {
		if got := post(t.Context(), targetOf(t, transport, test.url), test.header, test.body); got.err != ErrNotOrdinary || test.body.sent > 0 {
			t.Errorf("%s: got %+v, sent %d times", name, got, test.body.sent)
		}
	}
	if got := b.connections.Load(); got != 0 {
		t.Errorf("%d connections were made", got)
	}
}

// A context that has ended before sends nothing, and its body is not asked for.
func TestSendAfterTheEnd(t *testing.T) {
	b := listen(t, answering(okAnswer))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := fromMemory("body")
	got := post(ctx, targetOf(t, newTransport(t), b.url), nil, body)
	if !errors.Is(got.err, context.Canceled) || body.sent > 0 || b.connections.Load() > 0 {
		t.Errorf("got %+v, sent %d times on %d connections", got, body.sent, b.connections.Load())
	}
}

// bounded is a body that may be sent so often.
type bounded struct {
	*inMemory
	times int
}

var errSpent = errors.New("sent often enough")

func (b *bounded) Segments() ([][]byte, error) {
	if b.sent == b.times {
		return nil, errSpent
	}
	return b.inMemory.Segments()
}

// The body says whether it may be sent again; if not, the request ends with its reason.
func TestBodyDecidesWhetherItIsRepeated(t *testing.T) {
	for times, want := range map[int]error{0: errSpent, 1: errSpent, 2: nil} {
		b := listen(t, losingSecond)
		transport := newTransport(t)
		get(t, transport, b.url, "ok")
		body := &bounded{fromMemory("body"), times}
		got := post(t.Context(), targetOf(t, transport, b.url), []Field{{"Idempotency-Key", []string{"7"}}}, body)
		if got.err != want || body.sent != times {
			t.Errorf("%d times: got %+v, want %v, sent %d times", times, got, want, body.sent)
		}
	}
}

// Targets of one endpoint share its connections, whatever their methods and paths.
func TestTargetsShareConnections(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for _, path := range []string{"/a", "/b?c"} {
		to := targetOf(t, transport, b.url+path)
		for range 2 {
			if got := post(t.Context(), to, nil, fromMemory("body")); got.err != nil || got.status != http.StatusOK {
				t.Errorf("%s: got %+v", path, got)
			}
		}
	}
	get(t, transport, b.url, "ok")
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}
