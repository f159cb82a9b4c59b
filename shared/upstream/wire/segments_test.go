package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inMemory is a body that lies in memory. Nobody may read it.
type inMemory struct {
	t        testing.TB
	segments [][]byte
	closed   atomic.Int32
}

func (b *inMemory) Segments() [][]byte { return b.segments }

func (b *inMemory) Read([]byte) (int, error) {
	b.t.Error("the body is read")
	return 0, io.EOF
}

func (b *inMemory) Close() error {
	b.closed.Add(1)
	return nil
}

// megabyte is a body with a short segment among long ones.
var megabyte = []string{`{"prompt":"`, strings.Repeat("x", 1<<20), "", "name", strings.Repeat("y", 100<<10)}

// fromMemory makes a request whose body lies in memory, and can be had again.
func fromMemory(ctx context.Context, t testing.TB, url string, segments ...string) (*http.Request, *inMemory) {
	t.Helper()
	whole := strings.Join(segments, "")
	r := request(ctx, t, "POST", url, whole)
	body := &inMemory{t: t}
	for _, s := range segments {
		body.segments = append(body.segments, []byte(s))
	}
	r.Body, r.GetBody = body, func() (io.ReadCloser, error) { return body, nil }
	return r, body
}

// A long body that lies in memory is sent from there, over one connection, and is
// closed when it has been sent. Its segments stay as they are.
func TestBodyFromMemory(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			server := start(http.HandlerFunc(echo))
			t.Cleanup(server.Close)
			transport := newTransport(t, func(s *http.Transport) {
				if server.TLS != nil {
					trusting(server)(s)
				}
			})
			for range 3 {
				r, body := fromMemory(t.Context(), t, server.URL+"/", megabyte...)
				kept := transport.onlyKept()
				got := fetch(transport, r)
				if want := "/" + strings.Join(megabyte, ""); got.body != want || got.err != nil {
					t.Fatalf("%d bytes come back, want %d: %v", len(got.body), len(want), got.err)
				}
				if body.closed.Load() != 1 {
					t.Errorf("closed %d times", body.closed.Load())
				}
				if !slices.EqualFunc(body.segments, megabyte, func(b []byte, s string) bool { return string(b) == s }) {
					t.Error("the segments were changed")
				}
				if now := transport.onlyKept(); kept != nil && now != kept {
					t.Error("another connection is used")
				}
			}
		})
	}
}

// An answer to a body of which the backend has read nothing counts.
func TestEarlyAnswerToBodyFromMemory(t *testing.T) {
	for name, then := range map[string]func(net.Conn){"closes": func(net.Conn) {}, "reads the rest": hold, "reads nothing": waitForEnd} {
		t.Run(name, func(t *testing.T) {
			b := listen(t, func(c net.Conn, _ int) {
				refuses(t, c)
				then(c)
			})
			r, body := fromMemory(t.Context(), t, b.url, strings.Repeat("x", 8<<20))
			got := fetch(newTransport(t), r)
			if got.err != nil || got.status != 413 || got.body != "big" || body.closed.Load() != 1 {
				t.Errorf("got %+v, closed %d times", got, body.closed.Load())
			}
		})
	}
}

// A body that lies in memory is sent again where another would be.
func TestBodyFromMemoryIsRepeated(t *testing.T) {
	b := listen(t, func(c net.Conn, number int) {
		r := bufio.NewReader(c)
		for first := true; readRequest(r) != nil && (first || number > 1); first = false {
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	transport := newTransport(t)
	get(t, transport, b.url, "ok")
	r, body := fromMemory(t.Context(), t, b.url, megabyte...)
	r.Header = keyed
	if got := fetch(transport, r); got.err != nil || got.body != "ok" || body.closed.Load() != 2 {
		t.Errorf("got %+v, closed %d times", got, body.closed.Load())
	}
}

// One of another length than was said is not sent, and its connection is not lost.
func TestBodyFromMemoryOfAnotherLength(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for _, more := range []int64{-1, 1} {
		r, body := fromMemory(t.Context(), t, b.url, megabyte...)
		r.ContentLength -= more
		if got := fetch(transport, r); got.err == nil || body.closed.Load() != 1 {
			t.Errorf("%+d bytes: got %+v, closed %d times", more, got, body.closed.Load())
		}
	}
	get(t, transport, b.url, "ok")
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// lingering is a connection whose Write takes a while to notice that it was closed.
type lingering struct {
	net.Conn
	writing atomic.Bool
}

func (c *lingering) Write(p []byte) (int, error) {
	c.writing.Store(true)
	defer c.writing.Store(false)
	n, err := c.Conn.Write(p)
	if err != nil {
		<-time.After(time.Minute)
	}
	return n, err
}

// The memory of a body is the caller's again when the request has failed, or its
// answer has ended or been closed, however long the connection takes to let it go.
func TestMemoryIsTheCallersAgain(t *testing.T) {
	const header = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\n"
	for name, test := range map[string]struct {
		answer string
		use    func(*http.Response)
	}{
		"no answer":       {"", nil},
		"no HTTP":         {"SSH-2.0-OpenSSH\r\n\r\n", nil},
		"answer is read":  {header + "big", func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) }},
		"answer is empty": {"HTTP/1.1 204 No Content\r\n\r\n", func(*http.Response) {}},
		"answer is closed": {header + "b", func(r *http.Response) {
			_ = r.Body.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var made *lingering
				transport := New(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					made = &lingering{Conn: ours}
					go func() {
						_, _ = http.ReadRequest(bufio.NewReaderSize(theirs, 16))
						_, _ = io.WriteString(theirs, test.answer)
						if test.answer == "" {
							_ = theirs.Close()
						}
					}()
					return made, nil
				}})
				r, body := fromMemory(t.Context(), t, "http://contoso.test", megabyte...)
				response, err := transport.RoundTrip(r)
				if (err == nil) != (test.use != nil) {
					t.Fatalf("got %v", err)
				}
				if err == nil {
					test.use(response)
				}
				if made.writing.Load() || body.closed.Load() != 1 {
					t.Errorf("still writing: %t, closed %d times", made.writing.Load(), body.closed.Load())
				}
			})
		})
	}
}
