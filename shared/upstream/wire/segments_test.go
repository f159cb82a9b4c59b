package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inMemory is a body that lies in memory.
type inMemory struct {
	segments [][]byte
	more     int64 // than there is of it is said to be there
	sent     int   // how often
}

func (b *inMemory) Size() int64 {
	size := b.more
	for _, s := range b.segments {
		size += int64(len(s))
	}
	return size
}

func (b *inMemory) Segments() ([][]byte, error) {
	b.sent++
	return b.segments, nil
}

// megabyte is a body with a short segment among long ones.
var megabyte = []string{`{"prompt":"`, strings.Repeat("x", 1<<20), "", "name", strings.Repeat("y", 100<<10)}

// fromMemory makes a body of segments.
func fromMemory(segments ...string) *inMemory {
	body := new(inMemory)
	for _, s := range segments {
		body.segments = append(body.segments, []byte(s))
	}
	return body
}

// targetOf is where a POST to a URL goes.
func targetOf(t testing.TB, transport *Transport, address string) *Target {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return transport.Target(http.MethodPost, u)
}

// post sends a body and reads the answer to its end.
func post(ctx context.Context, to *Target, header []Field, body Body) seen {
	response, err := to.Send(ctx, time.Now(), header, body)
	if err != nil {
		return seen{err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return seen{response.StatusCode, string(answer), err}
}

// A long body that lies in memory is sent from there, over one connection. Its segments
// stay as they are.
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
			to := targetOf(t, transport, server.URL+"/")
			for range 3 {
				body := fromMemory(megabyte...)
				kept := transport.onlyKept()
				got := post(t.Context(), to, nil, body)
				if want := "/" + strings.Join(megabyte, ""); got.body != want || got.err != nil {
					t.Fatalf("%d bytes come back, want %d: %v", len(got.body), len(want), got.err)
				}
				if body.sent != 1 {
					t.Errorf("sent %d times", body.sent)
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
			body := fromMemory(strings.Repeat("x", 8<<20))
			got := post(t.Context(), targetOf(t, newTransport(t), b.url), nil, body)
			if got.err != nil || got.status != 413 || got.body != "big" || body.sent != 1 {
				t.Errorf("got %+v, sent %d times", got, body.sent)
			}
		})
	}
}

// A body that lies in memory is sent again where another would be.
func TestBodyFromMemoryIsRepeated(t *testing.T) {
	b := listen(t, losingSecond)
	transport := newTransport(t)
	get(t, transport, b.url, "ok")
	body := fromMemory(megabyte...)
	got := post(t.Context(), targetOf(t, transport, b.url), []Field{{"X-Idempotency-Key", nil}}, body)
	if got.err != nil || got.body != "ok" || body.sent != 2 {
		t.Errorf("got %+v, sent %d times", got, body.sent)
	}
}

// One of another length than was said is not sent, and its connection is not lost.
func TestBodyFromMemoryOfAnotherLength(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for name, segments := range map[string][]string{"short": {"ab", "cd"}, "long": megabyte} {
		for _, more := range []int64{-1, 1} {
			body := fromMemory(segments...)
			body.more = more
			if got := post(t.Context(), targetOf(t, transport, b.url), nil, body); got.err == nil {
				t.Errorf("%s, %+d bytes: got %+v", name, more, got)
			}
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
				response, err := targetOf(t, transport, "http://contoso.test").Send(t.Context(), time.Now(), nil, fromMemory(megabyte...))
				if (err == nil) != (test.use != nil) {
					t.Fatalf("got %v", err)
				}
				if err == nil {
					test.use(response)
				}
				if made.writing.Load() {
					t.Error("still writing")
				}
			})
		})
	}
}
