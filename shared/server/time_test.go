package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hasty is a server that waits 10 s for a header, and 100 s for a request.
func hasty(s *http.Server) { s.ReadHeaderTimeout, s.IdleTimeout = 10*time.Second, 100*time.Second }

// A client has so long to send a header, from its first byte on or from the
// beginning of the connection, and so long to send another request. Then the
// connection is closed without a word.
func TestPatience(t *testing.T) {
	type step struct {
		wait time.Duration
		send string
	}
	for name, test := range map[string]struct {
		steps []step
		want  time.Duration // from the beginning
	}{
		"silent":                  {nil, 10 * time.Second},
		"half a header":           {[]step{{9 * time.Second, "GET / HT"}}, 10 * time.Second},
		"byte by byte":            {[]step{{4 * time.Second, "GET /"}, {4 * time.Second, " HTTP/1.1\r\n"}}, 10 * time.Second},
		"idle":                    {[]step{{9 * time.Second, at("/")}}, 109 * time.Second},
		"idle again":              {[]step{{0, at("/")}, {99 * time.Second, at("/")}}, 199 * time.Second},
		"idle after two requests": {[]step{{0, at("/")}, {2 * time.Second, at("/")}}, 102 * time.Second},
		"idle after close ones":   {[]step{{0, at("/")}, {time.Second, at("/")}}, 100 * time.Second}, // which share a deadline
		"half a second header":    {[]step{{0, at("/")}, {50 * time.Second, "GET / "}, {9 * time.Second, "HTTP"}}, 60 * time.Second},
		"a second byte by byte":   {[]step{{0, at("/")}, {99 * time.Second, "G"}}, 100 * time.Second},
		"body in time":            {[]step{{0, post("", "body")}}, 100 * time.Second},
		"left to net/http":        {[]step{{0, odds("/")}}, 100 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				c := start(t, path, hasty).dial()
				for _, step := range test.steps {
					pass(step.wait)
					c.send(step.send)
					if strings.HasSuffix(step.send, "\r\n\r\n") || strings.HasSuffix(step.send, "body") {
						c.receive("/")
					}
				}
				if rest, took := c.rest(), time.Since(begin); rest != "" || took != test.want {
					t.Errorf("closed after %v with %q, want %v", took, rest, test.want)
				}
			})
		})
	}
}

// Without limits a connection stays.
func TestUnlimitedPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, path).dial()
		for range 3 {
			pass(24 * time.Hour)
			c.send("GET / ")
			pass(24 * time.Hour)
			c.ask("HTTP/1.1\r\nHost: contoso.test\r\n\r\n", "/")
		}
	})
}

// The time to send a header does not bound the body, nor the handler.
func TestPatienceEndsWithTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("reading the body: %v", err)
			}
			pass(time.Hour)
			if r.Context().Err() != nil {
				t.Error("the request is canceled")
			}
			_, _ = w.Write(body)
		}, hasty).dial()
		for range 2 {
			c.send("POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbo")
			pass(time.Hour)
			c.ask("dy", "body")
			c.ask(at("/"), "")
		}
	})
}

// A handler bounds the reading of its body, before and while it reads, and
// nothing of that is left for the next request.
func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			connection := http.NewResponseController(w)
			begin := time.Now()
			_ = connection.SetReadDeadline(begin.Add(time.Second))
			if r.URL.Path == "/while" {
				_ = connection.SetReadDeadline(time.Time{})
				time.AfterFunc(time.Second, func() { _ = connection.SetReadDeadline(time.Now()) })
			}
			_, err := io.ReadAll(r.Body)
			if r.URL.Path == "/sent" {
				return
			}
			if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took != time.Second {
				t.Errorf("%s: read until %v, after %v", r.URL.Path, err, took)
			}
			if r.Context().Err() == nil {
				t.Errorf("%s: the request is not canceled", r.URL.Path)
			}
			w.WriteHeader(http.StatusRequestTimeout)
		})
		for _, path := range []string{"/before", "/while"} {
			c := s.dial()
			c.ask("POST /sent HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbody", "")
			pass(time.Hour)
			answer := c.ask("POST "+path+" HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbo", "")
			if answer.StatusCode != http.StatusRequestTimeout || !answer.Close || c.rest() != "" {
				t.Errorf("%s: got %d, close: %t", path, answer.StatusCode, answer.Close)
			}
		}
	})
}

// A deadline for the body is none for the watch that follows it.
func TestReadDeadlineAfterTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.Copy(io.Discard, r.Body)
			pass(time.Hour)
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
			pass(time.Hour)
			if r.Context().Err() != nil {
				t.Error("the request is canceled")
			}
		}).dial()
		c.ask(post("", "body"), "")
		c.ask(at("/"), "")
	})
}

// A handler that does not read its body waits for the rest of it as long as it
// has said.
func TestReadDeadlineOfAnUnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
			w.WriteHeader(http.StatusUnauthorized)
		}).dial()
		begin := time.Now()
		answer := c.ask("POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbo", "")
		if took := time.Since(begin); took != time.Second || !answer.Close {
			t.Errorf("answered after %v, close: %t", took, answer.Close)
		}
	})
}

// A handler bounds the sending of its answer, before and while it waits for a
// client that does not read, and nothing of that is left for the next request. A
// connection on which that time was too short is closed, whatever its handler does.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/unbounded" {
				return
			}
			connection := http.NewResponseController(w)
			begin := time.Now()
			_ = connection.SetWriteDeadline(begin.Add(time.Second))
			switch r.URL.Path {
			case "/read":
				return
			case "/while":
				_ = connection.SetWriteDeadline(time.Time{})
				time.AfterFunc(time.Second, func() { _ = connection.SetWriteDeadline(time.Now()) })
			}
			_, _ = io.WriteString(w, "event")
			err := connection.Flush()
			if again := connection.Flush(); !errors.Is(again, err) {
				t.Errorf("after %v: %v", err, again)
			}
			if took := time.Since(begin); took != time.Second || r.Context().Err() == nil {
				t.Errorf("%s: failed after %v, canceled: %v", r.URL.Path, took, r.Context().Err())
			}
			failed <- err
			pass(time.Hour)
		})
		for _, path := range []string{"/before", "/while"} {
			c := s.dial()
			c.ask(at("/read"), "")
			pass(time.Hour)
			c.ask(at("/unbounded"), "")
			c.send(at(path))
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", path, err)
			}
			begin := time.Now()
			if rest, took := c.rest(), time.Since(begin); rest != "" || took != 0 {
				t.Errorf("%s: closed after %v with %q", path, took, rest)
			}
			pass(time.Hour) // until the handler returns
		}
	})
}

// A connection that is handed over brings no deadline along.
func TestNoDeadlineHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
			path(w, r)
		}, func(s *http.Server) { s.IdleTimeout = 100 * time.Second }).dial()
		c.ask(at("/"), "/")
		pass(50 * time.Second)
		c.send("GET /left HTTP/1.0\r\n")
		pass(time.Hour)
		c.ask("\r\n", "/left")
	})
}
