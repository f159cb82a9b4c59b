package upstream

import (
	"bytes"
	"io"
	"time"

	"spillway/shared/openai"
)

// held is what has been read and not been relayed.
func (r *Result) held() []byte {
	if r.buf == nil {
		return nil
	}
	return (*r.buf)[:r.filled]
}

// readSome reads once from the backend into the free part of the buffer.
func (r *Result) readSome() {
	n, err := r.body.Read((*r.buf)[r.filled:])
	r.filled += n
	r.readErr = err
}

// watchNext watches the wait for what comes next, unless that has begun.
func (r *Result) watchNext() {
	if !r.runs {
		r.expect(time.Now(), r.client.options.StreamIdle)
	}
}

// makeRoom makes room in the buffer if there is none, up to limit.
func (r *Result) makeRoom(limit int) {
	if r.filled == len(*r.buf) && len(*r.buf) < limit {
		size := 2 * len(*r.buf)
		if size < largeBuffer {
			size = largeBuffer
		}
		r.buf = r.client.buffers.grow(r.buf, r.filled, min(size, limit))
	}
}

// readMore reads once, and makes room before if there is none, up to limit. The watch
// runs only meanwhile: a slow client is not the backend's fault.
func (r *Result) readMore(limit int) {
	r.makeRoom(limit)
	r.watchNext()
	if r.Stream {
		r.await()
	}
	r.readSome()
	r.rest()
}

// await waits for more of a stream, which may be quiet for long, without the buffer
// that nothing is held in.
func (r *Result) await() {
	body, ok := r.body.(interface{ Await() })
	if !ok {
		return
	}
	if r.filled > 0 {
		body.Await()
		return
	}
	size := len(*r.buf)
	r.buf = r.client.buffers.give(r.buf)
	body.Await()
	r.buf = r.client.buffers.take(size)
}

// readWhole reads the rest of an answer of the given length, −1 if it is not
// known. It returns errTooLong if that is more than maxWhole: then the beginning
// has been read. Otherwise the attempt, which needs the backend no more, is to be ended.
func (r *Result) readWhole(length int64) error {
	size := smallBuffer
	if length > 0 && length < maxWhole {
		size = int(length) + 1 // one more, so that the end is found without growing
	}
	r.buf = r.client.buffers.take(size)
	for r.readErr == nil {
		if r.filled >= maxWhole || length > maxWhole && r.filled > 0 {
			r.rest()
			return errTooLong
		}
		r.makeRoom(maxWhole)
		r.watchNext()
		r.readSome()
		r.runs = false // The alarm need not be stopped: the next wait sets it anew, or the attempt ends.
	}
	if r.readErr == io.EOF {
		return nil
	}
	return r.readErr
}

// readUpTo reads at most limit bytes of the body, all under the phase that is
// being watched.
func (r *Result) readUpTo(limit int) error {
	r.buf = r.client.buffers.take(smallBuffer)
	for r.readErr == nil && r.filled < limit {
		if r.filled == len(*r.buf) {
			r.buf = r.client.buffers.grow(r.buf, r.filled, min(2*len(*r.buf), limit))
		}
		n, err := r.body.Read((*r.buf)[r.filled:])
		r.filled += n
		r.readErr = err
	}
	if r.readErr == io.EOF {
		return nil
	}
	return errTooLong
}

// nextEvent returns the event that starts at from, and its length: 0 if it is
// not complete. At the end of the stream the blank line after the last event may
// be missing.
func (r *Result) nextEvent(from int) (openai.Event, int) {
	// A long event that comes in many small pieces is not scanned once more for
	// each of them: only a line end can end it.
	if r.scanned > from && r.readErr == nil && !hasLineEnd(r.held()[r.scanned-1:]) {
		r.scanned = r.filled
		return openai.Event{}, 0
	}
	rest := r.held()[from:]
	ev, n := openai.NextEvent(rest)
	if n > 0 {
		return ev, n
	}
	r.scanned = r.filled
	if r.readErr == io.EOF {
		last, ok := openai.LastEvent(rest)
		if ok && openai.ParseChunk(r.op, last).Kind != openai.Malformed {
			r.unended = !endsByCR(rest)
			return last, len(rest)
		}
	}
	return openai.Event{}, 0
}

// endsByCR tells whether an event ends with a blank line whose carriage return was
// in doubt, for it may have been half of a CRLF.
func endsByCR(event []byte) bool {
	n := len(event)
	return n >= 2 && event[n-1] == '\r' && (event[n-2] == '\r' || event[n-2] == '\n')
}

func hasLineEnd(p []byte) bool { return bytes.IndexByte(p, '\n') >= 0 || bytes.IndexByte(p, '\r') >= 0 }

// discardFront forgets the first n bytes of what is held, and a buffer that is
// larger than what is left needs.
func (r *Result) discardFront(n int) {
	r.filled = copy(*r.buf, r.held()[n:])
	r.scanned = max(0, r.scanned-n)
	if len(*r.buf) > largeBuffer && r.filled <= smallBuffer/2 {
		r.buf = r.client.buffers.grow(r.buf, r.filled, smallBuffer)
	}
}
