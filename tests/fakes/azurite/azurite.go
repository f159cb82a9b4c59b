// Package azurite starts the real Azure Table Storage emulator for tests. The
// version is pinned by package.json and package-lock.json in this folder.
package azurite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// SkipVariable is the environment variable that, set to 1, turns the tests that
// need the emulator off, for a machine without npm or without a network.
const SkipVariable = "SPILLWAY_SKIP_AZURITE"

const (
	installTimeout = 5 * time.Minute
	startTimeout   = 60 * time.Second
	startTries     = 3 // The free port may be taken before the emulator takes it.
)

// The emulator of this test process. Guarded by mu.
var (
	mu      sync.Mutex
	running *process
	users   int
)

// Start returns a connection string for an empty-at-first emulator, which all
// tests of the process share: use a table of your own. It is installed if it is
// missing (npm ci into node_modules beside this file, once per machine), keeps
// everything in memory, and is stopped when the last test that uses it ends.
//
// The test is skipped if SPILLWAY_SKIP_AZURITE is 1; without npm it fails.
func Start(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if os.Getenv(SkipVariable) == "1" {
		t.Skipf("azurite: %s=1", SkipVariable)
	}
	if running == nil {
		if err := checkTools(); err != nil {
			t.Fatalf("azurite: %v; install Node.js 20, or set %s=1 to skip these tests", err, SkipVariable)
		}
		p, err := launch()
		if err != nil {
			t.Fatalf("azurite: %v", err)
		}
		running = p
	}
	users++
	t.Cleanup(release)
	return running.connection()
}

func release() {
	mu.Lock()
	defer mu.Unlock()
	users--
	if users == 0 {
		running.stop()
		running = nil
	}
}

// process is one running emulator.
type process struct {
	command *exec.Cmd
	port    int
	output  *bytes.Buffer // Only read after done was closed.
	done    chan struct{} // Closed when the process has ended.
}

func launch() (*process, error) {
	folder, err := folder()
	if err != nil {
		return nil, err
	}
	if err := install(folder); err != nil {
		return nil, err
	}
	var failures error
	for range startTries {
		p, err := start(folder)
		if err == nil {
			return p, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

// folder is where this file is, and with it package-lock.json.
func folder() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if ok && filepath.IsAbs(file) {
		return filepath.Dir(file), nil
	}
	return "", errors.New("the folder of the package is unknown (built with -trimpath?)")
}

func checkTools() error {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not on the PATH", tool)
		}
	}
	return nil
}

// start runs the emulator on a free port and waits until it answers.
func start(folder string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &process{port: port, output: &bytes.Buffer{}, done: make(chan struct{})}
	p.command = exec.Command("node", "--require", "./exit-with-parent.js", program(folder),
		"--tableHost", "127.0.0.1", "--tablePort", fmt.Sprint(port),
		"--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck")
	p.command.Dir = folder
	p.command.Stdout, p.command.Stderr = p.output, p.output
	// The pipe is never written to; it closes when this process ends.
	if _, err := p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // It is killed in the end, so it never ends well.
	}()
	if err := p.awaitAnswer(); err != nil {
		p.stop()
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

func (p *process) stop() {
	_ = p.command.Process.Kill() // Fails only if it has ended already.
	<-p.done
}

func (p *process) connection() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"+
		"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"+
		"TableEndpoint=http://127.0.0.1:%d/devstoreaccount1;", p.port)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
