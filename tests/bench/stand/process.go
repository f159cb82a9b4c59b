// Package stand starts the contenders of the benchmark and what stands behind them, as
// processes of their own, and measures their turns under a load.
package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"spillway/tests/bench/tool"
)

// Process is a program that runs. What it prints is in a file, for it is much; see forget.
type Process struct {
	name    string
	command *exec.Cmd
	output  string
	ended   chan struct{} // closed when it has ended
	stop    sync.Once     // its number may be another's later
}

// start starts a program in a folder, where its output stays as name.log.
func start(ctx context.Context, name, folder string, t tool.Tool, args ...string) (*Process, error) {
	p := &Process{name: name, output: filepath.Join(folder, strings.ReplaceAll(name, "/", "-")+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.command = exec.CommandContext(ctx, t.Path, append(append([]string(nil), t.Args...), args...)...)
	p.command.Dir = folder
	p.command.Env = append(os.Environ(), quiet...)
	p.command.Stdout, p.command.Stderr = out, out
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts ends with it
	p.command.Cancel = func() error { return syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) }
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	go func() {
		_ = p.command.Wait() // how it ended is no news: it was told to
		close(p.ended)
	}()
	return p, nil
}

// quiet keeps contenders from asking the network for anything, and from work that is no
// part of a request.
var quiet = []string{
	"NODE_ENV=production", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_MODE=PRODUCTION", "LITELLM_LOG=ERROR", "DISABLE_ADMIN_UI=True", "NO_DOCS=True",
}

// PID is its number.
func (p *Process) PID() int { return p.command.Process.Pid }

// Stop ends the process and all that it has started, and returns when it is gone.
func (p *Process) Stop() {
	p.stop.Do(func() {
		_ = syscall.Kill(-p.PID(), syscall.SIGTERM) // it may have ended already
		const patience = 5 * time.Second
		select {
		case <-p.ended:
		case <-time.After(patience):
		}
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	})
	<-p.ended
}

// forget throws away what it has printed, before each turn: so the memory that holds the file
// is used again, while a log that grows takes a new page for every ten requests, and a
// virtual machine has to get each from its host. Where gateways run, their logs go to pipes,
// which use few pages again and again.
func (p *Process) forget() error { return os.Truncate(p.output, 0) }

// said is the end of what it has printed, or of what it has since that was thrown away.
func (p *Process) said() string {
	content, _ := os.ReadFile(p.output) // none is nothing
	const most = 2000
	return string(content[max(0, len(content)-most):])
}

// explain adds to an error that the process has ended, if it has.
func (p *Process) explain(err error) error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.command.ProcessState, p.said())
	default:
		return err
	}
}

// await waits until try succeeds. It fails if the process ends, or takes a minute.
func (p *Process) await(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-p.ended:
			return fmt.Errorf("%s has ended: %s", p.name, p.said())
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, p.said())
		}
	}
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

var errNotTheAnswer = errors.New("it does not pass on the upstream's answer")

// ask sends one request and wants the upstream's answer.
func ask(ctx context.Context, url string, header map[string]string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(content, []byte("chatcmpl-1")) {
		return fmt.Errorf("%w: status %d: %.500s", errNotTheAnswer, answer.StatusCode, content)
	}
	return nil
}
