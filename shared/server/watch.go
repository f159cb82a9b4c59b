package server

import "time"

// watchAfter is how long a handler may take before it matters whether its client
// is still there. Most take less, and watching costs more than such a request.
const watchAfter = 5 * time.Millisecond

// A watch says who reads from a connection after a request's end.
type watch int

const (
	unwatched watch = iota // nobody: no handler is at work, or all is known
	due                    // soon watchClient
	watching               // watchClient
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// bodyEnded is called when the request has been read to its end.
func (c *conn) bodyEnded() {
	c.releaseReader()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = due
	if c.timer == nil {
		c.timer = time.AfterFunc(watchAfter, c.watchClient)
	} else {
		c.timer.Reset(watchAfter)
	}
}

// watchClient waits for the client to leave, and then cancels its request. A
// byte that comes instead belongs to the next request.
func (c *conn) watchClient() {
	c.mu.Lock()
	if c.watch != due {
		c.mu.Unlock()
		return
	}
	c.watch = watching
	c.reads.force(time.Time{})
	c.mu.Unlock()

	n, err := c.stream.Read(c.ahead[:])

	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, c.ahead[:n]...)
	if err != nil { // of the client, or of endWatch, when nothing is left to cancel
		c.exchange.cancel()
	}
	c.watch = unwatched
	c.unwatched.Signal()
}

// endWatch ends the watch, if there is one.
func (c *conn) endWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.watch == watching {
		c.reads.force(past)
		for c.watch == watching {
			c.unwatched.Wait()
		}
	}
	c.watch = unwatched
}
