package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait. It only turns a hang into a failure.
const patience = 20 * time.Second

// Browser is a running Chromium. It is safe for concurrent use.
type Browser struct {
	installed installation
	in        io.WriteCloser
	exited    chan struct{}

	writing sync.Mutex // held while a message is written

	mu      sync.Mutex
	next    int64                          // guarded by mu: number of the next call
	pending map[int64]chan<- message       // guarded by mu: of calls without an answer
	pages   map[string]func(event message) // guarded by mu: by session
}

// message is what the DevTools protocol sends, in either direction.
type message struct {
	ID      int64           `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts a browser with an empty profile, which ends with the test. The first
// test on a machine installs it. The test is skipped if SPILLWAY_SKIP_BROWSER is 1, and
// with -short.
func Start(t testing.TB) *Browser {
	t.Helper()
	b := &Browser{
		installed: require(t), exited: make(chan struct{}),
		pending: make(map[int64]chan<- message), pages: make(map[string]func(message)),
	}
	home := t.TempDir()
	command := exec.Command(b.installed.program,
		"--headless", "--remote-debugging-pipe", "--user-data-dir="+home, "about:blank",
		"--no-sandbox", // tests may run as root, in a container; the only pages are our own
		"--lang=en-US", "--log-level=3", "--no-zygote", "--disable-gpu", "--disable-software-rasterizer", "--disable-dev-shm-usage", "--hide-scrollbars", "--font-render-hinting=none",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")
	command.Env = b.installed.environment(home)
	said := new(bytes.Buffer) // only read after the end
	command.Stderr = said
	out, err := b.connect(command)
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	for _, end := range command.ExtraFiles {
		_ = end.Close() // the browser has its own
	}
	go b.read(out)
	go func() {
		_ = command.Wait() // how it ended does not matter
		close(b.exited)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = b.call(ctx, "", "Browser.close", nil, nil)
		_ = b.in.Close()
		select {
		case <-b.exited:
		case <-ctx.Done():
			_ = command.Process.Kill()
			<-b.exited
		}
		if t.Failed() {
			t.Logf("the browser has said:\n%s", said)
		}
	})
	return b
}

// connect gives the browser two pipes, which it knows as file descriptors 3 and 4.
func (b *Browser) connect(command *exec.Cmd) (out io.Reader, err error) {
	itsIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, itsOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	b.in = in
	command.ExtraFiles = []*os.File{itsIn, itsOut}
	return out, nil
}

// read takes the browser's messages, each of which ends with a zero, until it ends.
func (b *Browser) read(out io.Reader) {
	buffered := bufio.NewReader(out)
	for {
		text, err := buffered.ReadBytes(0)
		if err != nil {
			break
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		answered, told := b.pending[m.ID], b.pages[m.Session]
		delete(b.pending, m.ID)
		b.mu.Unlock()
		switch {
		case answered != nil:
			answered <- m
		case m.Method != "" && told != nil:
			told(m)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, answered := range b.pending {
		close(answered)
		delete(b.pending, id)
	}
}

// errEnded says that the browser ended before it answered.
var errEnded = errors.New("the browser has ended")

// call calls a method of the protocol in a session, and reads its result into result
// unless that is nil.
func (b *Browser) call(ctx context.Context, session, method string, params, result any) error {
	answered := make(chan message, 1)
	b.mu.Lock()
	b.next++
	m := message{ID: b.next, Session: session, Method: method}
	b.pending[m.ID] = answered
	b.mu.Unlock()
	if params != nil {
		var err error
		if m.Params, err = json.Marshal(params); err != nil {
			return err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b.writing.Lock()
	_, err = b.in.Write(append(text, 0))
	b.writing.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case answer, ok := <-answered:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, errEnded)
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(answer.Result, result)
		}
	case <-b.exited:
		return fmt.Errorf("%s: %w", method, errEnded)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}
