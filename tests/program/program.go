// Package program builds the project's programs for tests, runs them as processes,
// and keeps what these print.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"spillway/tests/race"
)

var folder = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "spillway-test-") })

// Builder returns a function that builds the program of a package of this
// module at its first call, and returns the path of the binary. The binary has
// the race detector if the tests have it: a race then ends it with code 66. The
// tests' TestMain must call Main.
func Builder(pkg string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		folder, err := folder()
		if err != nil {
			return "", err
		}
		path := filepath.Join(folder, filepath.Base(pkg))
		args := []string{"build", "-o", path}
		if race.Enabled {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
		return path, nil
	})
}

// Main runs the tests, removes what was built, and ends the process.
func Main(m *testing.M) {
	code := m.Run()
	if folder, err := folder(); err == nil {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}
