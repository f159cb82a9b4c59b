package server

import (
	"strings"
	"testing"
)

// The common form of a request is served here, as soon as its header is whole.
// What is odd is known as soon as its line is.
func TestJudge(t *testing.T) {
	const host = "Host: contoso.test\r\n"
	for text, want := range map[string]verdict{
		"":                                             partial,
		"GET / HTTP/1.1":                               partial,
		"GET / HTTP/1.1\r":                             partial,
		"GET / HTTP/1.1\r\n":                           partial,
		"GET / HTTP/1.1\r\n" + host:                    partial,
		"GET / HTTP/1.1\r\n" + host + "\r":             partial,
		"GET / HTTP/1.1\r\n" + host + "\r\n":           ordinary,
		"GET / HTTP/1.1\r\n" + host + "\r\nmore":       ordinary,
		"GET / HTTP/1.1\r\n" + host + "\r\n\n":         ordinary,
		"DELETE /a/b?c=d HTTP/1.1\r\n" + host + "\r\n": ordinary,
		"GET / HTTP/1.1\r\nhost:[::1]:80\t \r\n\r\n":   ordinary,
		"GET / HTTP/1.1\r\n\r\n":                       odd,
		"GET / HTTP/1.1\r\nHost:\r\n":                  odd,
		"GET / HTTP/1.1\r\nHost: a/b\r\n":              odd,
		"GET / HTTP/1.1\r\n" + host + host:             odd,
		"GET / HTTP/1.1\n":                             odd,
		"\n":                                           odd,
		"\r\n":                                         odd,
		"GET / HTTP/1.0\r\n":                           odd,
		"GET / HTTP/1.1 \r\n":                          odd,
		"GET /  HTTP/1.1\r\n":                          odd,
		"GET /\r\n":                                    odd,
		"GET\r\n":                                      odd,
		"GET  HTTP/1.1\r\n":                            odd,
		"GET http://contoso.test/ HTTP/1.1\r\n":        odd,
		"OPTIONS * HTTP/1.1\r\n":                       odd,
		"CONNECT / HTTP/1.1\r\n":                       odd,
		"PRI * HTTP/2.0\r\n":                           odd,
		"\x16\x03\x01\x02\n":                           odd,
	} {
		if got := judge([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for field, want := range map[string]verdict{
		"Content-Length: 5":                                        ordinary,
		"Transfer-Encoding: chunked":                               ordinary,
		"transfer-encoding:\tCHUNKED ":                             ordinary,
		"Transfer-Encoding: gzip":                                  odd,
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked": odd,
		"Connection: keep-alive":                                   ordinary,
		"connection: Close":                                        ordinary,
		"Connection: close, x":                                     odd,
		"Connection:":                                              odd,
		"Connection: close\r\nConnection: close":                   odd,
		"Upgrade: websocket":                                       odd,
		"Expect: 100-continue":                                     odd,
		"Trailer: X":                                               odd,
		"Upgrade-Insecure-Requests: 1":                             ordinary,
		"Traceparent: Upgrade":                                     ordinary,
		"Eggspect: x":                                              ordinary,
		"Pragmas: x":                                               ordinary,
		" folded":                                                  odd,
		"\tfolded: x":                                              odd,
		"X : y":                                                    odd,
		": y":                                                      odd,
		"X: y\nZ: y":                                               odd,
		"X: y: z":                                                  ordinary,
		"X:":                                                       ordinary,
		"X: " + strings.Repeat("x", 9000):                          ordinary,
	} {
		text := "GET / HTTP/1.1\r\n" + host + field + "\r\n\r\n"
		if got := judge([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
