package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"spillway/shared/http1"
)

// A handler that keeps what it was given can do no harm with it when it has
// returned, not even while the connection serves another request.
func TestUseAfterReturn(t *testing.T) {
	type kept struct {
		w http.ResponseWriter
		r *http.Request
	}
	synctest.Test(t, func(t *testing.T) {
		first := make(chan kept, 1)
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				first <- kept{w, r}
				return
			}
			old := <-first
			connection := http.NewResponseController(old.w)
			_, written := io.WriteString(old.w, "late")
			_, read := old.r.Body.Read(make([]byte, 9))
			for what, err := range map[string]error{
				"Write": written, "Flush": connection.Flush(), "SetReadDeadline": connection.SetReadDeadline(past), "SetWriteDeadline": connection.SetWriteDeadline(past),
			} {
				if !errors.Is(err, errOver) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if !errors.Is(read, http.ErrBodyReadAfterClose) {
				t.Errorf("Read: %v", read)
			}
			old.w.Header().Set("X-Late", "x")
			old.w.WriteHeader(http.StatusTeapot)
			old.w.(http.Flusher).Flush()
			body, err := io.ReadAll(r.Body)
			if string(body) != "body" || err != nil {
				t.Errorf("the body is %q, %v", body, err)
			}
			_, _ = io.WriteString(w, "second")
		}).dial()
		c.send("POST /first HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbody")
		c.receive("")
		c.send("POST /second HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbody")
		if answer := c.receive("second"); answer.Header["X-Late"] != nil {
			t.Errorf("the answer's header is %v", answer.Header)
		}
	})
}

// Nothing of an answer's header is left in the next one's, be there few fields or many.
func TestFreshHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			if len(w.Header()) != 0 {
				t.Errorf("the header begins with %v", w.Header())
			}
			for i := range len(r.URL.Path) {
				w.Header().Set(fmt.Sprintf("X-%d", i), "x")
			}
		}).dial()
		for _, n := range []int{1, http1.UsualFields, http1.UsualFields + 1, 100, 1} {
			if answer := c.ask(at("/"+strings.Repeat("x", n-1)), ""); len(answer.Header) != n+2 { // Date and Content-Length
				t.Errorf("%d fields, want %d", len(answer.Header), n+2)
			}
		}
	})
}

// A request has its own fields alone, also where the header of the one before it is used
// again, and their values outlast it.
func TestFreshRequestHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var values [][]string
		c := start(t, func(_ http.ResponseWriter, r *http.Request) {
			if len(r.Header) != 1 {
				t.Errorf("%s: the header is %v", r.URL.Path, r.Header)
			}
			values = append(values, r.Header["X-"+r.URL.Path[1:]])
			r.Header.Set("X-Added", "by the handler")
		}).dial()
		names := []string{"A", "B", "Charset", "A"}
		for _, name := range names {
			c.ask(at("/"+name, "x-"+name+": "+name+"\r\n"), "")
		}
		for i, name := range names {
			if !slices.Equal(values[i], []string{name}) {
				t.Errorf("request %d had %q, want %q", i, values[i], name)
			}
		}
	})
}

// A handler that panics drops its connection. Other faults than ErrAbortHandler
// are logged, with the place.
func TestPanic(t *testing.T) {
	for name, test := range map[string]struct {
		fault  any
		logged string
	}{
		"abort":   {http.ErrAbortHandler, ""},
		"a fault": {"no such thing", "no such thing"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(_ http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" {
						go func() { _, _ = io.Copy(io.Discard, r.Body) }()
						pass(time.Second)
					}
					panic(test.fault)
				})
				for _, text := range []string{at("/"), "POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 9\r\n\r\nbody"} {
					c := s.dial()
					c.send(text)
					if rest := c.rest(); rest != "" {
						t.Errorf("got %q", rest)
					}
				}
				synctest.Wait()
				log := s.logged()
				if !strings.Contains(log, test.logged) || (log == "") != (test.logged == "") || strings.Contains(log, "kept_test.go") != (log != "") {
					t.Errorf("logged %q", log)
				}
				if s.open() != 0 {
					t.Errorf("%d connections are left", s.open())
				}
			})
		})
	}
}

// open is how many connections are served here.
func (s *running) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// A status that HTTP does not have is a fault; a second one is logged, and so is
// a length that makes no sense.
func TestFaultsOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/status":
				w.WriteHeader(99)
			case "/twice":
				w.WriteHeader(http.StatusTeapot)
				w.WriteHeader(http.StatusOK)
			case "/length":
				w.Header().Set("Content-Length", "many")
			}
		})
		for path, want := range map[string]string{
			"/status": "invalid WriteHeader code 99", "/twice": "superfluous", "/length": `invalid Content-Length of "many"`,
		} {
			c := s.dial()
			c.send(at(path, "Connection: close\r\n"))
			c.rest()
			if log := s.logged(); !strings.Contains(log, want) {
				t.Errorf("%s: logged %q", path, log)
			}
		}
	})
}

// A body that a full-duplex handler has left unread ends the connection.
func TestUnreadInFullDuplex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.WriteString(w, "ok")
		}).dial()
		c.ask("POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 9\r\n\r\n", "ok")
		if rest := c.rest(); rest != "" {
			t.Errorf("got %q", rest)
		}
	})
}

// In full duplex a handler answers while it reads.
func TestFullDuplex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			connection := http.NewResponseController(w)
			_ = connection.EnableFullDuplex()
			for b := make([]byte, 4); ; {
				n, err := io.ReadFull(r.Body, b)
				if err != nil {
					return
				}
				_, _ = w.Write(b[:n])
				_ = connection.Flush()
			}
		}).dial()
		c.send("POST / HTTP/1.1\r\nHost: contoso.test\r\nTransfer-Encoding: chunked\r\n\r\n")
		c.send("4\r\nping\r\n")
		answer, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"ping", "pong"} {
			got := make([]byte, 4)
			if _, err := io.ReadFull(answer.Body, got); string(got) != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
			c.send(map[string]string{"ping": "4\r\npong\r\n", "pong": "0\r\n\r\n"}[want])
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		c.ask(at("/"), "")
	})
}

// What was read before a connection is handed over comes first, in whatever
// portions it is read.
func TestFronted(t *testing.T) {
	c := &fronted{Conn: script("hell", "o"), front: []byte("oh, ")}
	if got, err := io.ReadAll(iotest.OneByteReader(c)); string(got) != "oh, hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// A client that is refused while it still sends gets to read why, and then has
// half a second to stop.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }).dial()
		c.send("POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 9999999\r\n\r\n")
		begin := time.Now()
		answer := c.receive("")
		if answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
			t.Errorf("got %d, close: %t", answer.StatusCode, answer.Close)
		}
		c.send(strings.Repeat("x", 1<<20))
		if rest, took := c.rest(), time.Since(begin); rest != "" || took != lingering {
			t.Errorf("closed after %v with %q", took, rest)
		}
	})
}
