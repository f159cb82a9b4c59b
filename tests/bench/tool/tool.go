// Package tool finds the programs that the benchmark compares with and measures by, and
// installs what is missing: nginx and wrk from Debian's packages, Portkey's gateway and
// LiteLLM's proxy into the user's cache, each as a file here pins it.
package tool

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"spillway/tests/npm"
)

// Tool is a program that is installed.
type Tool struct {
	// Path starts it, with Args before all others.
	Path string
	Args []string
	// Version is its name and version, for the report.
	Version string
}

// Nginx returns the web server nginx.
func Nginx(ctx context.Context) (Tool, error) {
	return debian(ctx, "nginx", "-v", "nginx", "libpcre2-8-0")
}

// Wrk returns the load generator wrk.
func Wrk(ctx context.Context) (Tool, error) {
	return debian(ctx, "wrk", "-v", "wrk", "libluajit-5.1-2", "libluajit-5.1-common")
}

//go:embed portkey/package.json portkey/package-lock.json portkey/.npmrc
var portkey embed.FS

// Portkey returns Portkey's gateway, which runs on Node.js.
func Portkey(ctx context.Context) (Tool, error) {
	files, err := fs.Sub(portkey, "portkey")
	if err != nil {
		return Tool{}, err
	}
	folder, err := npm.Package{Name: "portkey", Files: files}.Install()
	if err != nil {
		return Tool{}, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return Tool{}, err
	}
	script := filepath.Join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js")
	command := exec.CommandContext(ctx, node, "-p", `require("./node_modules/@portkey-ai/gateway/package.json").version + " on Node.js " + process.versions.node`)
	command.Dir = folder
	version, err := command.Output()
	if err != nil {
		return Tool{}, fmt.Errorf("portkey: %w", err)
	}
	return Tool{Path: node, Args: []string{script}, Version: "@portkey-ai/gateway " + strings.TrimSpace(string(version))}, nil
}

// cache is a folder for programs.
func cache(name string) (string, error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir() // no home: a container's user, perhaps
	}
	folder = filepath.Join(folder, "spillway", name)
	return folder, os.MkdirAll(folder, 0o755)
}

// run runs a command of an installation.
func run(ctx context.Context, folder, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

var errVersion = errors.New("it does not tell its version")
