// Package server serves ordinary HTTP/1.1 requests in one goroutine for each
// connection. net/http reads ahead in a second goroutine during every request,
// copies and sorts the answer's header, and keeps buffers while a stream waits
// for its next event, which costs a gateway a seventh of its CPU time. Whatever
// is not ordinary is left to net/http, with its connection.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves HTTP. It is safe for concurrent use; make it with New.
//
// It reads requests as http.Server does, answers as that does, and differs from it
// in this:
//
//   - The fields of an answer's header are in no order.
//   - A handler's Content-Length that is no number is not sent, not even to HEAD.
//   - Whether a client has left is watched once its request has been read to the
//     end and the handler has taken some milliseconds more.
//   - Deadlines of http.ResponseController take effect where bytes are read or
//     written; a read deadline does not concern the watch.
//   - A ResponseWriter does nothing, and returns an error, once its handler has
//     returned. It is neither an http.Hijacker nor an io.ReaderFrom.
//   - The header of a ResponseWriter is used again once its handler has returned: who
//     keeps it changes another answer.
//   - The header of a request is emptied once its handler has returned, and is then that
//     of the client's next request. Its values stay as they are.
//   - An idle connection is closed up to a hundredth of IdleTimeout early.
//   - A connection that is left to net/http in the middle of a header gets
//     ReadHeaderTimeout once more.
//   - http.MaxBytesReader does not end the connection by itself; an unread rest
//     of more than 256 KiB does.
type Server struct {
	settings *http.Server
	closing  atomic.Bool
	sentry   sentry

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // guarded by mu
	conns     map[*conn]struct{}        // guarded by mu; those that are served here
	drained   chan struct{}             // guarded by mu; closed when no conns are left, nil: nobody waits
}

// New makes a Server with the settings of an http.Server, which also serves the
// connections that are not ordinary. Of its fields, Handler, BaseContext,
// ReadHeaderTimeout, IdleTimeout, MaxHeaderBytes and ErrorLog hold for all
// requests, and the others for those alone; if ReadTimeout, WriteTimeout,
// ConnState or ConnContext is set, all are left to it. The settings must be used
// for nothing else, and not be changed once Serve has been called.
func New(settings *http.Server) *Server {
	return &Server{
		settings:  settings,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
}

// Serve accepts connections from the listener, and serves them, until Shutdown
// or Close, when it returns http.ErrServerClosed, or until the listener fails
// for good. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.open(l) {
		return http.ErrServerClosed
	}
	defer s.forget(l)
	base := context.Background()
	if s.settings.BaseContext != nil {
		base = s.settings.BaseContext(l)
	}
	base = context.WithValue(base, http.ServerContextKey, s.settings)
	left := newHandover(l.Addr())
	go func() { _ = s.settings.Serve(left) }() // until Shutdown or Close
	for {
		plain, err := s.accept(l)
		switch {
		case err != nil:
			return err
		case !s.ordinary(plain):
			if !left.give(plain) {
				_ = plain.Close()
			}
			continue
		}
		c := newConn(s, plain, base, left)
		if !s.add(c) {
			_ = plain.Close()
			return http.ErrServerClosed
		}
		go c.serve()
	}
}

// ordinary tells whether the connection is served here.
func (s *Server) ordinary(c net.Conn) bool {
	_, secured := c.(*tls.Conn)
	t := s.settings
	return !secured && t.ReadTimeout == 0 && t.WriteTimeout == 0 && t.ConnState == nil && t.ConnContext == nil
}

const (
	// A lack of files or memory ends by itself, and is waited for so long.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// accept waits for a connection.
func (s *Server) accept(l net.Listener) (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c, err := l.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			return c, nil
		case s.closing.Load():
			return nil, http.ErrServerClosed
		case !errors.As(err, &passing) || !passing.Temporary():
			return nil, err
		}
		s.logf("server: Accept error: %v; retrying in %v", err, pause)
		time.Sleep(pause)
	}
}

// Shutdown takes no more connections, closes those that serve no request, and
// waits until the others have served theirs, or until ctx ends, when it returns
// ctx's error and leaves them.
func (s *Server) Shutdown(ctx context.Context) error {
	drained := s.stop((*conn).retire)
	s.settings.SetKeepAlivesEnabled(false) // it may still be given connections
	select {
	case <-drained:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.settings.Shutdown(ctx)
}

// Close closes the listeners and all connections at once.
func (s *Server) Close() error {
	s.stop((*conn).abort)
	return s.settings.Close()
}

// stop ends accepting, and each connection in the given way. What it returns is
// closed when none is left.
func (s *Server) stop(end func(*conn)) <-chan struct{} {
	s.closing.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		end(c)
	}
	if s.drained == nil {
		s.drained = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.drained)
		}
	}
	return s.drained
}

// open notes a listener, to be closed when serving ends. It tells whether
// serving has not ended.
func (s *Server) open(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) forget(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// add notes a connection, unless serving has ended.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.drained != nil && len(s.conns) == 0 {
		close(s.drained)
	}
}

func (s *Server) handler() http.Handler {
	if s.settings.Handler == nil {
		return http.DefaultServeMux
	}
	return s.settings.Handler
}

func (s *Server) logf(format string, args ...any) {
	if s.settings.ErrorLog != nil {
		s.settings.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// headerEnd is until when a request's header must have come; zero: it may take
// for ever.
func (s *Server) headerEnd() time.Time { return after(s.settings.ReadHeaderTimeout) }

// idleEnd is until when the next request must have begun.
func (s *Server) idleEnd() time.Time { return after(s.settings.IdleTimeout) }

func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
