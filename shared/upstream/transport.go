package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"spillway/shared/upstream/wire"
)

// NewTransport makes the transport that a Client uses by default, for many long
// streams to few hosts; connect bounds the dial and, once more, the TLS
// handshake. It trusts the authorities of roots and no others; nil: those of the
// system.
//
// It speaks HTTP/1.1 only, one connection per stream. Over HTTP/2 all streams to
// a backend would share one connection: a lost packet holds all of them up, a
// lost connection breaks all of them, the service's limit of streams (often 100)
// makes requests queue where nobody sees it, and Go's implementation spends more
// CPU time per byte. What HTTP/2 saves, a handshake per connection, keep-alive
// saves too. Ordinary requests are sent by package wire, which spends a third less CPU
// time on them than net/http, and the others by net/http.
func NewTransport(connect time.Duration, roots *x509.CertPool) *wire.Transport {
	return wire.New(transportSettings(connect, roots))
}

func transportSettings(connect time.Duration, roots *x509.CertPool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout: connect,
		Protocols:           protocols,
		// A busy hour's connections are kept: no limit in all, a high one per host.
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		// The usage in an answer can only be read if nothing unpacks or packs it.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         4 << 10,
		WriteBufferSize:        4 << 10,
	}
}
