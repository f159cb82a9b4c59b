package http1

import (
	"net/http"
	"sync"
)

// UsualFields is room for the fields of an answer of a cloud's service and for those of a
// gateway before it: to make room one by one costs twice as much.
const UsualFields = 24

// headers recycles headers, each of which is larger than all else that is made for a usual
// request.
var headers = sync.Pool{New: func() any { return make(http.Header, UsualFields) }}

// TakeHeader returns an empty header with room for UsualFields. It is safe for concurrent
// use, as is GiveHeader.
func TakeHeader() http.Header { return headers.Get().(http.Header) }

// GiveHeader takes a header back which nobody uses any more, unless it has become large, and
// empties it. The values are not used again: who has them may keep them.
func GiveHeader(h http.Header) {
	if h != nil && len(h) <= UsualFields {
		clear(h)
		headers.Put(h)
	}
}
