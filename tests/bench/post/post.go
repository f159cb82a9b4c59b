// Package post is the request that a load generator sends, the same each time: the flags
// that describe it, and its bytes.
package post

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Request is a POST request.
type Request struct {
	// Address is the host and port that it goes to.
	Address string
	// Bytes are all that is sent, over HTTP/1.1.
	Bytes []byte
}

// New is the request for a target with this header and body. The fields Host and
// Content-Length are its own. The error tells what is wrong with the target.
func New(target string, header http.Header, body []byte) (Request, error) {
	to, err := url.Parse(target)
	if err != nil {
		return Request{}, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", to.RequestURI(), to.Host, len(body))
	_ = header.Write(&b) // a builder takes everything
	return Request{Address: to.Host, Bytes: []byte(b.String() + "\r\n" + string(body))}, nil
}
