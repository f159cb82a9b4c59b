package replay

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"spillway/shared/upstream"
	"spillway/shared/upstream/wire"
	"spillway/tests/fakes/azureopenai"
)

// Network carries the requests of one gateway.
type Network interface {
	// Backend makes a backend reachable through Transport and returns its URL.
	Backend(name string, s *azureopenai.Server) (string, error)
	// Gateway makes a gateway reachable through Transport and returns its URL.
	Gateway(http.Handler) (string, error)
	// Transport reaches all of the above; each call makes a new one.
	Transport() http.RoundTripper
	// Close ends what the others have begun.
	Close() error
}

// Loopback is a network of real sockets on this machine. The zero value is ready
// for use.
type Loopback struct {
	closers    []func() error
	transports []*wire.Transport
}

// Backend listens on a free port.
func (l *Loopback) Backend(_ string, s *azureopenai.Server) (string, error) {
	listener, err := s.Listen("127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.closers = append(l.closers, listener.Close)
	return listener.URL, nil
}

// Gateway listens on a free port.
func (l *Loopback) Gateway(h http.Handler) (string, error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	l.closers = append(l.closers, func() error {
		const drain = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		err := server.Shutdown(ctx)
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return "http://" + socket.Addr().String(), nil
}

// Transport is the one that the gateway uses for its backends by default.
func (l *Loopback) Transport() http.RoundTripper {
	transport := upstream.NewTransport(5*time.Second, nil)
	l.transports = append(l.transports, transport)
	return transport
}

// Close closes the gateway, then the backends.
func (l *Loopback) Close() error {
	var errs []error
	for _, t := range l.transports {
		t.CloseIdleConnections()
	}
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	return errors.Join(errs...)
}

var _ Network = (*Loopback)(nil)
