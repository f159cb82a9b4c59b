package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
)

var errHandshake = fmt.Errorf("wire: TLS handshake timeout: %w", os.ErrDeadlineExceeded)

// dial makes a new connection.
func (t *Transport) dial(ctx context.Context, to *Target) (*conn, error) {
	c, err := t.connect(ctx, to)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return c, err
}

func (t *Transport) connect(ctx context.Context, to *Target) (*conn, error) {
	u, port := to.request.URL, "80"
	secure := endpointOf(u).secure
	if secure {
		port = "443"
	}
	dial := t.settings.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	plain, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return nil, err
	}
	c := newConn(plain, to.shelf)
	if secure {
		if err := t.handshake(ctx, c, u.Hostname()); err != nil {
			c.abort()
			return nil, err
		}
	}
	return c, nil
}

// handshake puts TLS over a connection.
func (t *Transport) handshake(ctx context.Context, c *conn, host string) error {
	config := new(tls.Config)
	if t.settings.TLSClientConfig != nil {
		config = t.settings.TLSClientConfig.Clone()
	}
	config.NextProtos = []string{"http/1.1"}
	config.ServerName = cmp.Or(config.ServerName, host)
	if limit := t.settings.TLSHandshakeTimeout; limit > 0 {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ctx = limited
	}
	secured := tls.Client(c.socket, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			return errHandshake // or the request's end, which goes before
		}
		return err
	}
	state := secured.ConnectionState()
	c.Conn, c.direct, c.from, c.state = secured, secured, secured, &state
	c.talk = nil
	return nil
}
