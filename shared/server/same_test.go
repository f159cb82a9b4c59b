package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
)

// get is a plain request whose handler is to take the steps.
func get(steps string) string { return "GET /?" + steps + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" }

// post is one with a body.
func post(steps, body string) string {
	return fmt.Sprintf("POST /?%s HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: %d\r\n\r\n%s", steps, len(body), body)
}

// chunked is one with a body in chunks.
func chunked(steps string, chunks ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST /?%s HTTP/1.1\r\nHost: contoso.test\r\nTransfer-Encoding: chunked\r\n\r\n", steps)
	for _, chunk := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	return b.String() + "0\r\n\r\n"
}

func set(field string) string { return "set=" + url.QueryEscape(field) }

// with is a GET with more lines in its header.
func with(lines string) string {
	return "GET /?say=ok HTTP/1.1\r\nHost: contoso.test\r\n" + lines + "\r\n"
}

var large = strings.Repeat("0123456789abcdef", 300<<10/16)

// sent are what clients send. All of it is answered as by net/http.
var sent = map[string]string{
	"nothing":                    "",
	"nothing written":            get(""),
	"short":                      get("say=hello"),
	"empty write":                get("write=0"),
	"as long as can be held":     get("write=2048"),
	"longer":                     get("write=2049"),
	"in parts":                   get("write=1000&write=1000&write=1000&write=5000&write=1"),
	"two that fill":              get("write=1000&write=1048"),
	"in parts that fill up":      get("write=2000&write=100&write=3000&write=4000&write=10"),
	"large":                      get("write=100000"),
	"flushed":                    get("say=a&flush&say=b&flush&flush&write=3000&flush&write=9000"),
	"flushed at once":            get("flush&say=a"),
	"flushed at last":            get("say=a&flush"),
	"nothing but a flush":        get("flush"),
	"length":                     get(set("Content-Length:5") + "&say=hello"),
	"length and flush":           get(set("Content-Length:5") + "&say=he&flush&say=llo"),
	"length not reached":         get(set("Content-Length:6")+"&say=hello") + get("say=more"),
	"length passed":              get(set("Content-Length:4")+"&say=hel&say=lo") + get("say=more"),
	"length of nothing":          get(set("Content-Length:0")),
	"bad length":                 get(set("Content-Length:x") + "&say=hello"),
	"empty length":               get(set("Content-Length:") + "&say=hello"),
	"length and encoding":        get(set("Content-Length:5") + "&" + set("Transfer-Encoding:chunked") + "&say=hello"),
	"chunked":                    get(set("Transfer-Encoding:chunked") + "&say=hello"),
	"another encoding":           get(set("Transfer-Encoding:gzip") + "&say=hello"),
	"two encodings of an answer": get(set("Transfer-Encoding:gzip") + "&" + set("Transfer-Encoding:chunked") + "&say=hello"),
	"empty encoding":             get(set("Transfer-Encoding:") + "&say=hello"),
	"empty encoding, flushed":    get(set("Transfer-Encoding:") + "&flush&say=hello"),
	"empty encoding and length":  get(set("Transfer-Encoding:") + "&" + set("Content-Length:")),
	"identity":                   get(set("Transfer-Encoding:identity")+"&say=hello") + get("say=more"),
	"identity with a length":     get(set("Transfer-Encoding:identity")+"&"+set("Content-Length:5")+"&say=hello") + get("say=more"),
	"close":                      get(set("Connection:close")+"&say=hello") + get("say=more"),
	"close and more":             get(set("Connection:close, x")+"&say=hello") + get("say=more"),
	"another connection":         get(set("Connection:x") + "&say=hello"),
	"content type":               get(set("Content-Type:text/x") + "&say=hello"),
	"no content type":            get(set("Content-Type:") + "&say=hello"),
	"html":                       get("say=" + url.QueryEscape("<html>")),
	"encoded":                    get(set("Content-Encoding:br") + "&say=hello"),
	"encoded as nothing":         get(set("Content-Encoding:") + "&say=hello"),
	"date":                       get(set("Date:now") + "&say=hello"),
	"fields":                     get(set("X:a") + "&" + set("X:b") + "&" + set("Y: c ") + "&" + set("x-low:d") + "&say=hello"),
	"bad fields":                 get(set("X:a\r\nb") + "&" + set("X Y:b") + "&" + set(":b") + "&" + set("Ü:b") + "&say=hello"),
	"field after the status":     get("status=201&" + set("X:late") + "&say=hello"),
	"long header":                get(set("X:"+strings.Repeat("x", 3000)) + "&" + set("Y:"+strings.Repeat("x", 9)) + "&say=hello"),
	"status":                     get("status=404&say=no"),
	"two statuses":               get("status=404&status=500&say=no"),
	"unknown status":             get("status=777&say=no"),
	"204":                        get("status=204&say=no") + get("say=more"),
	"204 with fields":            get(set("Content-Length:3")+"&"+set("Content-Type:x")+"&status=204") + get("say=more"),
	"304":                        get("status=304") + get("say=more"),
	"304 with fields":            get(set("Content-Length:3")+"&"+set("Content-Type:x")+"&"+set("Transfer-Encoding:chunked")+"&status=304") + get("say=more"),
	"103":                        get(set("Link:x") + "&" + set("Content-Length:2") + "&status=103&status=103&say=ok"),
	"100":                        get("status=100&say=ok"),
	"trailer":                    get("say=a&flush&" + set("Trailer:X-Sum:7")),
	"trailer of a short one":     get("say=a&" + set("Trailer:X-Sum:7")),
	"trailer before":             get(set("Trailer:X-Sum:7") + "&say=a"),
	"declared trailers":          get(set("Trailer:X-Sum, x-low, Content-Length, If-Match,") + "&say=a&flush&" + set("X-Sum:7") + "&" + set("X-Low:8") + "&" + set("X-Other:9")),
	"declared trailer, no body":  get(set("Trailer:X-Sum") + "&status=204&" + set("X-Sum:7")),
	"trailer with a length":      get(set("Content-Length:1") + "&" + set("Trailer:X-Sum:7") + "&say=a"),
	"declared and length":        get(set("Content-Length:1") + "&" + set("Trailer:X-Sum") + "&say=a&" + set("X-Sum:7")),
	"HEAD":                       "HEAD /?say=hello HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, silent":               "HEAD / HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, flushed":              "HEAD /?say=a&flush&say=b HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, long":                 "HEAD /?write=9000 HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, length":               "HEAD /?" + set("Content-Length:9") + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, empty length":         "HEAD /?" + set("Content-Length:") + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, bad length":           "HEAD /?" + set("Content-Length:x") + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, encoding":             "HEAD /?" + set("Transfer-Encoding:chunked") + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"HEAD, trailer":              "HEAD /?flush&" + set("Trailer:X-Sum:7") + " HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + get("say=more"),
	"abort":                      get("say=hello&abort") + get("say=more"),
	"abort, long":                get("write=3000&say=hello&abort") + get("say=more"),
	"abort, flushed":             get("say=hello&flush&say=more&abort") + get("say=more"),
	"abort at once":              post("abort", "body"),
	"body":                       post("read&say=ok", "hello") + get("say=more"),
	"body, echoed":               post("echo", large[:5000]) + get("say=more"),
	"body, unread":               post("say=ok", "hello") + get("say=more"),
	"body, unread and long":      post("say=ok", large[:maxUnread-1]) + get("say=more"),
	"body, unread, as can be":    post("say=ok", large[:maxUnread]) + get("say=more"),
	"body, unread and longer":    post("say=ok", large[:maxUnread+1]) + get("say=more"),
	"body, a part":               post("some=2&say=ok", "hello") + get("say=more"),
	"body, all and no more":      post("some=5&say=ok", "hello") + get("say=more"),
	"body, closed":               post("close&read&say=ok", "hello") + get("say=more"),
	"body, read and closed":      post("read&close&read&say=ok", "hello") + get("say=more"),
	"body, long and closed":      post("close&say=ok", large) + get("say=more"),
	"body, after the answer":     post("say=ok&flush&read", "hello") + get("say=more"),
	"body, long, after":          post("say=ok&flush&read", large) + get("say=more"),
	"body, cut":                  "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello",
	"body, cut and unread":       "POST /?say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello",
	"body, cut before it":        "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
	"body, cut and closed":       "POST /?close&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello",
	"chunks, cut and closed":     "POST /?close&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	"duplex, long":               post("duplex&say=ok&flush&read", large) + get("say=more"),
	"duplex":                     post("duplex&some=2&say=ok&flush&read", "hello") + get("say=more"),
	"chunks":                     chunked("read&say=ok", "hello", "you") + get("say=more"),
	"chunks, unread":             chunked("say=ok", "hello", "you") + get("say=more"),
	"chunks, unread and long":    chunked("say=ok", large[:maxUnread-9]) + get("say=more"),
	"chunks, unread, as can be":  chunked("say=ok", large[:maxUnread]) + get("say=more"),
	"chunks, unread and longer":  chunked("say=ok", large) + get("say=more"),
	"chunks, after the answer":   chunked("say=ok&flush&read", "hello") + get("say=more"),
	"chunks, closed":             chunked("close&say=ok", "hello") + get("say=more"),
	"chunks with trailers":       "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n" + get("say=more"),
	"chunks, declared trailers":  "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n" + get("say=more"),
	"bad chunks":                 "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n" + get("say=more"),
	"bad chunks, unread":         "POST /?say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n" + get("say=more"),
	"chunks, cut":                "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	"Connection: close":          with("Connection: close\r\n") + get("say=more"),
	"Connection: close, body":    "POST /?say=ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
	"Connection: Keep-Alive":     with("Connection: Keep-Alive\r\n") + get("say=more"),
	"Connection: other":          with("Connection: x\r\n") + get("say=more"),
	"Connection twice":           with("Connection: keep-alive\r\nConnection: close\r\n") + get("say=more"),
	"pipelined":                  get("say=a") + post("read&say=b", "b") + get("write=3000") + chunked("say=d", "d") + get("say=e"),
	"empty lines after a POST":   post("read&say=a", "a") + "\r\n\r\n" + get("say=b"),
	"more empty lines":           post("read&say=a", "a") + "\r\n\r\n\r\n" + get("say=b"),
	// What was read of a header moved to the place of the empty line, and was then left to
	// net/http without its first bytes.
	"empty line, half a header":  post("read&say=a", "a") + "\r\nGET /?say=b HTTP/1.1\r\n",
	"empty line, a long header":  post("read&say=a", "a") + "\r\n" + with("X: "+strings.Repeat("x", 2*readerSize)+"\r\n") + get("say=more"),
	"empty lines after a GET":    get("say=a") + "\r\n" + get("say=b"),
	"empty lines before":         "\r\n" + get("say=b"),
	"a little after":             get("say=a") + "GE",
	"half a header":              "GET / HTTP/1.1\r\nHost: x\r\n",
	"half a line":                "GET / HTT",
	"HTTP/1.0":                   "GET /?say=ok HTTP/1.0\r\n\r\n",
	"HTTP/1.0 kept":              "GET /?say=ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("say=more"),
	"HTTP/1.2":                   "GET /?say=ok HTTP/1.2\r\nHost: x\r\n\r\n" + get("say=more"),
	"HTTP/3.0":                   "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
	"HTTP/2 preface":             "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	"TLS":                        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n",
	"no HTTP":                    "SSH-2.0-OpenSSH\r\n\r\n",
	"Upgrade":                    with("Connection: upgrade\r\nUpgrade: websocket\r\n") + get("say=more"),
	"Upgrade alone":              with("Upgrade: websocket\r\n") + get("say=more"),
	"Expect":                     "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" + get("say=more"),
	"Expect, unread":             "POST /?say=ok HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" + get("say=more"),
	"Expect something else":      with("Expect: x\r\n"),
	"absolute target":            "GET http://contoso.test/?say=ok HTTP/1.1\r\nHost: other\r\n\r\n" + get("say=more"),
	"two slashes":                "GET //contoso.test/?say=ok HTTP/1.1\r\nHost: other\r\n\r\n" + get("say=more"),
	"asterisk":                   "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"CONNECT":                    "CONNECT contoso.test:80 HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"CONNECT to a path":          "CONNECT /?say=ok HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"odd method":                 "G!T /?say=ok HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"bad method":                 "G T /?say=ok HTTP/1.1\r\nHost: x\r\n\r\n",
	"no method":                  " /?say=ok HTTP/1.1\r\nHost: x\r\n\r\n",
	"bad target":                 "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"control in the target":      "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n" + get("say=more"),
	"no Host":                    "GET /?say=ok HTTP/1.1\r\n\r\n" + get("say=more"),
	"empty Host":                 "GET /?say=ok HTTP/1.1\r\nHost:\r\n\r\n" + get("say=more"),
	"bad Host":                   "GET /?say=ok HTTP/1.1\r\nHost: a/b\r\n\r\n" + get("say=more"),
	"odd Host":                   "GET /?say=ok HTTP/1.1\r\nHost: a!b\r\n\r\n" + get("say=more"),
	"IPv6":                       "GET /?say=ok HTTP/1.1\r\nHOST:\t[::1]:80 \r\n\r\n" + get("say=more"),
	"two Hosts":                  with("Host: x\r\n"),
	"folded":                     with("X: a\r\n b\r\n") + get("say=more"),
	"folded at the beginning":    "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
	"folded by a tab":            with("X: a\r\n\tb: c\r\n") + get("say=more"),
	"space before a colon":       with("X : a\r\n") + get("say=more"),
	"Host with a space":          "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
	"no colon":                   with("X\r\n") + get("say=more"),
	"no name":                    with(": a\r\n") + get("say=more"),
	"bad name":                   with("X(): a\r\n") + get("say=more"),
	"control in a value":         with("X: a\x01b\r\n") + get("say=more"),
	"NUL in a value":             with("X: a\x00b\r\n") + get("say=more"),
	"CR in a value":              with("X: a\rb\r\n") + get("say=more"),
	"bytes in a value":           with("X: \xff\xfe\r\n") + get("say=more"),
	"bare line ends":             "GET /?say=ok HTTP/1.1\nHost: x\n\n" + get("say=more"),
	"a bare line end":            with("X: a\nY: b\r\n") + get("say=more"),
	"CR CR LF":                   with("X: a\r\r\n") + get("say=more"),
	"Pragma":                     with("Pragma: no-cache\r\n") + get("say=more"),
	"Trailer without chunks":     with("Trailer: X\r\n") + get("say=more"),
	"length and chunks":          "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("say=more"),
	"chunks and length":          "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("say=more"),
	"two lengths":                "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello" + get("say=more"),
	"two equal lengths":          "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + get("say=more"),
	"length with a sign":         "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello" + get("say=more"),
	"length of no digits":        "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\nhello" + get("say=more"),
	"length of a body that is 0": "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" + get("say=more"),
	"huge length":                "POST /?say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n" + get("say=more"),
	"two encodings":              "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("say=more"),
	"encodings":                  "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("say=more"),
	"unknown encoding":           "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nhello" + get("say=more"),
	"Chunked":                    "POST /?read&say=ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("say=more"),
	"GET with a body":            "GET /?read&say=ok HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + get("say=more"),
	"as long as the reader":      with("X: "+strings.Repeat("x", readerSize-len(with("X: \r\n")))+"\r\n") + get("say=more"),
	"longer than the reader":     with("X: "+strings.Repeat("x", readerSize-len(with("X: \r\n"))+1)+"\r\n") + get("say=more"),
	"as long as is allowed":      with("X: "+strings.Repeat("x", 11<<10)+"\r\n") + get("say=more"),
	"too long":                   with("X: " + strings.Repeat("x", 20<<10) + "\r\n"),
	"first line too long":        "GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	"too many fields":            with(strings.Repeat("X: y\r\n", 9000)),
	"odd after good ones":        get("say=a") + post("read&say=b", "b") + "GET /?say=c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("say=d"),
	"bad after good ones":        get("say=a") + post("say=b", "b") + "G\x00T /\r\n\r\n" + get("say=d"),
}

// All that a client may send is answered as by net/http, byte for byte, and its
// handler sees the same: at once, in two pieces, and byte by byte.
func TestSame(t *testing.T) {
	for name, text := range sent {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				compare(t, text)
				compare(t, text[:len(text)/2], text[len(text)/2:])
				if len(text) < 2000 {
					compare(t, strings.Split(text, "")...)
				}
			})
		})
	}
}

// The pieces in which a request comes say nothing.
func TestCutAnywhere(t *testing.T) {
	text := get("say=a") + post("read&say=b", "body") + chunked("read&say=c", "chunk") + "GET /?say=d HTTP/1.0\r\n\r\n"
	synctest.Test(t, func(t *testing.T) {
		for cut := range len(text) {
			compare(t, text[:cut], text[cut:])
		}
	})
}
