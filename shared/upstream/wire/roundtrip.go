package wire

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

// RoundTrip sends a request as Send does, or as net/http does if it is not ordinary. A
// body is read before anything is sent, in the caller's goroutine: its Read should not
// block. It is sent again only if there is a GetBody.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if special(req) {
		return t.settings.RoundTrip(req)
	}
	header := make([]Field, 0, len(req.Header))
	for name, values := range req.Header {
		header = append(header, Field{name, values})
	}
	to, now := t.target(req), time.Now()
	var response *http.Response
	var err error
	if hasBody(req) {
		body := &readBody{request: req, next: req.Body}
		if response, err = to.Send(req.Context(), now, header, body); err != ErrNotOrdinary {
			body.close()
		}
	} else {
		response, err = to.Send(req.Context(), now, header, nil)
	}
	if err == ErrNotOrdinary {
		return t.settings.RoundTrip(req)
	}
	return response, err
}

// special tells whether a request asks for something that Send cannot do. A longer body
// has to be sent while it is read.
func special(r *http.Request) bool {
	return r.Close || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.Header == nil ||
		r.ContentLength < 0 || r.ContentLength > MaxCopied || hasBody(r) != (r.ContentLength > 0) ||
		httptrace.ContextClientTrace(r.Context()) != nil
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// readBody is the Body of a request that has to be read.
type readBody struct {
	request *http.Request
	next    io.ReadCloser // what is to be read; nil: it has been, and the next is to be got
}

// errOnce says that a body cannot be had again.
var errOnce = errors.New("wire: the body can be read only once")

// Size implements Body.
func (b *readBody) Size() int64 { return b.request.ContentLength }

// Segments reads the body.
func (b *readBody) Segments() ([][]byte, error) {
	if b.next == nil {
		if b.request.GetBody == nil {
			return nil, errOnce
		}
		next, err := b.request.GetBody()
		if err != nil {
			return nil, err
		}
		b.next = next
	}
	text := make([]byte, b.Size()+1) // one more, to see what is too much
	read := 0
	var err error
	for err == nil && read < len(text) {
		var n int
		n, err = b.next.Read(text[read:])
		read += n
	}
	if closing := b.close(); err == nil || err == io.EOF {
		err = closing
	}
	return [][]byte{text[:read]}, err
}

// close closes what has not been read.
func (b *readBody) close() error {
	if b.next == nil {
		return nil
	}
	defer func() { b.next = nil }()
	return b.next.Close()
}
