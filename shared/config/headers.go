package config

import (
	"fmt"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Headers are fixed headers of requests to one backend: canonical names with
// their values, which may be secrets. None of them is a header that the gateway
// or its transport writes, nor a credential that has a key of its own.
type Headers map[string]Secret

// Reveal returns the headers with their values, to be sent; nil if there are
// none. The caller may change it.
func (h Headers) Reveal() http.Header {
	if len(h) == 0 {
		return nil
	}
	header := make(http.Header, len(h))
	for name, value := range h {
		header[name] = []string{value.Reveal()}
	}
	return header
}

// headerName is the shape of the name of a header.
var headerName = shape(`^[A-Za-z0-9._-]{1,64}$`)

// headerFormat is the format of fields that hold headers. Their values are
// printable ASCII, which is all that a header carries everywhere.
const headerFormat = "header"

// headers reads a mapping of headers.
func (d *decoder) headers(n *yaml.Node, p *path) Headers {
	if n.Kind != yaml.MappingNode {
		d.fail(p, "wants keys and values, has "+nodeKind(n), "")
		return nil
	}
	entries, _ := d.entries(n, p, func(string) bool { return false })
	headers := make(Headers, len(entries))
	for _, e := range entries {
		shown := p.in(d.document.showKey(e.key.Value))
		name := textproto.CanonicalMIMEHeaderKey(e.key.Value)
		problem := checkHeader(name)
		if _, twice := headers[name]; twice && problem == nil {
			problem = &fault{fmt.Sprintf("the header %s is written twice; case does not matter in it", name), "remove one of the two"}
		}
		if problem != nil {
			d.addAt(e.key.Line, e.key.Column, shown.String(), problem.message, problem.mend)
			continue
		}
		var value Secret
		v := reflect.ValueOf(&value).Elem()
		d.entry(v, &field{typ: v.Type(), format: headerFormat}, e, shown)
		headers[name] = value
	}
	return headers
}

// ofConnection are the headers that belong to one connection (RFC 9110, section
// 7.6.1, and those of its like), by their canonical names.
var ofConnection = map[string]bool{
	"Connection": true, "Http2-Settings": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authentication-Info": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// checkHeader tells why a header with this canonical name cannot be a fixed one;
// nil if it can.
func checkHeader(name string) *fault {
	switch {
	case !headerName().MatchString(name):
		return &fault{"is not the name of a header: 1 to 64 letters, digits and . _ -", "correct it"}
	case ofConnection[name]:
		return &fault{"belongs to one connection, and the gateway has connections of its own", "remove it"}
	case name == "Authorization", name == "Api-Key":
		return &fault{"is the credential of the gateway at this backend", "write it under auth"}
	case name == "Host":
		return &fault{"is the host of the endpoint", "write another endpoint"}
	case strings.HasPrefix(name, "Content-"):
		return &fault{"describes the body, which each request has its own of", "remove it"}
	case name == "Accept-Encoding", name == "Expect":
		return &fault{"is written by the gateway, which has to read the answers", "remove it"}
	case name == "Idempotency-Key", name == "X-Idempotency-Key":
		return &fault{"tells one request from all others, and would make them the same", "remove it"}
	case strings.HasPrefix(name, "X-Spillway-"):
		return &fault{"is a header of the gateway itself, and is never sent on", "give it another name"}
	}
	return nil
}
