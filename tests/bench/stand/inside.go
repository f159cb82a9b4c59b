package stand

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Inside asks a Spillway for something of its own, with the administrator's key.
func (c *Contender) Inside(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+AdminKey)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, answer.StatusCode)
	}
	return content, err
}

// Loaded waits until a Spillway has loaded everything.
func (c *Contender) Loaded(ctx context.Context) error {
	return c.await(ctx, func(ctx context.Context) error {
		_, err := c.Inside(ctx, "/spillway/readyz")
		return err
	})
}

var errNoGoroutines = errors.New("neither the metric go_goroutines nor the profile of goroutines can be read")

// Goroutines returns how many a Spillway has, by its metrics or else by its profile.
func (c *Contender) Goroutines(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for path, prefix := range map[string]string{"/spillway/metrics": "go_goroutines ", "/spillway/debug/pprof/goroutine?debug=1": "goroutine profile: total "} {
		content, err := c.Inside(ctx, path)
		if err != nil {
			continue
		}
		if n, ok := numberAfter(string(content), prefix); ok {
			return n, nil
		}
	}
	return 0, errNoGoroutines
}

// numberAfter finds the line that begins with the prefix, and the number after it.
func numberAfter(text, prefix string) (int, bool) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return int(n), err == nil && n >= 0 && n < 1e9
		}
	}
	return 0, false
}
