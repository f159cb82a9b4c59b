package gateway

import (
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"spillway/shared/auth"
	"spillway/shared/openai"
	"spillway/shared/tokens"
)

// request is a client's request once it has been read. Nothing in it changes
// afterwards, but for counted, and for the traceparent of a request that is traced.
type request struct {
	route    openai.Route
	wire     *openai.Request
	model    string      // as the client asked for it
	header   http.Header // the client's, without credentials
	estimate tokens.Estimate
	azure    int64 // what Azure's own limiter charges
	// counted is the exact number of the prompt's tokens, made at most once and
	// only if a decision hangs on it; 0: not made, negative: it cannot be.
	counted int64
	// failed are the attempts of which the backend had the request and failed, by
	// their place in the record.
	failed []int
	span   Span // nil: the request is not traced
}

// findRoute finds the operation that a path names.
func findRoute(r *http.Request) (openai.Route, *openai.Error) {
	route, ok := openai.ParseRoute(r.URL)
	if !ok {
		return route, openai.UnknownURL(r.Method, r.URL.Path)
	}
	if r.Method != http.MethodPost {
		return route, openai.MethodNotAllowed(r.Method, http.MethodPost)
	}
	return route, nil
}

// parse reads what the gateway must know of the body, and estimates its tokens.
func (g *Gateway) parse(route openai.Route, r *http.Request, body []byte) (*request, *openai.Error) {
	wire, refused := openai.ParseRequest(route.Operation, body)
	if refused != nil {
		return nil, refused
	}
	model := wire.Model
	if route.Model != "" {
		model = route.Model // the path names the deployment; Azure ignores the body's
	}
	if model == "" {
		return nil, openai.InvalidRequest("model", "you must provide a model parameter")
	}
	return &request{
		route:    route,
		wire:     wire,
		model:    model,
		header:   forwardable(r.Header),
		estimate: g.Estimator.Estimate(model, wire),
		azure:    tokens.AzureCharge(wire),
	}, nil
}

// ownHeaders are not a backend's business: those that the platform in front of
// the gateway adds, and those that choose among the accounts of a caller's own
// OpenAI key, which is not the key that the backend gets.
var ownHeaders = []string{
	"Openai-Organization", "Openai-Project",
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
	"X-Azure-Functions-Hostversion", "X-Azure-Functions-Invocationid", "X-Ms-Invocation-Id",
	"X-Original-Url", "X-Arr-Log-Id", "X-Arr-Ssl", "Disguised-Host", "Was-Default-Hostname", "X-Site-Deployment-Id",
	"X-Waws-Unencoded-Url", "Client-Ip", "Max-Forwards",
}

// forwardable is a copy of the client's headers without its credentials.
func forwardable(client http.Header) http.Header {
	header := maps.Clone(client) // the values are only read
	auth.Strip(header, nil)
	for _, name := range ownHeaders {
		delete(header, name)
	}
	return header
}

// body is a request body in a pooled buffer.
type body struct {
	bytes []byte
	pool  *bodyPool
}

// maxPooledBody keeps one huge request from pinning its memory for ever.
const maxPooledBody = 1 << 20

// bodyPool recycles the buffers of request bodies.
type bodyPool struct{ sync.Pool }

// take returns an empty body with room for n bytes.
func (p *bodyPool) take(n int64) *body {
	b, _ := p.Get().(*body)
	if b == nil {
		b = &body{pool: p}
	}
	if int64(cap(b.bytes)) < n {
		b.bytes = make([]byte, 0, n)
	}
	b.bytes = b.bytes[:0]
	return b
}

func (b *body) release() {
	if cap(b.bytes) <= maxPooledBody {
		b.pool.Put(b)
	}
}

// readBody reads the whole body. A client that stops sending is told so after
// Options.BodyIdle, and a body that is too large is not read to its end.
func (g *Gateway) readBody(w *response, r *http.Request) (*body, *openai.Error) {
	if r.ContentLength > g.MaxBody {
		return nil, openai.TooLarge(g.MaxBody)
	}
	const unknown = 8 << 10
	size := r.ContentLength + 1 // one more, so that the read that finds EOF needs no growth
	if size <= 0 {
		size = unknown
	}
	b := g.bodies.take(size)
	connection := http.NewResponseController(w.ResponseWriter)
	limited := http.MaxBytesReader(w.ResponseWriter, r.Body, g.MaxBody)
	for {
		if len(b.bytes) == cap(b.bytes) {
			b.bytes = append(b.bytes, 0)[:len(b.bytes)]
		}
		// Not every host has deadlines; those that have none bound the call themselves.
		_ = connection.SetReadDeadline(time.Now().Add(g.BodyIdle))
		n, err := limited.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if err == io.EOF {
			_ = connection.SetReadDeadline(time.Time{}) // the server watches the connection for the client's leaving
			return b, nil
		}
		if err != nil {
			// The deadline stays: before it answers, the server tries to read the rest.
			b.release()
			return nil, g.bodyError(err)
		}
	}
}
