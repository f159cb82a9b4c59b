package app

import (
	"net/http"
	"sync"

	"spillway/functions/console"
)

// Door is what a process serves from its first moment, before the configuration is
// read: it is alive, and not ready. Requests of the API wait until it is opened,
// which is a matter of milliseconds. It is safe for concurrent use; make it with
// NewDoor.
type Door struct {
	once   sync.Once
	opened chan struct{}
	behind http.Handler // set before opened is closed
}

// NewDoor returns a Door that is shut.
func NewDoor() *Door { return &Door{opened: make(chan struct{})} }

// Open lets all requests, those that wait and those to come, through to h. Only the
// first call counts.
func (d *Door) Open(h http.Handler) {
	d.once.Do(func() {
		d.behind = h
		close(d.opened)
	})
}

// ServeHTTP answers what can be answered, and waits with the rest.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-d.opened:
		d.behind.ServeHTTP(w, r)
		return
	default:
	}
	switch r.URL.Path {
	case "/", "/spillway/healthz":
		console.Alive(w, r)
		return
	case "/spillway/readyz":
		console.NotReady(w, r)
		return
	}
	select {
	case <-d.opened:
		d.behind.ServeHTTP(w, r)
	case <-r.Context().Done():
		console.NotReady(w, r)
	}
}

var _ http.Handler = (*Door)(nil)
