package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"spillway/tests/secrets"
)

// ErrEnded says that a process has ended without printing what was waited for.
var ErrEnded = errors.New("the process has ended")

// Output keeps what a process prints, line by line, for tests that wait for a
// line. Make it with NewOutput, and give it to the process as its standard output
// or error. It is safe for concurrent use.
type Output struct {
	mu      sync.Mutex
	lines   []string      // guarded by mu
	partial []byte        // guarded by mu; of the line that is not complete yet
	ended   bool          // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced when there is more
}

// NewOutput returns an Output of a process that has printed nothing yet.
func NewOutput() *Output { return &Output{changed: make(chan struct{})} }

// Watch makes the test fail when it ends if the process has printed a secret until
// then. What the test registers later than Watch for its end ends before it looks: a
// process that is to be stopped then is started afterwards. It returns o.
func (o *Output) Watch(t testing.TB) *Output {
	t.Helper()
	w := secrets.NewWatch(t)
	t.Cleanup(func() { w.Text("what a process prints", []byte(o.String())) })
	return o
}

// Write takes what the process prints. It never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.partial = append(o.partial, p...)
	for {
		line, rest, found := bytes.Cut(o.partial, []byte("\n"))
		if !found {
			break
		}
		o.lines = append(o.lines, string(line))
		o.partial = rest
	}
	o.tell()
	return len(p), nil
}

// End notes that nothing more will come: those who wait are told.
func (o *Output) End() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.tell()
}

// tell needs mu.
func (o *Output) tell() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// Lines returns the complete lines so far, without their line ends.
func (o *Output) Lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines)
}

// Await returns the first line, printed already or still to come, for which want
// is true. It asks want of each line once, in order. It fails with ErrEnded if
// the process ends without such a line, else with the error of the context.
func (o *Output) Await(ctx context.Context, want func(line string) bool) (string, error) {
	for seen := 0; ; {
		o.mu.Lock()
		fresh, ended, changed := o.lines[seen:], o.ended, o.changed
		o.mu.Unlock()
		for _, line := range fresh {
			if want(line) {
				return line, nil
			}
		}
		seen += len(fresh)
		if ended {
			return "", ErrEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Listening returns the address at which a gateway that prints here listens, once its
// log says so. It fails as Await does.
func (o *Output) Listening(ctx context.Context) (address string, err error) {
	line, err := o.Await(ctx, func(line string) bool { return strings.Contains(line, `"message":"listening"`) })
	if err != nil {
		return "", fmt.Errorf("the gateway does not say that it listens: %w", err)
	}
	var listening struct{ Address string }
	if err = json.Unmarshal([]byte(line), &listening); err == nil && listening.Address == "" {
		err = errNoAddress
	}
	if err != nil {
		return "", fmt.Errorf("the line that tells where the gateway listens is %s: %w", line, err)
	}
	return listening.Address, nil
}

var errNoAddress = errors.New("it has no address")

// String is all that was printed, the line that is not complete included.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(append(slices.Clone(o.lines), string(o.partial)), "\n")
}
