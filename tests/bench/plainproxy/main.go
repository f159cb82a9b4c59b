// Command plainproxy is the benchmark's measure: httputil.ReverseProxy and nothing else.
//
//	plainproxy --listen 127.0.0.1:0 --upstream http://127.0.0.1:1234 [--duplex]
//
// It prints the address that it listens on.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"spillway/tests/bench/files"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "the address")
	upstream := flag.String("upstream", "", "where requests go")
	duplex := flag.Bool("duplex", false, "for an upstream that streams, and reads the whole of a request first")
	flag.Parse()
	if err := serve(*listen, *upstream, *duplex); err != nil {
		fmt.Fprintln(os.Stderr, "plainproxy:", err)
		os.Exit(1)
	}
}

// serve serves until it fails.
func serve(listen, upstream string, duplex bool) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	files.Raise()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("listening %s\n", listener.Addr())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1024 // two are the default, and every other request would dial
	transport.DisableCompression = true
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport}
	// When an answer begins, the server closes the request's body. The transport, which may
	// just be looking for the body's end, then drops the connection, and the stream with
	// it. In full duplex the body stays open, but then an answer must not end before the
	// body does.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if duplex {
			_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
		}
		proxy.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}
