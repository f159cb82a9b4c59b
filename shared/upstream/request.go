package upstream

import (
	"cmp"
	"errors"
	"io"
	"maps"
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

// request builds the HTTP request. Its error is the credential's.
func (r *Result) request(b *Backend, call *Call) (*http.Request, error) {
	header := requestHeader(call.Header)
	maps.Copy(header, b.Header)
	if b.Credential != nil {
		if err := b.Credential.Apply(&r.life, header); err != nil {
			return nil, err
		}
	}
	url := b.url(openai.Target{
		Operation:  call.Operation,
		Deployment: call.Deployment,
		ID:         call.ID,
		APIVersion: cmp.Or(b.APIVersion, call.APIVersion),
		Query:      call.Query,
	})
	request := &http.Request{Method: call.Operation.Method(), URL: url, Host: url.Host, Header: header}
	if call.Body != nil {
		r.sent = &requestBody{body: call.Body}
		request.Body, request.ContentLength, request.GetBody = r.sent.first(), call.Body.Size(), r.sent.open
	}
	return request.WithContext(&r.life), nil
}

// address is where a request to a backend goes.
type address struct {
	target openai.Target
	url    *url.URL
}

// url returns where a request goes. It must not be changed.
func (b *Backend) url(target openai.Target) *url.URL {
	last := b.last.Load()
	if last == nil || last.target != target {
		last = &address{target, openai.URL(b.Endpoint, b.Dialect, target)}
		b.last.Store(last)
	}
	return last.url
}

// A connection that the backend closed while it was idle fails at once, and only
// then is the same request sent again on another connection: by the transport
// up to maxReplays times, and by send up to maxRewrites times.
const (
	staleWithin = 2 * time.Second
	maxReplays  = 10
	maxRewrites = 3
)

// send sends the request. net/http by itself sends a request again that waited
// in vain for an answer on a kept connection, but not one whose body was still
// being written when the loss showed. That is done here. It cannot be seen
// whether the connection was a kept one, so there are few such tries.
func (r *Result) send(transport http.RoundTripper, request *http.Request) (*http.Response, error) {
	for tries := 0; ; tries++ {
		response, err := transport.RoundTrip(request)
		if err == nil || tries == maxRewrites || !lostInWriting(err) || r.life.Err() != nil {
			return response, err
		}
		request = request.WithContext(&r.life) // a copy: the transport may still look at the first
		if r.sent == nil {
			continue
		}
		body, notStale := r.sent.open()
		if notStale != nil {
			return nil, err
		}
		request.Body = body
	}
}

// lostInWriting tells whether a request failed because its connection was
// closed while it was being written.
func lostInWriting(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "write" || op.Op == "writev" || op.Op == "readfrom")
}

// errNotStale ends the replays of a request: the connection was not merely stale.
var errNotStale = errors.New("the connection was lost while the request was being answered")

// requestBody hands out readers of the request's body, and takes them back: a
// transport may go on reading from another goroutine after it has returned. It
// is safe for concurrent use.
type requestBody struct {
	body    Body
	started time.Time   // when it was first sent
	read    atomic.Bool // whether a transport has read any of it

	mu       sync.Mutex
	readers  []io.Closer  // guarded by mu; all that were handed out
	array    [1]io.Closer // guarded by mu; nearly always enough for them
	one      memoryReader // guarded by mu; the first that was handed out
	detached bool         // guarded by mu
}

// detach ends all reading: when it has returned, the bytes are the caller's.
func (b *requestBody) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	for _, reader := range b.readers {
		_ = reader.Close()
	}
	b.readers = nil
}

// first is called for the first sending.
func (b *requestBody) first() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers = b.array[:0]
	return b.hand(&b.one)
}

// open is called by a transport that found its connection closed.
func (b *requestBody) open() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached || len(b.readers) > maxReplays || time.Since(b.started) > staleWithin {
		return nil, errNotStale
	}
	return b.hand(new(memoryReader)), nil
}

// hand hands out one more reader, in the memory given. It is called under mu.
func (b *requestBody) hand(made *memoryReader) io.ReadCloser {
	reader := b.body.NewReader()
	b.readers = append(b.readers, reader)
	made.bodyReader = bodyReader{reader, &b.read}
	inMemory, ok := b.body.(*openai.Body)
	if !ok {
		return &made.bodyReader
	}
	made.segments = inMemory.Segments
	return made
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

// memoryReader is a bodyReader of a body that lies in memory. What is sent from
// there is looked at until the attempt's answer is closed, never longer.
type memoryReader struct {
	bodyReader
	segments [][]byte
}

// Segments notes that the bytes were looked at.
func (r *memoryReader) Segments() [][]byte {
	r.read.Store(true)
	return r.segments
}

var (
	_ io.ReadCloser  = (*bodyReader)(nil)
	_ wire.Segmented = (*memoryReader)(nil)
)
