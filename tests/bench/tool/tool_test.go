package tool

import (
	"io/fs"
	"strings"
	"testing"
)

func TestVersionOf(t *testing.T) {
	for _, test := range []struct{ program, said, want string }{
		{"nginx", "nginx version: nginx/1.22.1\n", "nginx 1.22.1"},
		{"wrk", "wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\nUsage: wrk\n", "wrk 4.1.0-3+b2"},
		{"wrk", "wrk 4.2.0 [epoll]\n", "wrk 4.2.0"},
		{"nginx", "sh: not found\n", ""},
		{"nginx", "", ""},
	} {
		if got := versionOf(test.program, test.said); got != test.want {
			t.Errorf("%q: got %q, want %q", test.said, got, test.want)
		}
	}
}

// What is installed is pinned, and comes from wherever the user's registries are.
func TestPinsNameNoHost(t *testing.T) {
	files := []string{requirements}
	for _, name := range []string{"portkey/package.json", "portkey/package-lock.json"} {
		content, err := fs.ReadFile(portkey, name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, string(content))
	}
	for _, content := range files {
		for _, word := range []string{`"resolved"`, "--index-url", "registry"} {
			if strings.Contains(content, word) {
				t.Errorf("%.60q… holds %s", content, word)
			}
		}
	}
	for line := range strings.Lines(requirements) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); !ok || name == "" || version == "" {
			t.Errorf("%q pins nothing", line)
		}
	}
	if pinned("litellm") == "" || pinned("no-such-package") != "" {
		t.Errorf("litellm is pinned to %q, a package that is not there to %q", pinned("litellm"), pinned("no-such-package"))
	}
}
