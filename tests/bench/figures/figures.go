// Package figures carries what a test has measured to the program that prints it. Some
// things exist only in tests: virtual time, and the table emulator.
package figures

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// variable names, in a test's environment, the file that its figures go into.
const variable = "SPILLWAY_FIGURES"

// Measure hands over what is measured, which JSON must be able to hold, if the test was
// started by FromTest. Otherwise it skips the test.
func Measure(t testing.TB, measure func() any) {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Skip("measures for tests/bench only")
	}
	content, err := json.Marshal(measure())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FromTest runs the test TestMeasure of a package, which calls Measure, and reads the
// figures. The test tells of its progress on its standard error.
func FromTest(ctx context.Context, pkg string, progress io.Writer, figures any) error {
	folder, err := os.MkdirTemp("", "spillway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	binary, file := filepath.Join(folder, "measure.test"), filepath.Join(folder, "figures.json")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot be built: %w\n%s", pkg, err, out)
	}
	var out bytes.Buffer
	command := exec.CommandContext(ctx, binary, "-test.run", "^TestMeasure$", "-test.v")
	command.Env = append(os.Environ(), variable+"="+file)
	command.Stdout, command.Stderr = &out, progress
	command.WaitDelay = 5 * time.Second // What it has started may still hold its output.
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, out.Bytes())
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s measured nothing:\n%s", pkg, out.Bytes())
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(content, figures)
}
