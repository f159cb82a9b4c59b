package functionshost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// readyEvery is how often a handler that starts is asked whether it answers.
	readyEvery = 25 * time.Millisecond
	// exitRestart is the exit code by which a handler asks to be started again.
	exitRestart = 200
	// maxFailures within failureWindow end the host.
	maxFailures   = 3
	failureWindow = 30 * time.Minute
)

// supervise starts the handler, and again when it has failed, until ctx ends or the
// handler's end is final.
func (h *Host) supervise(ctx context.Context) {
	defer close(h.stopped)
	var failures []time.Time
	for {
		code, err := h.run(ctx)
		switch {
		case ctx.Err() != nil:
			h.stop(errors.New("closed"))
			return
		case err == nil && code == 0:
			h.stop(errors.New("the handler has ended with exit code 0, which is final"))
			return
		case err == nil && code == exitRestart:
			continue
		}
		failures = append(failures, time.Now())
		for time.Since(failures[0]) > failureWindow {
			failures = failures[1:]
		}
		if len(failures) >= maxFailures {
			h.stop(fmt.Errorf("the handler has failed %d times, the last time with exit code %d: %w", len(failures), code, err))
			return
		}
	}
}

func (h *Host) stop(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reason = fmt.Errorf("%w: %w", ErrStopped, reason)
}

// errNotReady is the failure of a handler that does not answer in time.
var errNotReady = errors.New("the handler does not answer")

// run runs one process of the handler to its end. The error is nil if the exit code
// tells all.
func (h *Host) run(ctx context.Context) (code int, err error) {
	command := exec.Command(h.app.executable, h.app.arguments...)
	command.Dir = h.app.folder
	command.Env = h.environment()
	stdout, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	if ctx.Err() != nil {
		h.mu.Unlock()
		return 0, ctx.Err()
	}
	if err := command.Start(); err != nil {
		h.mu.Unlock()
		return 0, err
	}
	h.command = command
	h.starts++
	h.mu.Unlock()

	var printing sync.WaitGroup
	printing.Go(func() { h.read(stdout, false) })
	printing.Go(func() { h.read(stderr, true) })
	alive, end := context.WithCancel(ctx)
	notReady := make(chan error, 1)
	go func() { notReady <- h.awaitReady(alive) }()
	printing.Wait()
	_ = command.Wait() // the exit code tells
	end()
	h.mu.Lock()
	h.command = nil
	h.mu.Unlock()
	err = <-notReady
	if !errors.Is(err, errNotReady) {
		err = nil
	}
	return command.ProcessState.ExitCode(), err
}

// awaitReady asks the handler until it answers, whatever it says. One that does not
// in time is killed.
func (h *Host) awaitReady(alive context.Context) error {
	ctx, cancel := context.WithTimeout(alive, h.app.readyIn)
	defer cancel()
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+h.port+"/", nil)
		if err != nil {
			return err
		}
		response, err := h.forward.RoundTrip(request)
		if err == nil {
			response.Body.Close()
			h.mu.Lock()
			defer h.mu.Unlock()
			select {
			case <-h.ready:
			default:
				close(h.ready)
			}
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if alive.Err() != nil {
				return alive.Err()
			}
			h.Kill()
			return errNotReady
		}
	}
}

// environment is the handler's: the settings, what the host adds, and of this
// process's own only what programs need to run at all.
func (h *Host) environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for name, value := range h.options.Settings {
		env = append(env, name+"="+value)
	}
	const worker = "5f0d7f0c-3a54-4d26-9a0e-6b9d5bb6a0f3"
	return append(env,
		"FUNCTIONS_CUSTOMHANDLER_PORT="+h.port, "FUNCTIONS_HTTPWORKER_PORT="+h.port,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID="+worker, "FUNCTIONS_HTTPWORKER_ID="+worker,
		"FUNCTIONS_APP_ROOT_PATH="+h.app.root)
}

// level is that which the real host gives to a line of stdout or stderr.
func level(stderr bool, text string) string {
	switch {
	case !stderr:
		return "Information"
	case strings.Contains(strings.ToLower(text), "warn"):
		return "Warning"
	default:
		return "Error"
	}
}

// read takes what the handler prints, line by line.
func (h *Host) read(pipe io.Reader, stderr bool) {
	lines := bufio.NewReader(pipe)
	for {
		text, err := lines.ReadString('\n')
		if len(text) > 0 && text[len(text)-1] == '\n' {
			text = text[:len(text)-1]
		}
		if text != "" {
			h.say(Line{Level: level(stderr, text), Text: text})
		}
		if err != nil {
			return
		}
	}
}
