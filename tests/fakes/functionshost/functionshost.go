// Package functionshost runs a folder as the Azure Functions host runs a custom
// handler: it starts the program that host.json names, forwards to it the requests
// that the function.json files route, calls it when a timer is due, kills it
// without a warning, and starts it again when it has crashed.
//
// It is written from the host's public source and documentation
// (https://github.com/Azure/azure-functions-host and
// https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers), and
// is stricter: what the real host would ignore, or answer by a call that never ends,
// is an error here.
//
// Not kept: keys (authLevel other than anonymous is refused), route constraints,
// bindings other than http and timer, the state of schedules, the Windows plans'
// throttles.
package functionshost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// hostVersion is what the host calls itself.
const hostVersion = "4.1041.200.0"

// Options say what is run, and how.
type Options struct {
	// Folder holds host.json. Required.
	Folder string
	// Settings are the app settings, which the program finds in its environment.
	Settings map[string]string
	// Only names the functions of this instance. Some plans run each timer on
	// instances of its own. Nil: all.
	Only []string
	// Timers calls the functions with a timer when they are due. Without it only
	// Trigger does.
	Timers bool
	// Idle ends a forwarded request through which no byte has come for so long.
	// Default: 240 s, as in the real host.
	Idle time.Duration
	// Console is given each line, as it comes. Optional.
	Console func(Line)
}

// Line is a line of the host's log.
type Line struct {
	Level    string // Information, Warning or Error
	Text     string
	Function string // whose call it tells of; empty: the handler has printed it
}

// ErrStopped says that the host has given up: the handler failed too often, or its
// end was its own wish.
var ErrStopped = errors.New("the host has stopped")

// Host is one instance. Its methods are safe for concurrent use.
type Host struct {
	options Options
	app     *app
	port    string // of the handler
	forward *http.Transport
	public  net.Listener
	server  *http.Server
	ready   chan struct{} // closed when the handler has answered for the first time
	stopped chan struct{} // closed when no handler will run again
	closing context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	command *exec.Cmd // guarded by mu; nil while none runs
	starts  int       // guarded by mu
	console []Line    // guarded by mu
	dropped int       // guarded by mu
	reason  error     // guarded by mu; why it has stopped
}

// Start reads the folder, starts the handler, and returns when it answers. If it
// does not, after as many tries as the real host makes, the error is ErrStopped and
// the Host has the lines that were printed. Else Close must be called.
func Start(ctx context.Context, o Options) (*Host, error) {
	if o.Idle == 0 {
		o.Idle = 240 * time.Second
	}
	a, err := readApp(o.Folder, o.Settings)
	if err != nil {
		return nil, fmt.Errorf("functions host: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	h := &Host{
		options: o, app: a, port: port,
		forward: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		ready:   make(chan struct{}), stopped: make(chan struct{}),
	}
	if h.public, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	h.server = &http.Server{Handler: h.handler(), ReadHeaderTimeout: time.Minute}
	running, cancel := context.WithCancel(context.Background())
	h.closing = cancel
	h.work.Go(func() { h.supervise(running) })
	select {
	case <-h.ready:
	case <-h.stopped:
		err = h.why()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		h.Close()
		return h, fmt.Errorf("functions host: %w", err)
	}
	h.work.Go(func() { _ = h.server.Serve(h.public) }) // until Close
	if o.Timers {
		h.work.Go(func() { h.runTimers(running) })
	}
	return h, nil
}

// URL is where clients reach the host, without a slash at its end.
func (h *Host) URL() string { return "http://" + h.public.Addr().String() }

// Kill ends the handler as the platform does: at once and without a word. The host
// starts it again, and counts it as a failure.
func (h *Host) Kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.command != nil {
		_ = h.command.Process.Kill() // it may have ended just now
	}
}

// Close ends the host, and the handler with it, without a word.
func (h *Host) Close() {
	h.closing()
	h.Kill()
	_ = h.server.Close()
	_ = h.public.Close()
	h.work.Wait()
	h.forward.CloseIdleConnections()
}

// Process is the process id of the handler, 0 while none runs.
func (h *Host) Process() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.command == nil {
		return 0
	}
	return h.command.Process.Pid
}

// Starts is how often the handler has been started.
func (h *Host) Starts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts
}

// Dropped is how many connections the handler has closed without an answer. The
// real host sends such requests again, and some of them fail on their bodies.
func (h *Host) Dropped() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropped
}

// Console returns the log so far.
func (h *Host) Console() []Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.console)
}

// Stopped is closed when no handler will run again.
func (h *Host) Stopped() <-chan struct{} { return h.stopped }

func (h *Host) why() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reason
}

// here tells whether this instance runs a function.
func (h *Host) here(name string) bool {
	return h.options.Only == nil || slices.Contains(h.options.Only, name)
}

// say keeps a line and tells it.
func (h *Host) say(line Line) {
	h.mu.Lock()
	h.console = append(h.console, line)
	h.mu.Unlock()
	if h.options.Console != nil {
		h.options.Console(line)
	}
}

// handler is the host's public side.
func (h *Host) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:       h.rewrite,
		Transport:     &forwarder{host: h},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // a client or a handler that leaves is what tests do
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := normalize(r.URL.EscapedPath())
		switch {
		case r.ContentLength > h.bodyLimit():
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case !h.routed(r.Method, segments):
			w.WriteHeader(http.StatusNotFound)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, h.bodyLimit())
			proxy.ServeHTTP(w, r)
		}
	})
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}
