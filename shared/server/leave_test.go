package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// waiting is a handler that takes until its request is canceled, an hour at most,
// and says how long that was.
func waiting(took chan<- time.Duration, before func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		before(w, r)
		select {
		case <-r.Context().Done():
		case <-time.After(time.Hour):
		}
		took <- time.Since(begin)
	}
}

// A client's leaving cancels its request as soon as it is watched for, whatever
// has been read and sent before.
func TestClientLeaves(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		before  func(http.ResponseWriter, *http.Request)
		leaves  time.Duration // after its request
		want    time.Duration // when the handler knows
	}{
		"at once":        {at("/"), nil, 0, 2 * watchAfter},
		"later":          {at("/"), nil, time.Second, time.Second},
		"after a body":   {post("", "body"), func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, time.Second, time.Second},
		"after chunks":   {chunked("", "body"), func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, time.Second, time.Second},
		"unread body":    {post("", "body"), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 9000)) }, time.Second, time.Second},
		"in a stream":    {at("/"), func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, time.Second, time.Second},
		"never":          {at("/"), nil, 2 * time.Hour, time.Hour},
		"in the body":    {"POST / HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 9\r\n\r\nbody", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, time.Second, time.Second},
		"left to others": {odds("/"), nil, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test.before == nil {
					test.before = func(http.ResponseWriter, *http.Request) {}
				}
				took := make(chan time.Duration, 1)
				c := start(t, waiting(took, test.before)).dial()
				c.send(test.request)
				go func() { _, _ = io.Copy(io.Discard, c) }()
				pass(test.leaves)
				c.Close()
				if got := <-took; got != test.want {
					t.Errorf("the handler waits %v, want %v", got, test.want)
				}
			})
		})
	}
}

// Each request is watched when it has taken watchAfter, and at the latest when it has taken
// twice that, whatever becomes of those on other connections.
func TestManyAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan time.Duration)
		wait := waiting(took, func(http.ResponseWriter, *http.Request) {})
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/short" {
				wait(w, r)
			}
		})
		short, kept := s.dial(), s.dial()
		kept.send(at("/"))
		for range 3 {
			short.ask(at("/short"), "")
			left := s.dial()
			left.send(at("/"))
			left.Close()
			pass(watchAfter / 5)
		}
		for range 3 {
			if got := <-took; got < watchAfter || got > 2*watchAfter {
				t.Errorf("the handler waits %v for a client that has left, want %v to %v", got, watchAfter, 2*watchAfter)
			}
		}
		if got := <-took; got != time.Hour {
			t.Errorf("the handler waits %v for the client that has not, want %v", got, time.Hour)
		}
		kept.receive("")
	})
}

// Who sends more has not left. What was sent is the next request, however much of
// it comes while the first is served.
func TestPipelinedWhileWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			pass(time.Minute)
			if r.Context().Err() != nil {
				t.Errorf("%s is canceled", r.URL.Path)
			}
			path(w, r)
		}).dial()
		sent := make(chan struct{})
		go func() {
			for _, text := range []string{at("/1"), "G", "ET /2 HTTP/1.1\r\nHost: contoso.test\r\n\r\n" + at("/3") + "P",
				"OST /4 HTTP/1.1\r\nHost: contoso.test\r\nContent-Length: 4\r\n\r\nbo", "dy" + odds("/5") + at("/6")} {
				c.send(text)
				pass(time.Second)
			}
			close(sent)
		}()
		for _, want := range []string{"/1", "/2", "/3", "/4", "/5", "/6"} {
			c.receive(want)
		}
		<-sent
	})
}

// A watch that begins too late, when its request has been answered, takes nothing
// of what comes then.
func TestLateWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, path)
		c := s.dial()
		for range 2 {
			c.ask(at("/"), "/")
			synctest.Wait()
			for served := range s.conns {
				served.watchClient()
			}
		}
	})
}

// When the handler returns its request is canceled, also when it panics.
func TestCanceledAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contexts := make(chan context.Context, 1)
		s := start(t, func(_ http.ResponseWriter, r *http.Request) {
			contexts <- r.Context()
			if r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
		})
		c := s.dial()
		for _, path := range []string{"/", "/", "/panic"} {
			c.send(at(path))
			ctx := <-contexts
			<-ctx.Done()
			if path == "/" {
				c.receive("")
			}
		}
	})
}

// baseContext adds the listener's address to all contexts.
func baseContext(key any) func(*http.Server) {
	return func(s *http.Server) {
		s.BaseContext = func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), key, l.Addr())
		}
	}
}

// A request's context knows the server, the address that was called, and what the
// settings add.
func TestContext(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var s *running
		s = start(t, func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if ctx.Value(key{}) != s.queue.Addr() || ctx.Value(http.ServerContextKey) != s.settings || ctx.Value(http.LocalAddrContextKey) == nil {
				t.Errorf("%s: the context is %v", r.URL.Path, ctx)
			}
			if r.RemoteAddr != "pipe" {
				t.Errorf("%s: the client is %q", r.URL.Path, r.RemoteAddr)
			}
		}, baseContext(key{}))
		c := s.dial()
		c.ask(at("/here"), "")
		c.ask(odds("/there"), "")
	})
}
