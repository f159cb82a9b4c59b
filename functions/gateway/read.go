package gateway

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"spillway/shared/auth"
	"spillway/shared/form"
	"spillway/shared/openai"
	"spillway/shared/tokens"
)

// request is a client's request once it has been read. Nothing in it changes
// afterwards, but for counted, and for the traceparent of a request that is traced.
type request struct {
	*visit
	wire     *openai.Request
	form     *form.Form  // the body, where it is one; else wire has it
	model    string      // as the client asked for it
	header   http.Header // the client's, without credentials
	estimate tokens.Estimate
	azure    int64    // what Azure's own limiter charges
	limits   []*Limit // of the consumer, once a pool is known
	// counted is the exact number of the prompt's tokens, made at most once and
	// only if a decision hangs on it; 0: not made, negative: it cannot be.
	counted int64
	// failed are the attempts of which the backend had the request and failed, by
	// their place in the record.
	failed []int
	// only is the backend that must serve: the one that the client has chosen, or that
	// keeps the response which this one follows; empty: any.
	only string
	// afresh: the previous response that the client names is taken out.
	afresh bool
	memory *body // of wire; nil where form has the body
}

// release gives the body's memory, or its file, back.
func (r *request) release() {
	if r.form != nil {
		_ = r.form.Close()
		return
	}
	r.wire.Release(r.memory.release)
}

// headerValue is a header's first value, or "". The name is in canonical form, of which
// http.Header.Get would first make sure.
func headerValue(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// findRoute finds the operation that a path names.
func findRoute(r *http.Request) (openai.Route, *openai.Error) {
	if strings.EqualFold(headerValue(r.Header, "Upgrade"), "websocket") {
		return openai.Route{}, openai.NotImplemented("This gateway has no websockets; the realtime API is not served.")
	}
	return openai.ParseRoute(r.Method, r.URL)
}

// read reads the request whole: its body into memory, or a form, which may be large,
// into a file as far as it is.
func (g *Gateway) read(v *visit, w *response, r *http.Request) (*request, *openai.Error) {
	if v.route.Operation.BodyKind() == openai.BodyForm {
		return g.readForm(v, w, r)
	}
	body, refused := g.readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	if refused = body.wire.Parse(v.route.Operation, body.bytes); refused != nil {
		body.release()
		return nil, refused
	}
	req, refused := g.understand(v, r, &body.wire)
	if refused != nil {
		body.release()
		return nil, refused
	}
	req.memory = body
	return req, nil
}

// understand finds out which model a request is for, and estimates its tokens.
func (g *Gateway) understand(v *visit, r *http.Request, wire *openai.Request) (*request, *openai.Error) {
	model := wire.Model
	if v.route.Model != "" {
		model = v.route.Model // the path names the deployment; Azure ignores the body's
	}
	if model == "" {
		return nil, openai.InvalidRequest("model", "you must provide a model parameter")
	}
	header := r.Header // must not be changed
	// A traceparent is written into it, or the form's type.
	written := v.span != nil || v.route.Operation.BodyKind() == openai.BodyForm
	if v.asked.withheld || written {
		header = forwardable(header)
	}
	req := &v.space.request
	*req = request{
		visit:    v,
		only:     v.asked.backend,
		wire:     wire,
		model:    model,
		header:   header,
		estimate: g.Estimator.Estimate(model, wire),
		azure:    tokens.AzureCharge(wire),
	}
	return req, nil
}

// notForwarded tells the headers that are not a backend's business: those that the platform
// in front of the gateway adds, and those that choose among the accounts of a caller's own
// OpenAI key, which is not the key that the backend gets.
func notForwarded(name string) bool {
	switch name {
	case "Openai-Organization", "Openai-Project",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
		"X-Azure-Functions-Hostversion", "X-Azure-Functions-Invocationid", "X-Ms-Invocation-Id",
		"X-Original-Url", "X-Arr-Log-Id", "X-Arr-Ssl", "Disguised-Host", "Was-Default-Hostname",
		"X-Site-Deployment-Id", "X-Waws-Unencoded-Url", "Client-Ip", "Max-Forwards":
		return true
	}
	return false
}

// withheld tells the fields that have to be taken out of a client's header, but for the
// credentials that nearly every request has, which package upstream never sends on.
func withheld(name string) bool {
	return name != "Authorization" && name != "Api-Key" && (notForwarded(name) || auth.IsSecretHeader(name))
}

// forwardable are the client's headers without its credentials and without what is no
// backend's business, in a map of their own. The values are only read.
func forwardable(client http.Header) http.Header {
	header := maps.Clone(client)
	auth.Strip(header, nil)
	maps.DeleteFunc(header, func(name string, _ []string) bool { return notForwarded(name) })
	return header
}

// body is a request body in a pooled buffer, and what was read of it.
type body struct {
	bytes   []byte
	wire    openai.Request
	release func() // gives it back to its pool
}

// maxPooledBody keeps huge requests from pinning their memory: longer ones are rare.
const maxPooledBody = 4 << 20

// bodyPool recycles request bodies.
type bodyPool struct{ sync.Pool }

// take returns an empty body with room for n bytes.
func (p *bodyPool) take(n int64) *body {
	b, _ := p.Get().(*body)
	if b == nil {
		b = new(body)
		b.release = func() { p.put(b) }
	}
	if int64(cap(b.bytes)) < n {
		b.bytes = make([]byte, 0, n)
	}
	b.bytes = b.bytes[:0]
	return b
}

func (p *bodyPool) put(b *body) {
	if cap(b.bytes) <= maxPooledBody {
		p.Put(b)
	}
}

// readBody reads the whole body, most of them at once. A client that stops sending is
// told so after Options.BodyIdle, and a body that is too large is not read to its end.
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
		// Not every host has deadlines; those that have none bound the call themselves.
		_ = connection.SetReadDeadline(time.Now().Add(g.BodyIdle))
	}
}
