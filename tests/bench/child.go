package main

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
	"time"
)

// fromTest runs the test TestMeasure of a package and reads what it writes into the
// file of its flag -figures. Some things exist only in tests: virtual time, and the
// table emulator.
func fromTest(ctx context.Context, pkg string, progress io.Writer, figures any) error {
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
	command := exec.CommandContext(ctx, binary, "-test.run", "^TestMeasure$", "-test.v", "-figures", file)
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
