package program

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test runs. It is safe for concurrent use.
type Process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when it has ended; then command.ProcessState is set
}

// Start starts a command that prints into the outputs, which may be one, and ends them
// when it ends. The test ends here if it cannot be started, and must stop it otherwise.
func Start(t testing.TB, command *exec.Cmd, stdout, stderr *Output) *Process {
	t.Helper()
	command.Stdout, command.Stderr = stdout, stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{command: command, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = command.Wait() // the exit code tells
		stdout.End()
		stderr.End()
	}()
	return p
}

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends the process a signal. One that has ended gets none.
func (p *Process) Signal(s os.Signal) { _ = p.command.Process.Signal(s) } // it may have ended just now

// ExitCode waits for the process to end and returns its exit code, −1 if a signal has
// ended it. If it runs on after so much patience the test fails, and the process prints
// where its goroutines stand and is killed.
func (p *Process) ExitCode(t testing.TB, patience time.Duration) int {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		t.Errorf("%s did not end within %s", p.command.Path, patience)
		p.Signal(syscall.SIGQUIT)
		kill := time.AfterFunc(time.Second, func() { p.Signal(os.Kill) })
		defer kill.Stop()
		<-p.exited
	}
	return p.command.ProcessState.ExitCode()
}
