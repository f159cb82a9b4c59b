package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/lifetime"
)

const (
	// maxDirect is the longest message that is direct, which is to say written before
	// the answer is read: the system takes so much at once, whether the backend reads
	// it or not. A longer one might wait for a backend that waits for its answer to be
	// read.
	maxDirect = 16 << 10
	// sentWait is how long the writer of such a message may take to say that it is
	// done after the whole answer has come.
	sentWait = 50 * time.Millisecond
)

var (
	errNoAnswer   = fmt.Errorf("wire: the connection was closed before an answer came: %w", io.EOF)
	errLongHeader = errors.New("wire: the answer's header is too long")
	errSwitched   = errors.New("wire: the answer changes the protocol, which was not asked for")
	errBodyClosed = errors.New("wire: the answer's body is closed")
)

// exchange is a request and its answer on a connection, which is its own until
// the answer ends. It is the answer's body, too.
type exchange struct {
	transport *Transport
	conn      *conn
	ctx       context.Context
	watch     lifetime.Watch // on ctx: at its end the connection is closed

	sending chan error // the end of a write that goes on meanwhile; nil: none does
	sendErr error      // how writing ended
	unsent  bool       // nothing has been written
	silent  bool       // nothing of an answer has come

	body  io.ReadCloser // as net/http reads it
	mu    sync.Mutex    // Close may come during Read
	err   error         // guarded by mu until it has ended; how reading ended
	ended atomic.Bool   // err is set, for good
}

// answer awaits the header of the answer to what has been sent.
func (x *exchange) answer(req *http.Request) (*http.Response, error) {
	if x.unsent {
		x.silent = true
		return nil, x.fail(x.sendErr)
	}
	response, err := x.receive(req)
	if err != nil {
		return nil, x.fail(err)
	}
	x.conn.last = response.Close || response.StatusCode < 200
	response.TLS = x.conn.state
	if response.Body == http.NoBody {
		x.finish(true)
		return response, nil
	}
	x.body, response.Body = response.Body, x
	return response, nil
}

// send writes the message to a connection, or begins to. It does not, and closes the
// connection, if that is a kept one on which something has happened: the backend may
// have closed it, or have sent what nobody asked for.
func (x *exchange) send(c *conn, m *message) (idle bool) {
	x.conn = c
	x.watch.Begin(x.ctx, c.abort)
	direct := m.direct()
	rest, idle := m.bytes, true
	switch {
	case !c.kept():
	case direct && c.talk != nil:
		rest, idle = c.ask(m)
	default:
		idle = c.idle()
	}
	switch {
	case !idle:
		x.watch.Stop()
		c.abort()
	case direct:
		x.write(m, rest)
	default:
		x.writeMeanwhile(m)
	}
	return idle
}

// write writes what has not been sent of a direct message.
func (x *exchange) write(m *message, rest []byte) {
	if len(rest) == 0 {
		return
	}
	n, err := x.conn.direct.Write(rest)
	x.sendErr, x.unsent = err, err != nil && n == 0 && len(rest) == len(m.bytes)
	m.free()
}

// writeMeanwhile writes a message while its answer is awaited.
func (x *exchange) writeMeanwhile(m *message) {
	x.sending = make(chan error, 1)
	go func() {
		_, err := m.writeTo(x.conn.Conn)
		m.free()
		x.sending <- err
	}()
}

// receive reads the answer's header. An answer counts even if not all of the
// request could be written: the backend may have refused the rest.
func (x *exchange) receive(req *http.Request) (*http.Response, error) {
	c := x.conn
	c.left = x.transport.maxHeader()
	c.reader = takeReader(c)
	if _, err := c.reader.Peek(1); err != nil {
		x.silent = true
		if err == io.EOF {
			err = errNoAnswer
		}
		return nil, err
	}
	for {
		response, err := readAnswer(c.reader, req)
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errSwitched
		case response.StatusCode >= 100 && response.StatusCode <= 199:
			continue // something to know before the answer, such as 103 Early Hints
		}
		c.left = unlimited
		return response, nil
	}
}

// fail gives the connection up, and returns why: because of err, unless there was
// another reason before.
func (x *exchange) fail(err error) error {
	watched := x.watch.Stop()
	x.conn.abort()
	if x.sending != nil {
		if x.sendErr = <-x.sending; errors.Is(x.sendErr, net.ErrClosed) {
			x.sendErr = nil // by abort
		}
	}
	switch {
	case !watched:
		return context.Cause(x.ctx)
	case x.sendErr != nil:
		return x.sendErr
	}
	return err
}

// finish ends the exchange. If the whole answer has been read, the connection
// can serve another one.
func (x *exchange) finish(whole bool) {
	c := x.conn
	if whole && x.sent() && !c.spent() && x.watch.Stop() {
		giveReader(c.reader)
		c.reader = nil
		x.transport.keep(c)
		return
	}
	x.watch.Stop()
	c.abort()
	if x.sending != nil {
		<-x.sending
	}
}

// sent tells whether the whole request has been written.
func (x *exchange) sent() bool {
	if x.sending == nil {
		return x.sendErr == nil
	}
	patience := time.NewTimer(sentWait)
	defer patience.Stop()
	select {
	case x.sendErr = <-x.sending:
		x.sending = nil
		return x.sendErr == nil
	case <-patience.C:
		return false
	}
}

// Read reads the answer's body.
func (x *exchange) Read(p []byte) (int, error) {
	if x.ended.Load() {
		return 0, x.err
	}
	n, err := x.body.Read(p)
	if err == nil {
		return n, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended.Load() { // it has been closed meanwhile
		return n, x.err
	}
	if err == io.EOF {
		x.finish(true)
	} else {
		err = x.fail(err)
	}
	x.end(err)
	return n, err
}

// Await waits until Read has something to give, or says that there is nothing any
// more; now and then it waits less. It is for answers that come slowly: while it
// waits it holds no buffer. It must not be called during a Read.
func (x *exchange) Await() {
	if !x.ended.Load() {
		x.conn.await()
	}
}

// Close ends the exchange, also while a Read waits.
func (x *exchange) Close() error {
	if x.ended.Load() {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended.Load() {
		x.finish(false)
		x.end(errBodyClosed)
	}
	return nil
}

// end notes how reading ended. It is called under mu.
func (x *exchange) end(err error) {
	x.err = err
	x.ended.Store(true)
}
