package hosts_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxBinary bounds what each new instance has to fetch, in bytes.
const maxBinary = 40 << 20

// What is published is what the host needs and nothing else: the binary can be run
// on a bare Linux, and what travels along is the repository's own.
func TestPackage(t *testing.T) {
	tests := []struct {
		arch    string
		machine elf.Machine
	}{
		{"amd64", elf.EM_X86_64}, // without being asked
		{"arm64", elf.EM_AARCH64},
	}
	for _, test := range tests {
		t.Run(test.arch, func(t *testing.T) {
			dist := filepath.Join(t.TempDir(), "dist")
			env := []string{"CONFIG=infra/azure/gateway.yaml", "GOOS="}
			if test.arch != "amd64" {
				if testing.Short() {
					t.Skip("it builds everything for another machine")
				}
				env = append(env, "GOARCH="+test.arch)
			}
			if err := packaged(dist, env...); err != nil {
				t.Fatal(err)
			}
			want := []string{"gateway.yaml", "host.json", "spillway"}
			functions, err := filepath.Glob("../../functions/*/function.json")
			if err != nil || len(functions) < 4 {
				t.Fatalf("%d functions, want at least 4: %v", len(functions), err)
			}
			for _, path := range functions {
				want = append(want, filepath.Base(filepath.Dir(path))+"/function.json")
			}
			slices.Sort(want)
			if got := filesOf(t, dist); !slices.Equal(got, want) {
				t.Errorf("it holds %q, want %q", got, want)
			}
			for _, path := range append(functions, "../../host.json") {
				name := filepath.Base(path)
				if name == "function.json" {
					name = filepath.Base(filepath.Dir(path)) + "/" + name
				}
				if read(t, filepath.Join(dist, name)) != read(t, path) {
					t.Errorf("%s is not the repository's", name)
				}
			}
			if read(t, filepath.Join(dist, "gateway.yaml")) != read(t, "../../infra/azure/gateway.yaml") {
				t.Error("gateway.yaml is not the configuration that was named")
			}
			checkBinary(t, filepath.Join(dist, "spillway"), test.machine)
		})
	}
}

// checkBinary checks that a program runs on a Linux without anything.
func checkBinary(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o111 != 0o111 || info.Size() > maxBinary {
		t.Errorf("the binary has mode %v and %d bytes, want it executable and at most %d", info.Mode(), info.Size(), maxBinary)
	}
	t.Logf("the binary has %.1f MB", float64(info.Size())/1e6)
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if binary.Machine != machine {
		t.Errorf("it is for %v, want %v", binary.Machine, machine)
	}
	for _, program := range binary.Progs {
		if program.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
}

// What cannot be built leaves what there was, and says why.
func TestPackageRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.txt"), []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		dist string
		env  string
		says string
	}{
		{"a configuration that is not there", filepath.Join(t.TempDir(), "dist"), "CONFIG=nothing.yaml", "there is no nothing.yaml"},
		{"a folder of somebody's", full, "GOOS=", "it stays as it is"},
		{"a machine that is none", filepath.Join(t.TempDir(), "dist"), "GOARCH=abacus", "abacus"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := filesOf(t, test.dist)
			if err := packaged(test.dist, test.env); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
			if after := filesOf(t, test.dist); !slices.Equal(before, after) {
				t.Errorf("it has made %q of %q", after, before)
			}
		})
	}
}

// Without func there is nothing to start, and it is said how to get it.
func TestStartWithoutFunc(t *testing.T) {
	command := exec.Command("/bin/sh", "../../functions/azure/start.sh")
	bin := t.TempDir()
	for _, tool := range []string{"dirname"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	command.Env = []string{"PATH=" + bin}
	out, err := command.CombinedOutput()
	if err == nil || string(out) != "func is missing: npm install -g azure-functions-core-tools@4\n" {
		t.Errorf("it says %q: %v", out, err)
	}
}

// filesOf are the files of a folder, by their paths in it.
func filesOf(t *testing.T, folder string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(folder, path) // it is below
			files = append(files, filepath.ToSlash(name))
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
