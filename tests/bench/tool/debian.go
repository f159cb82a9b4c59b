package tool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debian returns a program of a Debian package: the machine's own, or one that is
// unpacked into the user's cache now. The first package is the program's, the others
// are the libraries that not every machine has.
func debian(ctx context.Context, program, versionFlag string, packages ...string) (Tool, error) {
	path, err := find(program)
	if err != nil {
		if path, err = install(ctx, program, packages); err != nil {
			return Tool{}, fmt.Errorf("%s: %w", program, err)
		}
	}
	args := []string(nil)
	if library := libraries(path); library != "" {
		args = []string{"LD_LIBRARY_PATH=" + library, path}
		if path, err = exec.LookPath("env"); err != nil {
			return Tool{}, err
		}
	}
	// wrk tells its version with exit code 1.
	out, _ := exec.CommandContext(ctx, path, append(args, versionFlag)...).CombinedOutput()
	version := versionOf(program, string(out))
	if version == "" {
		return Tool{}, fmt.Errorf("%s: %w: %s", program, errVersion, out)
	}
	return Tool{Path: path, Args: args, Version: version}, nil
}

// find looks where a user's PATH may not.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	folder, err := cache("debian")
	if err != nil {
		return "", err
	}
	for _, one := range []string{"/usr/sbin", filepath.Join(folder, "usr/sbin"), filepath.Join(folder, "usr/bin")} {
		if path, err := exec.LookPath(filepath.Join(one, program)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// install unpacks the packages into the user's cache: installing them would need root,
// and would start nginx as a service of the machine.
func install(ctx context.Context, program string, packages []string) (string, error) {
	folder, err := cache("debian")
	if err != nil {
		return "", err
	}
	archives, err := os.MkdirTemp(folder, "archives-") // of this process: others may install too
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(archives)
	download := append([]string{"download"}, packages...)
	if err := run(ctx, archives, "apt-get", download...); err != nil {
		if os.Geteuid() != 0 {
			return "", err
		}
		if err := run(ctx, archives, "apt-get", "update"); err != nil { // a new machine has no lists yet
			return "", err
		}
		if err := run(ctx, archives, "apt-get", download...); err != nil {
			return "", err
		}
	}
	found, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, archive := range found {
		if err := run(ctx, folder, "dpkg", "-x", archive, folder); err != nil {
			return "", err
		}
	}
	return find(program)
}

// libraries is the folder of the libraries of a program that was unpacked into the
// cache, or empty.
func libraries(path string) string {
	folder, err := cache("debian")
	if err != nil || !strings.HasPrefix(path, folder+string(filepath.Separator)) {
		return ""
	}
	found, _ := filepath.Glob(filepath.Join(folder, "usr/lib/*-linux-gnu*"))
	return strings.Join(found, ":")
}

// versionOf reads the version out of what a program says of itself.
func versionOf(program, said string) string {
	for line := range strings.Lines(said) {
		for field := range strings.FieldsSeq(line) {
			field = strings.TrimPrefix(field, program+"/")
			if _, after, ok := strings.Cut(field, "debian/"); ok {
				field = after
			}
			if field != "" && field[0] >= '0' && field[0] <= '9' && strings.Contains(field, ".") {
				return program + " " + field
			}
		}
	}
	return ""
}
