package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"spillway/shared/openai"
)

// answer starts the handler on a request, and returns when it has sent its status.
// The rest of the answer streams while the runtime reads it.
func (f *function) answer(ctx context.Context, request *events.LambdaFunctionURLRequest) (any, error) {
	ctx, cancel := ahead(ctx)
	c := &call{function: f, handler: f.handler, encoded: request.IsBase64Encoded, cancel: cancel, ended: make(chan struct{})}
	response, err := lambdaurl.Wrap(c)(ctx, request)
	if err != nil { // its method or its path is none; the handler has not been asked
		c.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			openai.InvalidRequest("", "The request's method or path is malformed.").Write(w)
		})
		response, err = lambdaurl.Wrap(c)(ctx, new(events.LambdaFunctionURLRequest))
	}
	if err != nil {
		cancel()
		return nil, err
	}
	c.body = response.Body
	response.Body = c
	return response, nil
}

// call is one request on its way through the handler, and the body of its answer.
type call struct {
	function *function
	handler  http.Handler
	encoded  bool // the length of the request's body is not known before it is read
	cancel   context.CancelFunc
	body     io.Reader // what the handler writes, as it comes
	broken   bool      // the answer ended early; written before the body's end
	ended    chan struct{}
}

// Read reads the answer's body. One that has ended early ends with an error, which
// the runtime reports to Lambda: it must not look complete.
func (c *call) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	if errors.Is(err, io.EOF) && c.broken {
		err = messages.InvokeResponse_Error{Type: "Gateway.BrokenAnswer", Message: "the answer ended early"}
	}
	return n, err
}

// Close ends the call, and returns when the handler has, and what it has begun: it must
// not go on in the next call, or be frozen half way.
func (c *call) Close() error {
	c.cancel()
	var err error
	if pipe, ok := c.body.(io.Closer); ok {
		err = pipe.Close()
	}
	<-c.ended
	if c.function.settle != nil {
		ctx, cancel := context.WithTimeout(context.Background(), settleTime)
		defer cancel()
		c.function.settle(ctx)
	}
	return err
}

// settleTime bounds the wait between a call's answer, which the client has by then, and
// the freeze.
const settleTime = 250 * time.Millisecond

// ServeHTTP runs the handler. The runtime calls it on a bare goroutine, where a
// panic would end the process.
func (c *call) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer close(c.ended)
	c.asReceived(r)
	out := &writer{ResponseWriter: w, header: make(http.Header)}
	defer func() {
		fault := recover()
		if fault != nil && fault != http.ErrAbortHandler { // with that one, the handler has told why
			c.function.panicked(fault)
		}
		switch {
		case out.started:
			c.broken = fault != nil
		case fault != nil:
			openai.Internal().Write(out)
		case r.Context().Err() != nil: // the handler takes it for the client's leaving, and says nothing
			outOfTime().Write(out)
		}
	}()
	c.handler.ServeHTTP(out, r)
}

// asReceived makes of a request what a server would have received: without what
// Lambda has added to it, which is not a backend's business.
func (c *call) asReceived(r *http.Request) {
	delete(r.Header, "Host")
	delete(r.Header, "X-Forwarded-Port")
	maps.DeleteFunc(r.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "X-Amzn-") })
	if c.encoded {
		r.ContentLength = -1
	}
}

func outOfTime() *openai.Error {
	return &openai.Error{
		Status:  http.StatusGatewayTimeout,
		Message: "The request took longer than the function's time.",
		Type:    "server_error",
		Code:    "timeout",
	}
}

// writer is the answer. It remembers whether it has begun, and keeps its headers to
// itself from then on, since the runtime reads them.
type writer struct {
	http.ResponseWriter
	header  http.Header
	started bool
}

// Header returns the headers to be sent.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader sends the status and the headers, once.
func (w *writer) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	maps.Copy(w.ResponseWriter.Header(), w.header)
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body at once.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

var (
	_ io.ReadCloser       = (*call)(nil)
	_ http.Handler        = (*call)(nil)
	_ http.ResponseWriter = (*writer)(nil)
)
