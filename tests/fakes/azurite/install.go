package azurite

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const installTimeout = 5 * time.Minute

// files is what an installation is made from.
//
//go:embed package.json package-lock.json .npmrc stop-with-stdin.js
var files embed.FS

// Install returns the folder of the emulator, which is in the user's cache. It
// runs "npm ci" there unless that has been done for these files before. Test
// processes run side by side, so the first one takes a lock and the others wait
// for it.
func Install() (folder string, err error) {
	if err := checkTools(); err != nil {
		return "", err
	}
	folder, err = cacheFolder()
	if err != nil || installed(folder) {
		return folder, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(folder, "install.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if installed(folder) {
		return folder, nil
	}
	err = eachFile(func(name string, content []byte) error {
		return os.WriteFile(filepath.Join(folder, name), content, 0o644)
	})
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return folder, os.WriteFile(stamp(folder), nil, 0o644)
}

// cacheFolder is a folder for exactly these files.
func cacheFolder() (string, error) {
	hash := sha256.New()
	err := eachFile(func(name string, content []byte) error {
		_, err := fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // No home: a container's user, perhaps.
	}
	return filepath.Join(cache, "spillway", fmt.Sprintf("azurite-%x", hash.Sum(nil)[:8])), nil
}

func eachFile(do func(name string, content []byte) error) error {
	entries, err := files.ReadDir(".")
	for _, entry := range entries {
		var content []byte
		if content, err = files.ReadFile(entry.Name()); err == nil {
			err = do(entry.Name(), content)
		}
		if err != nil {
			break
		}
	}
	return err
}

func installed(folder string) bool {
	_, err := os.Stat(stamp(folder))
	return err == nil
}

// stamp is what a complete installation leaves.
func stamp(folder string) string {
	return filepath.Join(folder, "installed")
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
