package openai

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// Body is a request's body with a patch applied: pieces of the original bytes, never copied, and between them what was
// replaced or inserted. All else is byte for byte what the client sent. It is read-only and safe for
// concurrent use.
type Body struct {
	Segments [][]byte // must not be changed
	Length   int64    // sum of the segments' lengths, in bytes

	holds *hold     // on the request that the segments alias; nil if there is none
	array [3][]byte // of Segments, where one member is replaced, or none
}

// NewReader returns a reader of the whole body, independent of all others: one for each attempt, and one for each
// http.Request.GetBody. Until it is closed it holds the request's bytes (see Release); http.Transport closes it, though
// perhaps only after RoundTrip has returned. Reading and closing at the same time is allowed; nothing touches the bytes
// any more once Close has returned, and Read then fails with http.ErrBodyReadAfterClose.
func (b *Body) NewReader() io.ReadCloser {
	if b.holds != nil {
		b.holds.count.Add(1)
	}
	return &bodyReader{body: b}
}

// Release gives up the caller's own hold on the bytes that were given to ParseRequest. Once every reader of every Body
// of the request is closed too, free is called, exactly once, by whoever came last: by Release itself, or by the
// goroutine that closes the last reader. Then the bytes may be used for something else. Release must be called at most
// once, and neither the request's methods nor NewReader after it. A request that is never released is left to the
// garbage collector.
func (r *Request) Release(free func()) {
	r.holds.free = free
	r.holds.drop()
}

// Size is the body's length in bytes.
func (b *Body) Size() int64 { return b.Length }

// append adds a segment.
func (b *Body) append(segment []byte) {
	if len(segment) > 0 {
		b.Segments = append(b.Segments, segment)
		b.Length += int64(len(segment))
	}
}

// hold counts who uses the bytes of a request: its owner and the open readers.
type hold struct {
	count atomic.Int64
	free  func() // set before the owner's drop
}

// drop gives up one hold.
func (h *hold) drop() {
	if h.count.Add(-1) == 0 && h.free != nil {
		h.free()
	}
}

// bodyReader reads the segments of a body one after the other.
type bodyReader struct {
	body *Body

	mu      sync.Mutex
	segment int  // Guarded by mu.
	offset  int  // in the segment. Guarded by mu.
	closed  bool // Guarded by mu.
}

// Read implements io.Reader. It fills p as far as the body goes.
func (r *bodyReader) Read(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	for n < len(p) && r.segment < len(r.body.Segments) {
		segment := r.body.Segments[r.segment]
		copied := copy(p[n:], segment[r.offset:])
		n += copied
		if r.offset += copied; r.offset == len(segment) {
			r.segment, r.offset = r.segment+1, 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer. It waits for a Read under way, a copy in memory; calls after the first do nothing.
func (r *bodyReader) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if !closed && r.body.holds != nil {
		r.body.holds.drop()
	}
	return nil
}

var _ io.ReadCloser = (*bodyReader)(nil)
