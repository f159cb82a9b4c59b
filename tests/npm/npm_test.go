package npm

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// An installation that died while it wrote its files is completed: each file is
// written, those that are there in part too.
func TestFilesOfADeadInstallationAreWrittenAgain(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.json"), []byte(`{"ha`), 0o644); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"a.json": {Data: []byte(`{"half": false}`)}, "b/c.json": {Data: []byte(`{}`)}, "d.json": {Data: []byte(`[]`)}}
	if err := (Package{Files: files}).write(folder); err != nil {
		t.Fatal(err)
	}
	for name, file := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(got) != string(file.Data) {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, file.Data)
		}
	}
}

// Packages of other files, or of another name, never share a folder.
func TestFolderIsOfTheseFiles(t *testing.T) {
	seen := make(map[string]string)
	for name, p := range map[string]Package{
		"one file":                     {Name: "p", Files: fstest.MapFS{"a": {Data: []byte("1")}}},
		"other content":                {Name: "p", Files: fstest.MapFS{"a": {Data: []byte("2")}}},
		"other file name":              {Name: "p", Files: fstest.MapFS{"b": {Data: []byte("1")}}},
		"one file more":                {Name: "p", Files: fstest.MapFS{"a": {Data: []byte("1")}, "b": {}}},
		"another package":              {Name: "q", Files: fstest.MapFS{"a": {Data: []byte("1")}}},
		"text that reads as two files": {Name: "p", Files: fstest.MapFS{"a": {Data: []byte("1b 0\n")}}},
	} {
		folder, err := p.folder()
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[folder]; taken {
			t.Errorf("%s and %s share %s", name, other, folder)
		}
		seen[folder] = name
	}
}
