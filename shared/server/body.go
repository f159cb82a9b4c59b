package server

import (
	"io"
	"net/http"
	"sync"
)

// maxUnread is how much of a body that a handler has not read is read in its
// stead, so that the connection can go on. It is as in net/http.
const maxUnread = 256 << 10

// body is a request's body. It is safe for concurrent use.
type body struct {
	conn *conn

	mu     sync.Mutex
	src    io.ReadCloser // guarded by mu; as net/http reads it, nil: it has ended
	left   int64         // guarded by mu; what is to come, negative: unknown
	closed bool          // guarded by mu
}

// Read reads on.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return unlocked{b}.Read(p)
}

// unlocked is a body for who has its lock.
type unlocked struct{ *body }

// Read reads on.
func (b unlocked) Read(p []byte) (int, error) {
	if b.src == nil {
		return 0, io.EOF
	}
	n, err := b.src.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err == io.EOF {
		b.src = nil
		b.conn.bodyEnded()
	}
	return n, err
}

// Close ends reading. A short rest is read before, so that the connection can go
// on after the answer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	_, err := b.skip()
	if err == io.ErrUnexpectedEOF {
		_, _ = b.skip() // which ends a body of a known length that was cut, as in net/http
	}
	return err
}

// settle reads a short rest before the answer begins: many clients send all of
// their request before they read anything. It tells whether the body has ended.
// What is left of one that has not can still be read.
func (b *body) settle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.src == nil
	}
	whole, _ := b.skip()
	b.closed = whole
	return whole
}

// skip reads the rest if it is short, and tells whether the body has ended.
func (b *body) skip() (whole bool, err error) {
	if b.src != nil && b.left < maxUnread {
		_, err = io.CopyN(io.Discard, unlocked{b}, maxUnread+1)
	}
	if err == io.EOF {
		err = nil
	}
	return b.src == nil, err
}

// shut ends reading at once, and tells whether the body has ended before.
func (b *body) shut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.src == nil
}
