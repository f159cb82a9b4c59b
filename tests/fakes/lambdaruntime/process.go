package lambdaruntime

import (
	"os/exec"
	"syscall"
	"time"
)

// launch starts the program with what Lambda puts into its environment.
func (e *Environment) launch() error {
	e.command = exec.Command(e.options.Bootstrap)
	e.command.Dir = e.options.Folder
	e.command.Stdout, e.command.Stderr = e.options.Stdout, e.options.Stderr
	e.command.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + e.listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=" + functionName, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + functionName, "AWS_LAMBDA_LOG_STREAM_NAME=2026/01/01/[$LATEST]0123456789abcdef",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + e.options.Folder, "LAMBDA_RUNTIME_DIR=/var/runtime",
		"PATH=/usr/local/bin:/usr/bin/:/bin", "LANG=en_US.UTF-8", "TZ=:UTC",
	}
	for name, value := range e.options.Settings {
		e.command.Env = append(e.command.Env, name+"="+value)
	}
	if err := e.command.Start(); err != nil {
		return err
	}
	go func() {
		_ = e.command.Wait() // the exit code tells
		close(e.exited)
	}()
	return nil
}

const (
	functionName = "gateway"
	region       = "us-east-1"
	account      = "123456789012"
)

// freeze and thaw stop the program and let it go on, as Lambda does between calls.
// They need mu.
func (e *Environment) freeze() { e.Signal(syscall.SIGSTOP) }
func (e *Environment) thaw()   { e.Signal(syscall.SIGCONT) }

func (e *Environment) over() bool {
	select {
	case <-e.exited:
		return true
	default:
		return false
	}
}

// Signal sends the program a signal.
func (e *Environment) Signal(s syscall.Signal) { _ = e.command.Process.Signal(s) } // it may have ended just now

// PID is the process id of the program.
func (e *Environment) PID() int { return e.command.Process.Pid }

// ExitCode waits for the end of the program and returns its exit code, −1 if a signal
// has ended it.
func (e *Environment) ExitCode() int {
	<-e.exited
	return e.command.ProcessState.ExitCode()
}

// Shutdown ends the environment as Lambda does when it has been idle for long: a
// program that has registered as an extension is thawed and told by SIGTERM, and has
// the grace to end; any other is killed. It tells whether the program has ended by
// itself.
func (e *Environment) Shutdown() bool {
	defer e.Close()
	e.mu.Lock()
	e.ending = true
	told := len(e.extensions) > 0
	e.thaw()
	e.mu.Unlock()
	if !told {
		return false
	}
	e.Signal(syscall.SIGTERM)
	grace := time.NewTimer(e.options.Grace)
	defer grace.Stop()
	select {
	case <-e.exited:
		return true
	case <-grace.C:
		return false
	}
}

// Close ends the environment, and the program with it, without a word.
func (e *Environment) Close() {
	_ = e.command.Process.Kill() // it may have ended by itself
	<-e.exited
	_ = e.server.Close()
}
