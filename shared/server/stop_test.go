package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// stopping is a handler that takes ten seconds with what is below /slow, and with
// what is below /slow/stream when its answer has begun.
func stopping(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/slow/stream") {
		w.(http.Flusher).Flush()
	}
	if strings.HasPrefix(r.URL.Path, "/slow") {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
	path(w, r)
}

// Shutdown ends connections that serve no request, wherever they are, and waits
// for those that do. Their clients are told to send no more.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, stopping)
		silent, half, idle, left := s.dial(), s.dial(), s.dial(), s.dial()
		half.send("GET / HTTP/1.1\r\n")
		idle.ask(at("/"), "/")
		left.ask(odds("/"), "/")
		slow, slowLeft, stream := s.dial(), s.dial(), s.dial()
		slow.send(at("/slow"))
		stream.send(at("/slow/stream"))
		begun, err := http.ReadResponse(stream.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		slowLeft.send(odds("/slow"))
		pass(time.Second)

		begin, ended := time.Now(), make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		for name, c := range map[string]*client{"silent": silent, "half": half, "idle": idle, "left to net/http": left} {
			if rest := c.rest(); rest != "" || time.Since(begin) != 0 {
				t.Errorf("%s: closed after %v with %q", name, time.Since(begin), rest)
			}
		}
		if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returns %v", err)
		}
		for name, c := range map[string]*client{"slow": slow, "slow, left to net/http": slowLeft} {
			if answer := c.receive("/slow"); !answer.Close || c.rest() != "" {
				t.Errorf("%s: the client is not told", name)
			}
		}
		if body, err := io.ReadAll(begun.Body); string(body) != "/slow/stream" || err != nil || stream.rest() != "" {
			t.Errorf("the stream is %q, %v", body, err)
		}
		err = <-ended
		if took := time.Since(begin); err != nil || took < 9*time.Second || took > 10*time.Second {
			t.Errorf("Shutdown returns %v after %v", err, took)
		}
		if err := s.Serve(newQueue()); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve again returns %v", err)
		}
	})
}

// Shutdown gives up when its context ends, and Close ends what is open then.
func TestShutdownThatTakesTooLong(t *testing.T) {
	for _, request := range []string{at("/slow"), odds("/slow")} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, stopping)
			c := s.dial()
			c.send(request)
			pass(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown returns %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close returns %v", err)
			}
			if rest := c.rest(); rest != "" {
				t.Errorf("got %q", rest)
			}
		})
	}
}

// A server without connections is shut down at once.
func TestShutdownOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, stopping)
		synctest.Wait()
		begin := time.Now()
		for range 2 {
			if err := s.Shutdown(t.Context()); err != nil || time.Since(begin) != 0 {
				t.Errorf("Shutdown returns %v after %v", err, time.Since(begin))
			}
		}
	})
}

// Close ends everything at once, and cancels the requests.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan time.Duration, 2)
		s := start(t, waiting(took, func(http.ResponseWriter, *http.Request) {}))
		clients := []*client{s.dial(), s.dial(), s.dial()}
		clients[0].send(at("/"))
		clients[1].send(odds("/"))
		pass(time.Second)
		if err := s.Close(); err != nil {
			t.Errorf("Close returns %v", err)
		}
		for _, c := range clients {
			if rest := c.rest(); rest != "" {
				t.Errorf("got %q", rest)
			}
		}
		for range 2 {
			if got := <-took; got != time.Second {
				t.Errorf("a request is canceled after %v", got)
			}
		}
		if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returns %v", err)
		}
	})
}

// failing is a listener with faults before its first connection.
type failing struct {
	queue
	faults chan error
}

func (l failing) Accept() (net.Conn, error) {
	select {
	case err := <-l.faults:
		return nil, err
	default:
		return l.queue.Accept()
	}
}

// A lack of files passes; another fault of the listener ends serving.
func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, path)
		l := failing{newQueue(), make(chan error, 9)}
		for range 9 {
			l.faults <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		begin := time.Now()
		ours, theirs := net.Pipe()
		l.give(theirs)
		(&client{Conn: ours, t: t}).send(at("/", "Connection: close\r\n")[:9])
		// 5, 10, 20, … 640 ms, and 1 s
		if took := time.Since(begin); took != 2275*time.Millisecond {
			t.Errorf("served after %v", took)
		}
		ours.Close()
		fault := errors.New("no network")
		l.faults <- fault
		_, theirs = net.Pipe()
		l.give(theirs)
		if err := <-ended; !errors.Is(err, fault) {
			t.Errorf("Serve returns %v", err)
		}
	})
}

// late is a listener that has accepted its last connection when it is closed.
type late struct{ queue }

func (l late) Accept() (net.Conn, error) {
	<-l.closed
	return <-l.conns, nil
}

// A connection that is accepted when serving ends is closed.
func TestAcceptedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, path)
		l, ended := late{newQueue()}, make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		synctest.Wait()
		_ = s.Close()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returns %v", err)
		}
		if n, err := ours.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// Settings that only net/http knows leave all connections to it.
func TestLeftBySettings(t *testing.T) {
	for name, change := range map[string]func(*http.Server){
		"ReadTimeout":  func(s *http.Server) { s.ReadTimeout = time.Hour },
		"WriteTimeout": func(s *http.Server) { s.WriteTimeout = time.Hour },
		"ConnState":    func(s *http.Server) { s.ConnState = func(net.Conn, http.ConnState) {} },
		"ConnContext": func(s *http.Server) {
			s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return ctx }
		},
		"none": func(*http.Server) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(w http.ResponseWriter, _ *http.Request) {
					if _, here := w.(*exchange); here != (name == "none") {
						t.Errorf("served here: %t", here)
					}
				}, change)
				s.dial().ask(at("/"), "")
			})
		})
	}
}
