package fleet

import (
	"io"
	"net/http"
	"strconv"
)

// door is one instance's way to the backends, watched.
type door struct {
	instance *instance
	inner    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (d *door) RoundTrip(r *http.Request) (*http.Response, error) {
	i := d.instance
	h := i.play.history
	a := &attempt{instance: i.index, backend: i.play.byHost[r.URL.Host]}
	h.ask(a, r.Header.Get(headerID))
	if err := i.pass(); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	h.note(&a.sent)
	out := r.Clone(r.Context())
	out.Header.Set(headerAttempt, strconv.Itoa(a.number))
	response, err := d.inner.RoundTrip(out)
	if gone := i.pass(); gone != nil {
		if err == nil {
			response.Body.Close()
		}
		return nil, gone
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a.ended = h.mark()
	if err != nil {
		return nil, err
	}
	a.status = response.StatusCode
	if a.status == http.StatusTooManyRequests {
		a.form = retryForm(response.Header)
	}
	response.Body = &held{ReadCloser: response.Body, instance: i}
	return response, nil
}

// retryForm tells how a 429 says when to come back.
func retryForm(h http.Header) string {
	ms, s := h.Get("Retry-After-Ms"), h.Get("Retry-After")
	switch {
	case len(ms) > 0 && ms[0] == '-' || len(s) > 0 && s[0] == '-':
		return kindThrottleNegative
	case ms != "":
		return kindThrottleMillis
	case s != "":
		return kindThrottleSeconds
	}
	return kindThrottleBare
}

// held is an answer that reaches the process only while it runs.
type held struct {
	io.ReadCloser
	instance *instance
}

func (b *held) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if gone := b.instance.pass(); gone != nil {
		return 0, gone
	}
	return n, err
}

var _ http.RoundTripper = (*door)(nil)
