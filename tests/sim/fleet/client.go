package fleet

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"spillway/tests/rig"
)

// send makes one call through the load balancer, and waits for its end.
func (p *play) send(r *request) {
	p.history.enter(r)
	i := p.choose(r)
	if i == nil {
		r.instance = -1
		p.history.note(&r.done)
		return
	}
	r.instance = i.index
	defer func() {
		i.mu.Lock()
		i.inside--
		i.mu.Unlock()
		i.open.Done()
	}()
	ctx, cancel := i.bound(context.Background())
	defer cancel()
	leave := func() {
		p.history.note(&r.left)
		cancel()
	}
	w := &client{play: p, instance: i, request: r, header: http.Header{}, leave: leave}
	if r.LeaveAfter > 0 {
		timer := time.AfterFunc(r.LeaveAfter, func() {
			if p.waits(r) {
				p.fired(kindLeaveBefore)
				leave()
			}
		})
		defer timer.Stop()
	}
	if i.pass() != nil { // A connection to a frozen process waits.
		p.lose(r)
		return
	}
	in := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(r.body())).WithContext(ctx)
	in.Header = http.Header{"Content-Type": {"application/json"}, "Api-Key": {key(r.Consumer)}, headerID: {r.id}}
	p.history.note(&r.entered)
	r.aborted = rig.Serve(p.tamper.handler(i, i.rig), w, in)
	p.history.note(&r.done)
	if i.gone() {
		p.lose(r)
	}
}

// waits tells whether a client still waits for its first byte.
func (p *play) waits(r *request) bool {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	return !r.first.happened() && !r.done.happened()
}

// lose notes that a request went down with its instance.
func (p *play) lose(r *request) {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	r.lost = true
	r.done = p.history.mark()
}

// client is a client's end of a connection.
type client struct {
	play     *play
	instance *instance
	request  *request
	header   http.Header
	leave    func()
	bytes    int
	gone     bool
}

var errLeft = errors.New("fleet: the client has left")

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) {
	if c.instance.pass() != nil {
		return
	}
	c.request.status, c.request.header = status, maps.Clone(c.header)
}

func (c *client) Write(b []byte) (int, error) {
	r, p := c.request, c.play
	if c.instance.pass() != nil {
		return 0, errGone
	}
	if r.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	p.history.mu.Lock()
	if !r.first.happened() {
		r.first = p.history.mark()
	}
	gone := c.gone || r.left.happened()
	p.history.mu.Unlock()
	if gone {
		return 0, errLeft
	}
	if r.status >= 400 {
		r.answer = append(r.answer, b...)
		return len(b), nil
	}
	if r.Slow > 0 {
		p.fired(kindSlow)
		if err := c.instance.sleep(context.Background(), r.Slow); err != nil {
			return 0, err
		}
	}
	c.bytes += len(b)
	if r.LeaveAtByte > 0 && c.bytes >= r.LeaveAtByte {
		p.fired(kindLeaveAfter)
		c.gone = true
		c.leave()
		return 0, errLeft
	}
	return len(b), nil
}

func (c *client) Flush() {}

var _ http.Flusher = (*client)(nil)
