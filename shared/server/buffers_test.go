package server

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// listening notes what is written to a connection, write by write.
type listening struct {
	net.Conn
	writes []string
}

func (c *listening) Write(p []byte) (int, error) {
	c.writes = append(c.writes, string(p))
	return c.Conn.Write(p)
}

// What is known together is sent together: a short answer with its header, an
// event with its frame.
func TestWrites(t *testing.T) {
	event := strings.Repeat("x", 3000)
	for name, test := range map[string]struct {
		steps string
		want  []string // how the writes end
	}{
		"short":           {"say=hello", []string{"\r\n\r\nhello"}},
		"parts":           {"say=a&say=b&say=c", []string{"\r\n\r\nabc"}},
		"of a length":     {set("Content-Length:3000") + "&write=3000", []string{"<x>"}},
		"chunks":          {"say=" + event + "&say=a", []string{"x\r\n1\r\na\r\n0\r\n\r\n"}},
		"long":            {"write=9000", []string{"\r\n\r\n2328\r\n", "<x>", "\r\n", "0\r\n\r\n"}},
		"events":          {"flush&say=a&flush&say=" + event + "&flush", []string{"\r\n\r\n", "1\r\na\r\n", "x\r\n", "0\r\n\r\n"}},
		"nothing to send": {"flush&flush&flush", []string{"\r\n\r\n", "0\r\n\r\n"}},
		"informed":        {"status=103&say=a", []string{"Hints\r\n\r\n", "\r\n\r\na"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(settings(new(director)))
				q := newQueue()
				go func() { _ = s.Serve(q) }()
				defer s.Close()
				ours, theirs := net.Pipe()
				heard := &listening{Conn: theirs}
				q.give(heard)
				c := &client{Conn: ours, t: t}
				c.send(strings.Replace(get(test.steps), "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
				_, _ = io.Copy(io.Discard, c)
				if !slices.EqualFunc(heard.writes, test.want, strings.HasSuffix) {
					t.Errorf("writes %.200q, want %.200q", heard.writes, test.want)
				}
			})
		})
	}
}

// While a stream waits for its next event, or an answer for its first byte, the
// connection holds no buffer.
func TestNothingHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *running
		s = start(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for _, part := range []string{"", "event", strings.Repeat("x", 3000), strings.Repeat("x", 9000)} {
				if part != "" {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
				}
				for c := range s.conns {
					if c.reader != nil || c.kept != nil || c.exchange.unsent != nil {
						t.Errorf("after %d bytes it holds %v, %d bytes, %v", len(part), c.reader, len(c.kept), c.exchange.unsent)
					}
				}
			}
		})
		c := s.dial()
		for range 2 {
			c.send(post("", "body"))
			answer, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, answer.Body); n != 5+3000+9000 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
		}
	})
}
