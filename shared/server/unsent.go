package server

import "sync"

const (
	// maxHeld is how long a body may be that gets a Content-Length without its
	// handler's saying so. It is as in net/http.
	maxHeld = 2 << 10
	// sendSize holds the header and the body of nearly every short answer, and an
	// event of a stream.
	sendSize = 4 << 10
	// maxPooled keeps a header that was very long from being kept in memory.
	maxPooled = 16 << 10
)

// unsent is what has been written and is held back.
type unsent struct {
	body []byte // not yet framed
	out  []byte // as it is sent
}

// unsents recycles buffers: one is only needed until a part of an answer is sent,
// while the next may be awaited for minutes.
var unsents = sync.Pool{New: func() any {
	return &unsent{body: make([]byte, 0, maxHeld), out: make([]byte, 0, sendSize)}
}}

func (x *exchange) buffers() *unsent {
	if x.unsent == nil {
		x.unsent = unsents.Get().(*unsent)
	}
	return x.unsent
}

// send sends what is framed, and gives the buffers back.
func (x *exchange) send() {
	u := x.unsent
	if u == nil {
		return
	}
	if len(u.out) > 0 && x.err == nil {
		x.err = x.conn.send(u.out)
	}
	u.body, u.out, x.unsent = u.body[:0], u.out[:0], nil
	if cap(u.out) <= maxPooled {
		unsents.Put(u)
	}
}
