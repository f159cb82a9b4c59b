package tool

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the requirements
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed litellm/requirements.txt
var requirements string

// LiteLLM returns LiteLLM's proxy, in a virtual environment of its own. It is large:
// 750 MB.
func LiteLLM(ctx context.Context) (Tool, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return Tool{}, fmt.Errorf("litellm: %w", err)
	}
	folder, err := cache(fmt.Sprintf("litellm-%x", sha256.Sum256([]byte(requirements)))[:len("litellm-")+16])
	if err != nil {
		return Tool{}, err
	}
	stamp := filepath.Join(folder, "installed")
	if _, err := os.Stat(stamp); err != nil {
		if err := environment(ctx, python, folder); err != nil {
			return Tool{}, fmt.Errorf("litellm: %w", err)
		}
		if err := os.WriteFile(stamp, nil, 0o644); err != nil {
			return Tool{}, err
		}
	}
	return Tool{Path: filepath.Join(folder, "bin", "litellm"), Version: "LiteLLM " + pinned("litellm")}, nil
}

func environment(ctx context.Context, python, folder string) error {
	if err := run(ctx, "", python, "-m", "venv", folder); err != nil {
		return err
	}
	list := filepath.Join(folder, "requirements.txt")
	if err := os.WriteFile(list, []byte(requirements), 0o644); err != nil {
		return err
	}
	return run(ctx, folder, filepath.Join(folder, "bin", "pip"), "install", "--quiet", "--no-deps", "--requirement", list)
}

// pinned is the version of a package in the requirements.
func pinned(name string) string {
	for line := range strings.Lines(requirements) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), name+"=="); ok {
			return version
		}
	}
	return ""
}
