// Package browser drives a headless Chromium for tests: over a pipe, by the DevTools
// protocol. The browser's version is pinned by package.json and package-lock.json in
// this folder.
package browser

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"spillway/tests/npm"
)

const (
	// SkipVariable is the environment variable that, set to 1, turns the tests that need
	// a browser off, for a machine without npm or without a network.
	SkipVariable = "SPILLWAY_SKIP_BROWSER"
	// ProgramVariable is the environment variable that names another Chromium than the
	// pinned one, for a machine that this one is not made for.
	ProgramVariable = "SPILLWAY_CHROMIUM"
)

//go:embed package.json package-lock.json .npmrc unpack.mjs
var files embed.FS

// installation is where the browser and the rules of accessibility are.
type installation struct {
	program string
	folder  string
}

// SkipWithoutNPM skips a test that npm installs something for, where that is not wanted:
// if SPILLWAY_SKIP_BROWSER is 1, and with -short.
func SkipWithoutNPM(t testing.TB) {
	t.Helper()
	if os.Getenv(SkipVariable) == "1" {
		t.Skipf("browser: %s=1", SkipVariable)
	}
	if testing.Short() {
		t.Skip("browser: it needs npm, and -short asks for tests that do not")
	}
}

// require returns what is installed, or ends the test; without npm it fails.
func require(t testing.TB) installation {
	t.Helper()
	SkipWithoutNPM(t)
	own := os.Getenv(ProgramVariable)
	if own == "" && runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skipf("browser: the pinned one is for linux/amd64; %s=/path/to/chromium names another", ProgramVariable)
	}
	folder, err := npm.Package{Name: "browser", Files: files, Finish: []string{"node", "unpack.mjs"}}.Install()
	if err != nil {
		t.Fatalf("browser: %v; or set %s=1 to skip these tests", err, SkipVariable)
	}
	if own != "" {
		return installation{own, folder}
	}
	return installation{filepath.Join(folder, "chromium"), folder}
}

// environment lets the program find its libraries and fonts on a machine that has
// none. home is a folder for what it writes.
func (i installation) environment(home string) []string {
	settings := `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>` +
		fmt.Sprintf(`<dir>%s</dir><dir>/usr/share/fonts</dir><cachedir>%s</cachedir></fontconfig>`, filepath.Join(i.folder, "fonts"), filepath.Join(home, "fonts"))
	fonts := filepath.Join(home, "fonts.conf")
	_ = os.WriteFile(fonts, []byte(settings), 0o600) // without it the letters look different, and nothing is asserted of that
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "TZ=UTC", "LANG=en_US.UTF-8",
		"LD_LIBRARY_PATH=" + filepath.Join(i.folder, "lib"), "FONTCONFIG_FILE=" + fonts,
	}
}
