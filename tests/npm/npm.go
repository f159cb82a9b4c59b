// Package npm installs packages from the npm registry for tests, exactly as a lock
// file pins them, once per machine.
package npm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const installTimeout = 5 * time.Minute

// Package is what is installed.
type Package struct {
	// Name is that of its folder in the user's cache.
	Name string
	// Files are what it is made from: package.json, package-lock.json, and others that
	// its work needs. A change of any makes another installation.
	Files fs.FS
	// Finish is the command that completes an installation, in its folder; it may be
	// empty.
	Finish []string
}

// Install returns the folder of a package, which is in the user's cache. It runs
// "npm ci" there, without any scripts of packages, unless that has been done for these
// files before. Test processes run side by side, so the first one takes a lock and the
// others wait for it.
func (p Package) Install() (folder string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", errors.New(tool + " is not on the PATH: install Node.js 20 or later")
		}
	}
	folder, err = p.folder()
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
	if err := p.write(folder); err != nil {
		return "", err
	}
	commands := [][]string{{"npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"}}
	if len(p.Finish) > 0 {
		commands = append(commands, p.Finish)
	}
	for _, args := range commands {
		command := exec.CommandContext(ctx, args[0], args[1:]...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s in %s: %w\n%s", args, folder, err, output)
		}
	}
	return folder, os.WriteFile(stamp(folder), nil, 0o644)
}

// write puts the files into the folder, over those that an installation which died
// on the way left there.
func (p Package) write(folder string) error {
	return fs.WalkDir(p.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(folder, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(path, 0o755)
		}
		content, err := fs.ReadFile(p.Files, name)
		if err != nil {
			return err
		}
		return os.WriteFile(path, content, 0o644)
	})
}

// folder is for exactly these files.
func (p Package) folder() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(p.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(p.Files, name)
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home: a container's user, perhaps
	}
	return filepath.Join(cache, "spillway", fmt.Sprintf("%s-%x", p.Name, hash.Sum(nil)[:8])), nil
}

func installed(folder string) bool {
	_, err := os.Stat(stamp(folder))
	return err == nil
}

// stamp is what a complete installation leaves.
func stamp(folder string) string { return filepath.Join(folder, "installed") }

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
			_ = os.Remove(path) // whoever comes first creates it anew
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds %s", path)
		}
	}
}
