package wire

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

// Of whatever a backend sends, the caller is told what net/http would tell, or
// that there is no answer.
func FuzzAnswer(f *testing.F) {
	for _, test := range answerTests {
		f.Add(test.answer, test.method == "HEAD", uint16(20))
	}
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n: d\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("T: x\r\n", 1000) + "\r\n",
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 1000 X\r\n\r\n", "\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "\x16\x03\x01\x00",
	} {
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
