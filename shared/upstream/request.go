package upstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

var errNoEndpoint = errors.New("the backend has no endpoint")

// credential is what authenticates a request to the backend, nothing if it asks for none.
func (b *Backend) credential(ctx context.Context) (wire.Field, error) {
	if b.Credential == nil {
		return wire.Field{}, nil
	}
	return b.Credential.Field(ctx)
}

// target is what the call asks of a backend that has the api-version given, "" for none.
func (c *Call) target(version string) openai.Target {
	return openai.Target{
		Operation:  c.Operation,
		Deployment: c.Deployment,
		ID:         c.ID,
		APIVersion: cmp.Or(version, c.APIVersion),
		Query:      c.Query,
	}
}

// usualFields is how many fields the header of nearly every request has at most.
const usualFields = 24

// address is where a request to a backend goes.
type address struct {
	target openai.Target
	url    *url.URL
	by     *wire.Transport // nil: one of another kind sends it
	direct *wire.Target    // of by
}

// address returns where a request goes. It must not be changed.
func (b *Backend) address(target openai.Target, by http.RoundTripper) *address {
	own, _ := by.(*wire.Transport)
	last := b.last.Load()
	if last == nil || last.target != target || last.by != own {
		last = &address{target: target, url: openai.URL(b.Endpoint, b.Dialect, target), by: own}
		if own != nil {
			last.direct = own.Target(target.Operation.Method(), last.url)
		}
		b.last.Store(last)
	}
	return last
}

// A connection that the backend closed while it was idle fails at once, and only
// then is the same request sent again on another connection: by the transport
// up to maxReplays times, and by send up to maxRewrites times.
const (
	staleWithin = 2 * time.Second
	maxReplays  = 10
	maxRewrites = 3
)

// send sends the request. A transport by itself sends a request again that waited
// in vain for an answer on a kept connection, but not one whose body was still
// being written when the loss showed. That is done here. It cannot be seen
// whether the connection was a kept one, so there are few such tries.
func (r *Result) send(by http.RoundTripper, to *address, header []wire.Field, body Body) (*http.Response, error) {
	var lost error
	for tries := 0; ; tries++ {
		response, err := r.sendOnce(by, to, header, body)
		switch {
		case err == errNotStale && lost != nil:
			return nil, lost
		case err == nil, tries == maxRewrites, !lostInWriting(err), r.life.Err() != nil:
			return response, err
		}
		lost = err
	}
}

// sendOnce sends what package wire can send from memory, and leaves the rest to RoundTrip.
func (r *Result) sendOnce(by http.RoundTripper, to *address, header []wire.Field, body Body) (*http.Response, error) {
	inMemory, ok := body.(*openai.Body)
	if to.direct == nil || body != nil && !ok {
		return r.roundTrip(by, to, header, body)
	}
	var direct wire.Body
	if ok {
		r.memory.body, r.memory.started = inMemory, r.started
		direct = &r.memory
	}
	response, err := to.direct.Send(r.life, r.started, header, direct)
	if err == wire.ErrNotOrdinary {
		return r.roundTrip(by, to, header, body)
	}
	return response, err
}

// roundTrip sends the request by any transport.
func (r *Result) roundTrip(by http.RoundTripper, to *address, fields []wire.Field, body Body) (*http.Response, error) {
	header := make(http.Header, len(fields))
	for _, f := range fields {
		header[f.Name] = f.Values
	}
	request := &http.Request{Method: to.target.Operation.Method(), URL: to.url, Host: to.url.Host, Header: header}
	if body != nil {
		if r.read == nil {
			r.read = &readBody{body: body, started: r.started}
		}
		reader, err := r.read.open()
		if err != nil {
			return nil, err
		}
		request.Body, request.ContentLength, request.GetBody = reader, body.Size(), r.read.open
	}
	return by.RoundTrip(request.WithContext(r.life))
}

// taken tells whether a transport has looked at the request's body.
func (r *Result) taken() bool { return r.memory.times > 0 || r.read != nil && r.read.read.Load() }

// lostInWriting tells whether a request failed because its connection was
// closed while it was being written.
func lostInWriting(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "write" || op.Op == "writev" || op.Op == "readfrom")
}

// errNotStale ends the replays of a request: the connection was not merely stale.
var errNotStale = errors.New("the connection was lost while the request was being answered")

// mayRepeat tells whether a body that was first sent at the time given may be sent again,
// after that many times.
func mayRepeat(started time.Time, times int) bool {
	return times <= maxReplays && time.Since(started) <= staleWithin
}

// memoryBody is a body that is sent from memory. It belongs to one goroutine.
type memoryBody struct {
	body    *openai.Body
	started time.Time // when it was first sent
	times   int       // how often it was sent
	hold    io.Closer // on the bytes; nil: none is needed
}

// Size implements wire.Body.
func (b *memoryBody) Size() int64 { return b.body.Length }

// Segments implements wire.Body.
func (b *memoryBody) Segments() ([][]byte, error) {
	if b.times > 0 && !mayRepeat(b.started, b.times) {
		return nil, errNotStale
	}
	b.times++
	if b.hold == nil && b.body.Length > wire.MaxCopied {
		// Another goroutine may look at the bytes where they lie, and go on while a panic
		// passes through this one: then they are never given back.
		b.hold = b.body.NewReader()
	}
	return b.body.Segments, nil
}

// release gives the bytes back.
func (b *memoryBody) release() {
	if b.hold != nil {
		_ = b.hold.Close()
		b.hold = nil
	}
}

// readBody hands out readers of a body, and takes them back: a transport may go on
// reading from another goroutine after it has returned. It is safe for concurrent use.
type readBody struct {
	body    Body
	started time.Time   // when it was first sent
	read    atomic.Bool // whether a transport has read any of it

	mu       sync.Mutex
	readers  []io.Closer // guarded by mu; all that were handed out
	detached bool        // guarded by mu
}

// detach ends all reading: when it has returned, the bytes are the caller's.
func (b *readBody) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	for _, reader := range b.readers {
		_ = reader.Close()
	}
	b.readers = nil
}

// open is called for each sending, also by a transport that found its connection closed.
func (b *readBody) open() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached || len(b.readers) > 0 && !mayRepeat(b.started, len(b.readers)) {
		return nil, errNotStale
	}
	reader := b.body.NewReader()
	b.readers = append(b.readers, reader)
	return &bodyReader{reader, &b.read}, nil
}

// bodyReader notes that it was read from.
type bodyReader struct {
	io.ReadCloser
	read *atomic.Bool
}

// Read reads on.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.read.Store(true)
	return r.ReadCloser.Read(p)
}

var (
	_ wire.Body     = (*memoryBody)(nil)
	_ io.ReadCloser = (*bodyReader)(nil)
)
