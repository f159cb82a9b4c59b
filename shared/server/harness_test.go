package server

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// service is what this package's server and net/http's have in common.
type service interface {
	Serve(net.Listener) error
	Close() error
}

// scripted is a client's connection that has sent all that it will send.
type scripted struct {
	mu     sync.Mutex
	pieces []string // guarded by mu; each is got by one Read, if there is room
	got    bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func script(pieces ...string) *scripted {
	return &scripted{pieces: slices.Clone(pieces), closed: make(chan struct{})}
}

func (c *scripted) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pieces) > 0 && c.pieces[0] == "" {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	c.pieces[0] = c.pieces[0][n:]
	return n, nil
}

func (c *scripted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.Write(p)
}

func (c *scripted) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *scripted) LocalAddr() net.Addr              { return address("here") }
func (c *scripted) RemoteAddr() net.Addr             { return address("there") }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

type address string

func (a address) Network() string { return "script" }
func (a address) String() string  { return string(a) }

// queue is a listener for connections that are given to it.
type queue struct{ *handover }

func newQueue() queue { return queue{newHandover(address("here"))} }

// converse has a service answer what a client sends in pieces, and returns what
// the client gets until the service closes the connection. It is to be called
// where time is not real: net/http sleeps before it closes some connections.
func converse(s service, pieces ...string) string {
	q := newQueue()
	ended := make(chan struct{})
	go func() {
		_ = s.Serve(q)
		close(ended)
	}()
	c := script(pieces...)
	q.give(c)
	<-c.closed
	_ = s.Close()
	<-ended
	return c.got.String()
}

// pass lets time pass, which is not real.
func pass(d time.Duration) { <-time.After(d) }

// director is a handler that does what a request's query says, step by step, and
// keeps what it sees.
type director struct {
	mu   sync.Mutex
	seen []string // guarded by mu
}

func (d *director) notef(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, fmt.Sprintf(format, args...))
}

func (d *director) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.notef("%s %q %s host %q from %s header %q length %d %q close %t trailer %q",
		r.Method, r.RequestURI, r.Proto, r.Host, r.RemoteAddr, r.Header, r.ContentLength, r.TransferEncoding, r.Close, r.Trailer)
	for step := range strings.SplitSeq(r.URL.RawQuery, "&") {
		what, how, _ := strings.Cut(step, "=")
		how, _ = url.QueryUnescape(how)
		d.act(w, r, what, how)
		if what == "duplex" { // else net/http now closes the connection and now does not
			defer func() { _, _ = io.Copy(io.Discard, r.Body) }()
		}
	}
}

// act takes one step.
func (d *director) act(w http.ResponseWriter, r *http.Request, what, how string) {
	number, _ := strconv.Atoi(how)
	number = min(number, 400<<10)
	switch what {
	case "read":
		body, err := io.ReadAll(r.Body)
		d.notef("read %q, %v, trailer %q", body, err, r.Trailer)
	case "some":
		n, err := io.ReadFull(r.Body, make([]byte, max(number, 0)))
		d.notef("read %d, %v", n, err)
	case "close":
		d.notef("closed: %v", r.Body.Close())
	case "write":
		n, err := w.Write(bytes.Repeat([]byte("<x>"), max(number, 0)/3+1)[:max(number, 0)])
		d.notef("wrote %d, %v", n, err)
	case "say":
		n, err := io.WriteString(w, how)
		d.notef("wrote %d, %v", n, err)
	case "echo":
		n, err := io.Copy(w, r.Body)
		d.notef("wrote %d, %v", n, err)
	case "flush":
		d.notef("flushed: %v", http.NewResponseController(w).Flush())
	case "duplex":
		d.notef("duplex: %v", http.NewResponseController(w).EnableFullDuplex())
	case "status":
		if number >= 100 && number <= 999 && number != http.StatusSwitchingProtocols {
			w.WriteHeader(number)
		}
	case "set":
		name, value, _ := strings.Cut(how, ":")
		w.Header()[name] = append(w.Header()[name], value)
	case "abort":
		panic(http.ErrAbortHandler)
	}
}

// settings are those of a server without logs.
func settings(h http.Handler, change ...func(*http.Server)) *http.Server {
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: 8 << 10}
	for _, f := range change {
		f(s)
	}
	return s
}

var (
	fieldsForm = regexp.MustCompile(`(HTTP/1\.1 \d\d\d .*|0)\r\n([^\r\n]+\r\n)+\r\n`) // of a header or a trailer
	noLength   = regexp.MustCompile(`Content-Length: (|[^\r\n]*[^\d\r\n][^\r\n]*)\r\n`)
	dateForm   = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)
)

// comparable makes answers equal that differ in the order of fields, in time and in a
// Content-Length that is no number alone.
func comparable(answers string) string {
	answers = noLength.ReplaceAllString(answers, "")
	return fieldsForm.ReplaceAllStringFunc(dateForm.ReplaceAllString(answers, "Date: now"), func(fields string) string {
		lines := strings.SplitAfter(fields, "\r\n")
		slices.Sort(lines[1 : len(lines)-2])
		return strings.Join(lines, "")
	})
}

// compare has both servers answer what a client sends, and expects the same
// answers, and the same requests before the handler. It returns the answers.
func compare(t *testing.T, pieces ...string) string {
	t.Helper()
	var theirs, ours director
	want := comparable(converse(settings(&theirs), pieces...))
	got := comparable(converse(New(settings(&ours)), pieces...))
	if got != want {
		t.Errorf("sent %.2000q\ngot  %.2000q\nwant %.2000q", pieces, got, want)
	}
	if !slices.Equal(ours.seen, theirs.seen) {
		t.Errorf("sent %.2000q\nthe handler sees %.2000q\nwant             %.2000q", pieces, ours.seen, theirs.seen)
	}
	return got
}
