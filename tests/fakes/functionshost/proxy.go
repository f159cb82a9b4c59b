package functionshost

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxForwards is how often a request that got no answer is sent again.
const maxForwards = 10

// normalize is what the server in front makes of a path: escapes are decoded, all
// but %2F, and then dots are resolved.
func normalize(escaped string) []string {
	var segments []string
	for segment := range strings.SplitSeq(strings.TrimPrefix(escaped, "/"), "/") {
		kept := strings.NewReplacer("%2F", "%252F", "%2f", "%252f").Replace(segment)
		if decoded, err := url.PathUnescape(kept); err == nil {
			segment = decoded
		}
		switch segment {
		case ".":
		case "..":
			segments = segments[:max(0, len(segments)-1)]
		default:
			segments = append(segments, segment)
		}
	}
	return segments
}

// routed tells whether a function of this instance takes a request.
func (h *Host) routed(method string, segments []string) bool {
	if n := len(segments); n > 0 && segments[n-1] == "" {
		segments = segments[:n-1]
	}
	return slices.ContainsFunc(h.app.functions, func(f *function) bool {
		return f.http != nil && h.here(f.name) && f.http.takes(method, segments)
	})
}

func (r *route) takes(method string, segments []string) bool {
	if len(r.methods) > 0 && !slices.Contains(r.methods, method) {
		return false
	}
	if len(segments) < len(r.segments) || len(segments) > len(r.segments) && !r.rest {
		return false
	}
	for i, literal := range r.segments {
		if strings.ToLower(segments[i]) != literal {
			return false
		}
	}
	return true
}

// rewrite makes the request that the handler gets: everything as it came, but the
// Host, and what the host says of itself and of the way here.
func (h *Host) rewrite(r *httputil.ProxyRequest) {
	var escaped strings.Builder
	for _, segment := range normalize(r.In.URL.EscapedPath()) {
		escaped.WriteString("/" + strings.NewReplacer("%252F", "%2F", "%252f", "%2f").Replace(url.PathEscape(segment)))
	}
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "127.0.0.1:"+h.port, ""
	r.Out.URL.RawPath = escaped.String()
	r.Out.URL.Path, _ = url.PathUnescape(r.Out.URL.RawPath) // it was escaped just now
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.SetXForwarded()
	invocation := rand.Text()
	r.Out.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	r.Out.Header.Set("X-Azure-Functions-InvocationId", invocation)
	r.Out.Header.Set("x-ms-invocation-id", invocation)
}

// bodyLimit is the largest body that is forwarded, in bytes.
func (h *Host) bodyLimit() int64 {
	if limit, err := strconv.ParseInt(h.options.Settings["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"], 10, 64); err == nil {
		return limit
	}
	return 104_857_600
}

// errIdle ends a request through which nothing has come for too long.
var errIdle = errors.New("nothing has come for too long")

// forwarder sends requests to the handler, and those without an answer again.
type forwarder struct{ host *Host }

func (f *forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	idle := time.AfterFunc(f.host.options.Idle, func() { cancel(errIdle) })
	end := func() {
		idle.Stop()
		cancel(context.Canceled)
	}
	moved := func() { idle.Reset(f.host.options.Idle) }
	var body *requestBody
	if r.Body != nil {
		body = &requestBody{Reader: r.Body, moved: moved}
	}
	for try := 0; ; try++ {
		attempt := r.WithContext(ctx)
		if body != nil {
			attempt.Body = body
		}
		response, err := f.host.forward.RoundTrip(attempt)
		if err == nil {
			moved()
			response.Body = &responseBody{ReadCloser: response.Body, moved: moved, end: end}
			return response, nil
		}
		var dial *net.OpError
		if refused := errors.As(err, &dial) && dial.Op == "dial"; !refused && ctx.Err() == nil {
			f.host.mu.Lock()
			f.host.dropped++
			f.host.mu.Unlock()
		}
		if ctx.Err() != nil || try == maxForwards || body != nil && body.read.Load() {
			end()
			return nil, errors.Join(context.Cause(ctx), err)
		}
		select {
		case <-time.After(min(50*time.Millisecond<<try, 250*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// requestBody is not closed by an attempt, so that another one can send it as long
// as nothing of it has been read.
type requestBody struct {
	io.Reader
	moved func()
	read  atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 {
		b.read.Store(true)
		b.moved()
	}
	return n, err
}

func (*requestBody) Close() error { return nil }

type responseBody struct {
	io.ReadCloser
	moved, end func()
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.moved()
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
