package server

import (
	"bufio"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// readBoth reads a request from a text as readPlain does and as http.ReadRequest does,
// and expects the same of both, if readPlain takes it: the request, its body and what is
// left for the next one. It takes nothing that is not ordinary. It tells whether
// readPlain takes it.
func readBoth(t *testing.T, text string) bool {
	t.Helper()
	if len(text) > readerSize {
		return false
	}
	ours, theirs := bufio.NewReaderSize(strings.NewReader(text), readerSize), bufio.NewReaderSize(strings.NewReader(text), readerSize)
	_, _ = ours.Peek(len(text))
	got := readPlain(ours, make(http.Header))
	if got == nil {
		if ours.Buffered() != len(text) {
			t.Errorf("%q: refused, and %d bytes read", text, len(text)-ours.Buffered())
		}
		return false
	}
	if judge([]byte(text)) != ordinary {
		t.Errorf("%q: read, but not ordinary", text)
	}
	want, err := http.ReadRequest(theirs)
	if err != nil {
		t.Errorf("%q: read, want %v", text, err)
		return true
	}
	gotBody, gotErr := io.ReadAll(got.Body)
	wantBody, wantErr := io.ReadAll(want.Body)
	if string(gotBody) != string(wantBody) || gotErr != wantErr {
		t.Errorf("%q: body %q, %v, want %q, %v", text, gotBody, gotErr, wantBody, wantErr)
	}
	if gotRest, wantRest := ours.Buffered(), theirs.Buffered(); gotRest != wantRest {
		t.Errorf("%q: %d bytes left, want %d", text, gotRest, wantRest)
	}
	if (got.Body == http.NoBody) != (want.Body == http.NoBody) {
		t.Errorf("%q: no body: %t", text, got.Body == http.NoBody)
	}
	got.Body, want.Body = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q:\ngot  %+v, %#v\nwant %+v, %#v", text, got, got.URL, want, want.URL)
	}
	return true
}

// What a client usually sends is plain. What bears on the meaning of a request or on
// where it ends, and is not as usual, is not.
func TestPlain(t *testing.T) {
	for text, want := range map[string]bool{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\n":                                                true,
		"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n":                                             true,
		"GET //a/../b~c/d:e.f HTTP/1.1\r\nHost: x\r\n\r\n":                                  true,
		"POST /a?b=c%20d&e?f#g HTTP/1.1\r\nhost:\tx:80 \t\r\ncontent-length:5\r\n\r\nhello": true,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /":                 true,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello":                      true,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nhello":                      true,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 007\r\n\r\nhello, you":               true,
		"POST / HTTP/1.1\r\nHost: x\r\n\r\nhello":                                           true,
		"GET / HTTP/1.1\r\nHost: x\r\nconnection: Close\r\n\r\n":                            true,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n":                       true,
		"GET / HTTP/1.1\r\nx-a: 1\r\nHost: x\r\nX-A:\r\nX-B: 2\tc \r\nx-A: 3\r\n\r\n":       true,
		"GET /?ä HTTP/1.1\r\nHost: x\r\n\r\n":                                               true,
		"GET / HTTP/1.1\r\nHost: x\r\nA: ä\r\n\r\n":                                         true,
		"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 63) + "\r\n":           true,

		"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 64) + "\r\n":           false,
		"GET / HTTP/1.1\r\nHost: x\r\n":                                                     false,
		"GET / HTTP/1.1\r\nHost: x":                                                         false,
		"GET / HTTP/1.1\r\n\r\n":                                                            false,
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":                                               false,
		"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n":                                      false,
		"GET / HTTP/1.1\nHost: x\r\n\r\n":                                                   false,
		"GET / HTTP/1.1\r\nHost: x\n\r\n":                                                   false,
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n":                                   false,
		"GET / HTTP/1.0\r\nHost: x\r\n\r\n":                                                 false,
		"GET /\r\nHost: x\r\n\r\n":                                                          false,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                             false,
		"GET x/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                false,
		"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n":                                             false,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n":                          false,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nconnection: close\r\n\r\n":       false,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n":                           false,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n":                         false,
		"GET / HTTP/1.1\r\nHost: x\r\nTrailer: X\r\n\r\n":                                   false,
		"BREW / HTTP/1.1\r\nHost: x\r\n\r\n":                                                false,
		"get / HTTP/1.1\r\nHost: x\r\n\r\n":                                                 false,
		"GET /%41 HTTP/1.1\r\nHost: x\r\n\r\n":                                              false,
		"GET /{ HTTP/1.1\r\nHost: x\r\n\r\n":                                                false,
		"GET /ä HTTP/1.1\r\nHost: x\r\n\r\n":                                                false,
		"GET /? HTTP/1.1\r\nHost: x\r\n\r\n":                                                false,
		"GET /?\x01 HTTP/1.1\r\nHost: x\r\n\r\n":                                            false,
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n":                                      false,
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n":                                     false,
		"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n":                                            false,
		"GET / HTTP/1.1\r\nHost: x\r\n(A): b\r\n\r\n":                                       false,
		"GET / HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n":                             false,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":         false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello":                     false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello":                     false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5_0\r\n\r\nhello":                    false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello":                    false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello":                   false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\nhello":                    false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nhello":                        false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000000000\r\n\r\nhello":    false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello": false,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello": false,
	} {
		if got := readBoth(t, text); got != want {
			t.Errorf("%q: plain %t, want %t", text, got, want)
		}
	}
}

// Whatever is read as plain is read as by http.ReadRequest.
func FuzzPlain(f *testing.F) {
	for _, text := range sent {
		if len(text) < 2000 {
			f.Add(text)
		}
	}
	f.Add("POST /v1/chat/completions?api-version=2024-10-21 HTTP/1.1\r\nhost: contoso.test\r\nx-stainless-lang: js\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello, you")
	f.Fuzz(func(t *testing.T, text string) { readBoth(t, text) })
}
