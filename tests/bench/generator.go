package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"spillway/tests/bench/post"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/tool"
)

// generator is a load generator of our own, as a process. The last line that it prints
// is what it has seen, as JSON.
type generator struct {
	command *exec.Cmd
	out     *bufio.Scanner
	errors  strings.Builder
}

// generate starts a generator, which sends requests with a body to a contender; more
// arguments say how many, and when.
func generate(ctx context.Context, t tool.Tool, folder string, c *stand.Contender, body []byte, more ...string) (*generator, error) {
	file := filepath.Join(folder, filepath.Base(t.Path)+".json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	g := &generator{command: exec.CommandContext(ctx, t.Path, append(post.Args(c.URL(), file, c.Header), more...)...)}
	g.command.Stderr = &g.errors
	out, err := g.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = bufio.NewScanner(out)
	return g, g.command.Start()
}

var errNothingSeen = errors.New("the load generator has seen nothing")

// says waits until the generator has printed this line, which must be its next one.
func (g *generator) says(want string) error {
	if !g.out.Scan() || g.out.Text() != want {
		return fmt.Errorf("%w: it did not say %q", errNothingSeen, want)
	}
	return nil
}

// ended waits for the generator's end, and reads what it has seen.
func ended[Seen any](g *generator) (seen Seen, err error) {
	last := ""
	for g.out.Scan() {
		last = g.out.Text()
	}
	if err := g.command.Wait(); err != nil {
		return seen, fmt.Errorf("%w: %w: %s", errNothingSeen, err, &g.errors)
	}
	if err := json.Unmarshal([]byte(last), &seen); err != nil {
		return seen, fmt.Errorf("%w: %w", errNothingSeen, err)
	}
	return seen, nil
}

// processor is what the generator has used. It must have ended.
func (g *generator) processor() time.Duration {
	return g.command.ProcessState.UserTime() + g.command.ProcessState.SystemTime()
}
