package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"spillway/tests/bench/files"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/tool"
)

// traffic is what the sections about real requests share: the programs that take part.
type traffic struct {
	program     string // of Spillway; empty: it is built
	withLiteLLM bool
	soak        time.Duration // how long the section soak takes
	profiles    string        // the folder of the section profile

	folder string // of this run; empty: nothing is at hand yet
	files  int    // how many a process may open
	tools  struct{ nginx, wrk, spillway, upstream, plainproxy, streams, openloop tool.Tool }
	// versions are of all programs that have taken part.
	versions []string
}

// flags defines the settings.
func (t *traffic) flags(flags *flag.FlagSet) {
	flags.StringVar(&t.program, "program", os.Getenv("SPILLWAY_PROGRAM"), "the `file` of the Spillway to measure under load (default: SPILLWAY_PROGRAM, or it is built)")
	flags.DurationVar(&t.soak, "soak", 10*time.Minute, "the `time` of the section soak, in whole seconds")
	flags.StringVar(&t.profiles, "profiles", "bin/profile", "the `folder` of the section profile")
	flags.BoolVar(&t.withLiteLLM, "litellm", false, "compare with LiteLLM too; its first installation takes a minute and 750 MB")
}

// ready has at hand what no section can do without. Contenders that are missing are
// void, and the others are measured all the same.
func (t *traffic) ready(ctx context.Context, progress io.Writer) error {
	if t.folder != "" {
		return nil
	}
	fmt.Fprintln(progress, "  looking for nginx and wrk, building")
	t.files = files.Raise()
	var err error
	if t.tools.nginx, err = t.known(tool.Nginx(ctx)); err != nil {
		return err
	}
	if t.tools.wrk, err = t.known(tool.Wrk(ctx)); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "spillway-bench-")
	if err != nil {
		return err
	}
	if err := t.build(ctx, folder); err != nil {
		_ = os.RemoveAll(folder)
		return err
	}
	t.folder = folder
	return nil
}

// static has all at hand for a section, with its folder, and starts an upstream before
// it whose answer is always the same.
func (t *traffic) static(ctx context.Context, name string, progress io.Writer) (folder string, upstream *stand.Upstream, err error) {
	return t.begin(ctx, name, progress, func(folder string) (*stand.Upstream, error) {
		return stand.StartStatic(ctx, folder, t.tools.nginx, t.files)
	})
}

// reading is static with an upstream that reads what it is asked, and answers as args
// say.
func (t *traffic) reading(ctx context.Context, name string, progress io.Writer, args ...string) (folder string, upstream *stand.Upstream, err error) {
	return t.begin(ctx, name, progress, func(folder string) (*stand.Upstream, error) {
		return stand.StartReading(ctx, folder, t.tools.upstream, args...)
	})
}

func (t *traffic) begin(ctx context.Context, name string, progress io.Writer, start func(folder string) (*stand.Upstream, error)) (folder string, upstream *stand.Upstream, err error) {
	if err := t.ready(ctx, progress); err != nil {
		return "", nil, err
	}
	if folder, err = t.section(name); err != nil {
		return "", nil, err
	}
	upstream, err = start(folder)
	return folder, upstream, err
}

// known notes the version of a tool.
func (t *traffic) known(found tool.Tool, err error) (tool.Tool, error) {
	if err == nil && found.Version != "" {
		t.versions = append(t.versions, found.Version)
	}
	return found, err
}

// build builds the parts of the benchmark, and Spillway as it is deployed.
func (t *traffic) build(ctx context.Context, folder string) error {
	const own = "spillway/tests/bench/"
	build := exec.CommandContext(ctx, "go", "build", "-o", folder+string(filepath.Separator), own+"upstream", own+"plainproxy", own+"streams", own+"openloop")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the parts of the benchmark cannot be built: %w\n%s", err, out)
	}
	for name, part := range map[string]*tool.Tool{"upstream": &t.tools.upstream, "plainproxy": &t.tools.plainproxy, "streams": &t.tools.streams, "openloop": &t.tools.openloop} {
		part.Path = filepath.Join(folder, name)
	}
	t.tools.spillway.Path = t.program
	if t.program == "" {
		path, _, err := stage(ctx, folder, "http://127.0.0.1")
		if err != nil {
			return err
		}
		t.tools.spillway.Path = path
	}
	path, err := filepath.Abs(t.tools.spillway.Path)
	t.tools.spillway.Path = path
	return err
}

// close removes what a run has left in the temporary folder.
func (t *traffic) close() {
	if t.folder != "" {
		_ = os.RemoveAll(t.folder)
	}
}

// section is a folder for the processes of one section.
func (t *traffic) section(name string) (string, error) {
	folder := filepath.Join(t.folder, "runs", name) // beside the programs, whose names it may have
	return folder, os.MkdirAll(folder, 0o755)
}

// entries starts contenders by their names, in this order.
func (t *traffic) entries(ctx context.Context, folder string, u *stand.Upstream, names ...string) (all []entry) {
	for _, name := range names {
		contender, err := t.start(ctx, folder, u, name)
		all = append(all, enter(name, contender, err))
	}
	return all
}

func (t *traffic) start(ctx context.Context, folder string, u *stand.Upstream, name string) (*stand.Contender, error) {
	switch name {
	case direct:
		return stand.Direct(u), nil
	case reverseProxy:
		return stand.StartReverseProxy(ctx, folder, t.tools.plainproxy, u)
	case nginx:
		return stand.StartNginx(ctx, folder, t.tools.nginx, u, t.files, false)
	case spillway:
		return stand.StartSpillway(ctx, folder, t.tools.spillway, u, stand.Settings{})
	case portkey:
		found, err := t.first(tool.Portkey(ctx))
		if err != nil {
			return nil, err
		}
		return stand.StartPortkey(ctx, folder, found, u)
	case litellm:
		found, err := t.first(tool.LiteLLM(ctx))
		if err != nil {
			return nil, err
		}
		return stand.StartLiteLLM(ctx, folder, found, u)
	default:
		return nil, fmt.Errorf("nobody knows the contender %q", name)
	}
}

// first notes the version of a tool that several sections ask for.
func (t *traffic) first(found tool.Tool, err error) (tool.Tool, error) {
	if slices.Contains(t.versions, found.Version) {
		return found, err
	}
	return t.known(found, err)
}
