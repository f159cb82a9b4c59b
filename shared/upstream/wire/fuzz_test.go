package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// scripted makes connections to a backend that reads a request, sends the pieces
// of an answer, and closes.
func scripted(pieces ...string) func(*http.Transport) {
	return func(s *http.Transport) {
		s.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if readRequest(bufio.NewReader(theirs)) == nil {
					return
				}
				for _, piece := range pieces {
					if _, err := io.WriteString(theirs, piece); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}
	}
}

// told is all that an answer says.
func told(transport http.RoundTripper, r *http.Request) (text string, ok bool) {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return "no answer", false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%s %d %q %q length %d %q close %t trailer %q body %q broken %t", response.Proto, response.StatusCode, response.Status,
		response.Header, response.ContentLength, response.TransferEncoding, response.Close, response.Trailer, body, err != nil), true
}

// oddAnswers are answers that are read in one way only if they are read with care.
var oddAnswers = []string{
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n: d\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("T: x\r\n", 1000) + "\r\n",
	"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\nx-a: 1\r\nX-A:\t2 \r\nPragma: no-cache\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nA: \xff\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 1000 X\r\n\r\n", "\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "\x16\x03\x01\x00",
}

// Of whatever a backend sends, the caller is told what net/http would tell, or
// that there is no answer.
func FuzzAnswer(f *testing.F) {
	for _, test := range answerTests {
		f.Add(test.answer, test.method == "HEAD", uint16(20))
	}
	for _, answer := range oddAnswers {
		f.Add(answer, false, uint16(0))
	}
	f.Fuzz(func(t *testing.T, answer string, head bool, cut uint16) {
		at := min(int(cut), len(answer))
		method := map[bool]string{true: "HEAD", false: "GET"}[head]
		transport := newTransport(t, scripted(answer[:at], answer[at:]), func(s *http.Transport) {
			s.MaxResponseHeaderBytes = 8 << 10
		})
		want, wantOK := told(transport.settings, request(t.Context(), t, method, "http://contoso.test/", ""))
		got, ok := told(transport, request(t.Context(), t, method, "http://contoso.test/", ""))
		if got != want && (ok || wantOK && !strings.Contains(want, " 101 ")) {
			t.Errorf("answer %q\ntells %s\nwant  %s", answer, got, want)
		}
	})
}

// A header that is read here is read as net/http reads it, to the same byte.
func FuzzHeader(f *testing.F) {
	for _, test := range answerTests {
		f.Add(test.answer)
	}
	for _, answer := range oddAnswers {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		r := bufio.NewReader(strings.NewReader(answer))
		_, _ = r.Peek(1) // something is buffered
		req := request(t.Context(), t, "GET", "http://contoso.test/", "")
		got := readCommon(r, req)
		if got == nil {
			if read := len(answer) - r.Buffered(); read > 0 && len(answer) <= r.Size() {
				t.Errorf("%d bytes are read of an answer left to net/http", read)
			}
			return
		}
		oracle := bufio.NewReader(strings.NewReader(answer))
		want, err := http.ReadResponse(oracle, req)
		if err != nil {
			t.Fatalf("answer %q is read; net/http refuses it: %v", answer, err)
		}
		gotBody, gotErr := io.ReadAll(got.Body)
		wantBody, wantErr := io.ReadAll(want.Body)
		if !bytes.Equal(gotBody, wantBody) || gotErr != wantErr || r.Buffered() != oracle.Buffered() {
			t.Errorf("answer %q has the body %q, %v; want %q, %v", answer, gotBody, gotErr, wantBody, wantErr)
		}
		got.Body, want.Body = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("answer %q is read as\n%+v\nwant\n%+v", answer, got, want)
		}
	})
}
