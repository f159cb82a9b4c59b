package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

var answerTests = []struct {
	name   string
	method string
	answer string
	status int // 0: an error
	body   string
	broken bool // the body ends with an error
	// connection is "kept" for the next request, "dropped" although the backend
	// holds it, or "ended" by the backend.
	connection string
}{
	{"length", "GET", okAnswer, 200, "ok", false, "kept"},
	{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n", 200, "ok!", false, "kept"},
	{"trailers", "GET", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", 200, "ok", false, "kept"},
	{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nok", 200, "ok", false, "ended"},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false, "dropped"},
	{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false, "kept"},
	{"Connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false, "dropped"},
	{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false, "kept"},
	{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, "", false, "kept"},
	{"HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", false, "kept"},
	{"HEAD with a body", "HEAD", okAnswer, 200, "", false, "dropped"},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, "kept"},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 304, "", false, "kept"},
	{"304 that closes", "GET", "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", 304, "", false, "dropped"},
	{"100 before", "GET", "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, 200, "ok", false, "kept"},
	{"103s before", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 3) + okAnswer, 200, "ok", false, "kept"},
	{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 0, "", false, "dropped"},
	{"status below 100", "GET", "HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok", 99, "ok", false, "dropped"},
	{"more than the answer", "GET", okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", 200, "ok", false, "dropped"},
	{"nothing", "GET", "", 0, "", false, "ended"},
	{"half a header", "GET", "HTTP/1.1 200 OK\r\nContent-", 0, "", false, "ended"},
	{"no HTTP", "GET", "SSH-2.0-OpenSSH\r\n\r\n", 0, "", false, "dropped"},
	{"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", 0, "", false, "dropped"},
	{"cut short", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 200, "ok", true, "ended"},
	{"chunks cut short", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 200, "ok", true, "ended"},
	{"bad chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 200, "", true, "dropped"},
}

// Each kind of answer is read as HTTP says, and its connection serves another
// request only if it is certain where the answer ends.
func TestAnswers(t *testing.T) {
	for _, test := range answerTests {
		t.Run(test.name, func(t *testing.T) {
			b := listen(t, func(c net.Conn, number int) {
				r := bufio.NewReader(c)
				for answered := number > 1; readRequest(r) != nil; answered = true {
					if answered {
						_, _ = io.WriteString(c, okAnswer)
						continue
					}
					_, _ = io.WriteString(c, test.answer)
					if test.connection == "ended" {
						return
					}
				}
			})
			transport := newTransport(t)
			got := fetch(transport, request(t.Context(), t, test.method, b.url, ""))
			if got.status != test.status || got.body != test.body || (got.err != nil) != (test.broken || test.status == 0) {
				t.Errorf("got %d, %q, %v", got.status, got.body, got.err)
			}
			get(t, transport, b.url, "ok")
			if connections := b.connections.Load(); (connections == 1) != (test.connection == "kept") {
				t.Errorf("%d connections for two requests; the first is to be %s", connections, test.connection)
			}
		})
	}
}

// The most common answers are read here, and any other by net/http.
func TestWhoReadsAnAnswer(t *testing.T) {
	fields := "Content-Type: application/json\r\nx-request-id: 7\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
	for answer, here := range map[string]bool{
		okAnswer: true,
		"HTTP/1.1 429 Too Many Requests\r\n" + fields + "Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok": true,
		"HTTP/1.1 200 OK\r\n" + fields + "Connection: close\r\nContent-Length: 2\r\n\r\nok":                     false,
		"HTTP/1.1 200 OK\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                          false,
		"HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok":                     false,
		"HTTP/1.1 200 OK\r\n" + fields + "Content-Length: 0\r\n\r\n":                                            false,
		"HTTP/1.1 200 OK\r\n" + fields + "\r\nok":                                                               false,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                        false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok":                                                false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n X: folded\r\n\r\nok":                                          false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n":                                                              false,
		"": false,
	} {
		r := bufio.NewReader(strings.NewReader(answer))
		_, _ = r.Peek(1)
		if got := readCommon(r, request(t.Context(), t, "POST", "http://contoso.test/", "")) != nil; got != here {
			t.Errorf("%q is read here: %t, want %t", answer, got, here)
		}
	}
}

// The fields, the trailers and the request of an answer are where net/http puts them.
func TestAnswerFields(t *testing.T) {
	b := listen(t, answering("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nx-request-id: 7\r\n\r\n0\r\nX-Sum: 9\r\n\r\n"))
	r := request(t.Context(), t, "GET", b.url, "")
	response, err := newTransport(t).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.Request != r || response.Header.Get("X-Request-Id") != "7" || response.Trailer.Get("X-Sum") != "9" || response.ContentLength != -1 {
		t.Errorf("answer %+v", response)
	}
}

// A header is bounded, together with the answers of status 1xx before it.
func TestLongHeader(t *testing.T) {
	limit := func(s *http.Transport) { s.MaxResponseHeaderBytes = 64 << 10 }
	field := "X-Long: " + strings.Repeat("x", 1000) + "\r\n"
	for name, answer := range map[string]string{
		"one field":  "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 70<<10) + "\r\nContent-Length: 2\r\n\r\nok",
		"many":       "HTTP/1.1 200 OK\r\n" + strings.Repeat(field, 70) + "Content-Length: 2\r\n\r\nok",
		"first line": "HTTP/1.1 200 " + strings.Repeat("x", 70<<10) + "\r\nContent-Length: 2\r\n\r\nok",
		"1xx":        strings.Repeat("HTTP/1.1 103 Early Hints\r\n"+field+"\r\n", 70) + okAnswer,
	} {
		b := listen(t, answering(answer))
		if got := fetch(newTransport(t, limit), request(t.Context(), t, "GET", b.url, "")); !errors.Is(got.err, errLongHeader) {
			t.Errorf("%s: got %d, %v", name, got.status, got.err)
		}
	}
	b := listen(t, answering("HTTP/1.1 200 OK\r\n"+strings.Repeat(field, 60)+"Content-Length: 2\r\n\r\nok"))
	get(t, newTransport(t, limit), b.url, "ok")
	large := strings.Repeat("y", 300<<10)
	b = listen(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 307200\r\n\r\n"+large))
	get(t, newTransport(t, limit), b.url, large)
}

// A body that is closed before its end ends its connection, also while a Read
// waits; afterwards it cannot be read.
func TestBodyClosedEarly(t *testing.T) {
	ended := make(chan struct{})
	b := listen(t, func(c net.Conn, _ int) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin")
		hold(c)
		ended <- struct{}{}
	})
	transport := newTransport(t)
	for _, reading := range []bool{false, true} {
		response, err := transport.RoundTrip(request(t.Context(), t, "GET", b.url, ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		if reading {
			go func() {
				_, err := response.Body.Read(make([]byte, 1))
				read <- err
			}()
		}
		for range 2 {
			if err := response.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		<-ended
		if reading {
			if err := <-read; err == nil {
				t.Error("a read of a closed body succeeds")
			}
		}
		if n, err := response.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errBodyClosed) {
			t.Errorf("after Close: read %d, %v", n, err)
		}
	}
}

// Where a body has ended it stays ended, whatever the connection serves then.
func TestBodyStaysEnded(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	response, err := transport.RoundTrip(request(t.Context(), t, "GET", b.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); string(body) != "ok" || err != nil {
		t.Fatal(string(body), err)
	}
	other, err := transport.RoundTrip(request(t.Context(), t, "GET", b.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := response.Body.Read(make([]byte, 9)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v after the end", n, err)
	}
	response.Body.Close()
	if body, err := io.ReadAll(other.Body); string(body) != "ok" || err != nil {
		t.Errorf("the next answer is %q, %v", body, err)
	}
	if b.connections.Load() != 1 {
		t.Errorf("%d connections, want 1", b.connections.Load())
	}
}
