// Package lambdaruntime runs a program as AWS Lambda runs a custom runtime: in an
// environment of its own, with the Runtime API, one call at a time, and frozen
// whenever no call runs.
//
// It is written from AWS's public documentation
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, runtimes-custom,
// lambda-runtime-environment and urls-invocation of the same guide), and is stricter:
// what the real service would ignore is kept as a violation.
//
// Not kept: sizes of answers, other environments beside this one, a new environment
// in place of one that has ended, memory and processor limits, invoked times of
// extensions. The response mode header that the documentation asks of a runtime is
// only checked where it is sent: AWS's own library for Go streams without it.
package lambdaruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// Options say what is run, and how.
type Options struct {
	// Bootstrap is the path of the program. Required.
	Bootstrap string
	// Folder is what the function's package has unpacked to: the working directory.
	// Required.
	Folder string
	// Settings are the function's environment variables.
	Settings map[string]string
	// Timeout is the function's. Default: 3 s, as Lambda's.
	Timeout time.Duration
	// Grace passes between SIGTERM and SIGKILL. Default: 500 ms, as Lambda's.
	Grace time.Duration
	// Stdout and Stderr take what the program prints. Nil drops it.
	Stdout, Stderr io.Writer
}

// initTime bounds the start of the program, as Lambda's.
const initTime = 10 * time.Second

var (
	// ErrBusy says that a call is under way. Lambda would use another environment.
	ErrBusy = errors.New("lambda runtime: a call is under way")
	// ErrEnded says that the program has ended.
	ErrEnded = errors.New("lambda runtime: the program has ended")
)

// Failure is a failed call, or a start, as Lambda reports it.
type Failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error tells the failure in one line.
func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// Environment is one environment with its program. Its methods are safe for
// concurrent use.
type Environment struct {
	options  Options
	listener net.Listener
	server   *http.Server
	command  *exec.Cmd
	exited   chan struct{} // closed when the program has ended
	ready    chan struct{} // closed when it waits for its first call

	mu         sync.Mutex
	asked      bool             // guarded by mu; the program has asked for a call
	extensions map[string]bool  // guarded by mu; by id, whether it is ready, too
	waiting    chan *invocation // guarded by mu; takes the call that the program waits for; nil while it does not
	current    *invocation      // guarded by mu; the call under way, until the program asks for the next
	calls      int              // guarded by mu
	idle       chan struct{}    // guarded by mu; closed and replaced whenever the program waits again
	ending     bool             // guarded by mu; it is not frozen any more
	initFailed *Failure         // guarded by mu
	violations []string         // guarded by mu
}

// Start starts the program, and returns when it waits for its first call. If it ends
// before, the error is ErrEnded, with what it has reported, and the Environment tells
// its exit code. Else Close must be called.
func Start(ctx context.Context, o Options) (*Environment, error) {
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 500 * time.Millisecond
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &Environment{
		options: o, listener: listener,
		exited: make(chan struct{}), ready: make(chan struct{}), idle: make(chan struct{}),
		extensions: make(map[string]bool),
	}
	e.server = &http.Server{Handler: e.api(), ReadHeaderTimeout: time.Minute}
	if err := e.launch(); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("lambda runtime: %w", err)
	}
	go func() { _ = e.server.Serve(listener) }() // until Close
	overdue := time.NewTimer(initTime)
	defer overdue.Stop()
	select {
	case <-e.ready:
		return e, nil
	case <-e.exited:
		err = ErrEnded
		e.mu.Lock()
		if e.initFailed != nil {
			err = fmt.Errorf("%w: %w", err, e.initFailed)
		}
		e.mu.Unlock()
	case <-overdue.C:
		err = fmt.Errorf("lambda runtime: not ready within %s", initTime)
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	return e, err
}

// invocation is one call.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	timeout  *time.Timer
	outcome  chan outcome // takes one
	started  bool         // an answer has begun
	answered bool         // the answer is complete
}

// Reply is the program's answer to a call.
type Reply struct {
	// ContentType is what the program says that Body is.
	ContentType string
	// Body is the answer as it comes. Its Read fails with a *Failure where the program
	// reports one in the middle. It must be read to its end or closed.
	Body io.ReadCloser
}

// Invoke thaws the program and gives it an event. It returns when the answer begins.
// A call that failed before that is a *Failure. A call that has been answered and is
// not quite over yet is waited for; else a second call at once is ErrBusy.
func (e *Environment) Invoke(ctx context.Context, event []byte) (*Reply, error) {
	call, err := e.hand(ctx, event)
	if err != nil {
		return nil, err
	}
	var o outcome
	select {
	case o = <-call.outcome:
	case <-e.exited:
		select {
		case o = <-call.outcome:
		default:
			return nil, &Failure{"Runtime.ExitError", "the program has ended, " + e.command.ProcessState.String()}
		}
	}
	if o.failure != nil {
		return nil, o.failure
	}
	return o.reply, nil
}

// outcome is an answer that has begun, or why there is none.
type outcome struct {
	reply   *Reply
	failure *Failure
}

// hand gives the event to the program.
func (e *Environment) hand(ctx context.Context, event []byte) (*invocation, error) {
	for {
		e.mu.Lock()
		waiting, idle := e.waiting, e.idle
		switch {
		case e.over():
			e.mu.Unlock()
			return nil, ErrEnded
		case waiting != nil:
			e.calls++
			call := &invocation{
				id:    fmt.Sprintf("8476a536-e9f4-11e8-9739-%012x", e.calls),
				event: event, deadline: time.Now().Add(e.options.Timeout), outcome: make(chan outcome, 1),
			}
			call.timeout = time.AfterFunc(e.options.Timeout, func() { e.overdue(call) })
			e.waiting, e.current = nil, call
			e.thaw()
			e.mu.Unlock()
			waiting <- call
			return call, nil
		case e.current != nil && !e.current.answered:
			e.mu.Unlock()
			return nil, ErrBusy
		}
		e.mu.Unlock()
		select {
		case <-idle:
		case <-e.exited:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// overdue ends a program that has not finished a call in time.
func (e *Environment) overdue(call *invocation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != call {
		return
	}
	if !call.started {
		call.started = true
		call.outcome <- outcome{failure: &Failure{"Sandbox.Timedout", fmt.Sprintf("Task timed out after %.2f seconds", e.options.Timeout.Seconds())}}
	}
	_ = e.command.Process.Kill() // it may have ended just now
}

// Violations are what the program has done that the Runtime API does not allow.
func (e *Environment) Violations() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.violations)
}

// Frozen waits until the program is stopped because no call runs.
func (e *Environment) Frozen(ctx context.Context) error {
	for {
		e.mu.Lock()
		waiting, idle := e.waiting, e.idle
		e.mu.Unlock()
		if waiting != nil {
			return nil
		}
		select {
		case <-idle:
		case <-e.exited:
			return ErrEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var _ error = (*Failure)(nil)
