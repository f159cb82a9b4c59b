package upstream

import "sync"

const (
	// smallBuffer holds what a stream needs nearly always. A stream that waits in the
	// middle of an event occupies one.
	smallBuffer = 4 << 10
	// largeBuffer is for long events and plain answers.
	largeBuffer = 32 << 10
)

// buffers recycles buffers of the two sizes. Others are left to the
// garbage collector. It is safe for concurrent use.
type buffers struct{ small, large sync.Pool }

// take returns a buffer of at least n bytes.
func (p *buffers) take(n int) *[]byte {
	switch {
	case n <= smallBuffer:
		return take(&p.small, smallBuffer)
	case n <= largeBuffer:
		return take(&p.large, largeBuffer)
	default:
		b := make([]byte, n)
		return &b
	}
}

func take(p *sync.Pool, size int) *[]byte {
	if b, ok := p.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, size)
	return &b
}

// give takes back a buffer, which may be nil, and returns nil in its place.
func (p *buffers) give(b *[]byte) *[]byte {
	if b == nil {
		return nil
	}
	switch *b = (*b)[:cap(*b)]; cap(*b) {
	case largeBuffer:
		p.large.Put(b)
	case smallBuffer:
		p.small.Put(b)
	}
	return nil
}

// grow returns a buffer of at least n bytes that starts with the first used
// bytes of b, which it takes back.
func (p *buffers) grow(b *[]byte, used, n int) *[]byte {
	larger := p.take(n)
	copy(*larger, (*b)[:used])
	p.give(b)
	return larger
}
