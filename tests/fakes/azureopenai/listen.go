package azureopenai

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// Listener is a server on a real socket.
type Listener struct {
	// URL is the base address, like http://127.0.0.1:34567.
	URL    string
	server *http.Server
	done   chan error
}

// Listen serves s at addr ("127.0.0.1:0" picks a free port) until the Listener
// is closed.
func (s *Server) Listen(addr string) (*Listener, error) {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		URL:    "http://" + socket.Addr().String(),
		server: &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second},
		done:   make(chan error, 1),
	}
	go func() { l.done <- l.server.Serve(socket) }()
	return l, nil
}

// Close stops listening and breaks every open connection, as a crash would.
func (l *Listener) Close() error {
	err := l.server.Close()
	if serveErr := <-l.done; !errors.Is(serveErr, http.ErrServerClosed) {
		return serveErr
	}
	return err
}
