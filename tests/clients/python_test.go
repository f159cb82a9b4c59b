package clients_test

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// installTimeout bounds an installation by pip.
const installTimeout = 5 * time.Minute

//go:embed requirements.txt
var requirements []byte

// installPython returns the folder of a virtual environment with the clients for
// Python, in the user's cache. It makes it there unless that has been done for these
// requirements and this Python before.
func installPython() (folder string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	version, err := command(ctx, "python3", "-c", "import sys; assert sys.version_info >= (3, 11), 'too old'; print(sys.version, sys.base_prefix)")
	if err != nil {
		return "", fmt.Errorf("the clients for Python need Python 3.11 or later as python3 on the PATH: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home: a container's user, perhaps
	}
	cache = filepath.Join(cache, "spillway")
	folder = filepath.Join(cache, fmt.Sprintf("clients-python-%x", sha256.Sum256(append(version, requirements...)))[:31])
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Made beside, then renamed: two test processes may do this at once.
	fresh, err := os.MkdirTemp(cache, "clients-python-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	if err := makeEnvironment(ctx, filepath.Join(fresh, "environment")); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(fresh, "environment"), folder); err != nil {
		if _, late := os.Stat(folder); late != nil {
			return "", err
		}
	}
	return folder, nil
}

// makeEnvironment makes a virtual environment and installs the requirements in it:
// with a pip of its own, or, where Python comes without the parts that takes, with the
// machine's.
func makeEnvironment(ctx context.Context, folder string) error {
	pip := []string{filepath.Join(folder, "bin", "python"), "-m", "pip"}
	if _, err := command(ctx, "python3", "-m", "venv", folder); err != nil {
		if _, bare := command(ctx, "python3", "-m", "venv", "--clear", "--without-pip", folder); bare != nil {
			return fmt.Errorf("python3 makes no virtual environment (on Debian: apt-get install python3-venv): %w", err)
		}
		if _, none := command(ctx, "python3", "-m", "pip", "--version"); none != nil {
			return fmt.Errorf("python3 has neither ensurepip nor pip (on Debian: apt-get install python3-venv): %w", err)
		}
		pip = []string{"python3", "-m", "pip", "--python", folder}
	}
	list := filepath.Join(folder, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return err
	}
	_, err := command(ctx, append(pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile",
		"--require-hashes", "--only-binary", ":all:", "--requirement", list)...)
	return err
}

// command runs a command, and returns what it prints.
func command(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%q: %w\n%s%s", args, err, out, failed.Stderr)
	}
	return out, err
}
