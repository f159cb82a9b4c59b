package browser_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"spillway/tests/browser"
	"spillway/tests/npm"
)

// What the console has from others is, byte for byte, what the lock file pins: npm
// compares its packages with the hashes there, and this compares the copies.
func TestVendoredFiles(t *testing.T) {
	browser.SkipWithoutNPM(t)
	const web = "../../functions/console/web"
	files := fstest.MapFS{}
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		content, err := os.ReadFile(filepath.Join(web, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: content, Mode: 0o644}
	}
	folder, err := npm.Package{Name: "console", Files: files}.Install()
	if err != nil {
		t.Fatal(err)
	}
	for vendored, original := range map[string]string{
		"uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
		"uPlot.min.css":     "uplot/dist/uPlot.min.css",
		"uPlot.LICENSE":     "uplot/LICENSE",
	} {
		got, err := os.ReadFile(filepath.Join(web, "lib", vendored))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(folder, "node_modules", original))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not the package's: make vendor copies it", vendored)
		}
	}
	entries, err := os.ReadDir(filepath.Join(web, "lib"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files are vendored, want 3: %v", len(entries), err)
	}
}
