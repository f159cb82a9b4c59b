package azurite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	startTries   = 5 // The free port may be taken before the emulator takes it.
)

// process is one running emulator.
type process struct {
	command *exec.Cmd
	stdin   io.Closer // Closing it asks the emulator to end.
	port    int
	output  *bytes.Buffer // Only read after done was closed.
	done    chan struct{} // Closed when the process has ended.
}

// startAnywhere starts the table service on a free port.
func startAnywhere(folder string, args ...string) (*process, error) {
	var failures error
	for range startTries {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p, err := start(folder, port, args...)
		if err == nil {
			return p, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

// start runs the table service and waits until it answers.
func start(folder string, port int, args ...string) (*process, error) {
	return startProgram(folder, "table/main.js", port, args...)
}

// startProgram runs one of Azurite's programs and waits until its table service,
// which starts last, answers. The program ends when its stdin does.
func startProgram(folder, program string, port int, args ...string) (*process, error) {
	p := &process{port: port, output: &bytes.Buffer{}, done: make(chan struct{})}
	p.command = exec.Command("node", append([]string{
		"--require", "./stop-with-stdin.js",
		filepath.Join("node_modules", "azurite", "dist", "src", filepath.FromSlash(program)),
		"--tablePort", fmt.Sprint(port), "--silent", "--disableTelemetry", "--skipApiVersionCheck",
	}, args...)...)
	p.command.Dir = folder
	p.command.Stdout, p.command.Stderr = p.output, p.output
	var err error
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // How it ended does not matter: stop looks at what it said.
	}()
	if err := p.awaitAnswer(); err != nil {
		p.kill()
		return nil, fmt.Errorf("%w\n%s", err, p.output.Bytes())
	}
	return p, nil
}

// awaitAnswer polls until the emulator answers anything at all to a request
// without credentials.
func (p *process) awaitAnswer() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", p.port), nil)
		if err != nil {
			return err
		}
		if answer, err := client.Do(request); err == nil {
			_ = answer.Body.Close() // Only the fact that there is an answer counts.
			return nil
		}
		select {
		case <-poll.C:
		case <-p.done:
			return errors.New("the emulator ended while it started")
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v", startTimeout)
		}
	}
}

// stop lets the emulator save its rows and end.
func (p *process) stop() error {
	_ = p.stdin.Close() // Fails only if the process has ended already.
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("the emulator did not end within %v", stopTimeout)
	}
	if !bytes.Contains(p.output.Bytes(), []byte("successfully closed")) {
		return fmt.Errorf("the emulator did not save its rows\n%s", p.output.Bytes())
	}
	return nil
}

func (p *process) kill() {
	_ = p.command.Process.Kill() // Fails only if it has ended already.
	<-p.done
}

// freePort finds a port that is free now and that no outgoing connection will
// take while an emulator is stopped: the systems take those from 32768 up.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no free port found")
}
