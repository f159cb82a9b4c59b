package azurite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func program(folder string) string {
	return filepath.Join(folder, "node_modules", "azurite", "dist", "src", "table", "main.js")
}

// install runs "npm ci" unless the locked version is there already. Test
// processes run side by side, so the first one takes a lock file and the others
// wait for it.
func install(folder string) error {
	if installed(folder) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(folder, ".install.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if installed(folder) {
		return nil
	}
	command := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return os.WriteFile(stamp(folder), lockfile(folder), 0o644)
}

// installed tells whether node_modules was completed from the present lock file.
func installed(folder string) bool {
	done, err := os.ReadFile(stamp(folder))
	return err == nil && bytes.Equal(done, lockfile(folder))
}

// stamp is the copy of the lock file that the last complete installation leaves.
func stamp(folder string) string {
	return filepath.Join(folder, "node_modules", ".installed-lock.json")
}

// lockfile is what npm ci installs; nil if it cannot be read, which npm ci then
// complains about.
func lockfile(folder string) []byte {
	content, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return nil
	}
	return content
}

// lock takes a lock file, waiting for its owner. A lock that is older than any
// installation may take was left by a process that died.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			return func() { _ = os.Remove(path) }, file.Close()
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > installTimeout {
			_ = os.Remove(path) // Whoever comes first creates it anew.
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds %s", path)
		}
	}
}
