// Command bench measures what Spillway costs and prints the figures it is to
// reach, each as a comparison of two things measured in the same run, or as a count
// of operations in virtual time. It fails if a measurement is void: something did
// not start, there were errors, or what drives the measurement was slower than what
// is measured. A figure that is missed is printed as missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"spillway/tests/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	t := new(traffic)
	err := run(ctx, t, all(t), os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// section is one group of measurements.
type section interface {
	// name is how --only calls it.
	name() string
	// about says in one line what it measures.
	about() string
	// measure measures, and tells of its progress. An error means that there is no
	// result at all; doubts about a result are its Voids.
	measure(ctx context.Context, progress io.Writer) (report.Result, error)
}

// sections returns all sections, in the order in which they run.
func sections(t *traffic) []section {
	shared := new(fleetFigures)
	return []section{
		peers{t, 5, time.Second}, prompts{t, 3, time.Second}, streaming{t, 2, 150},
		open{t, 1000, 10_000, 2},
		latency{t, 5, 7, time.Second}, failover{t, 3, time.Second}, growth{t, 9, time.Second, 100_000, 2},
		operations{shared}, refresh{shared}, hotKey{}, local{rounds: 5, each: 150 * time.Millisecond},
		observed{rounds: 301, each: 10 * time.Millisecond}, callers{inFile: 10_000, inTable: 90_000, active: 10_000, rounds: 5}, process{rounds: 3},
	}
}

// offer is what can be measured: by default, and only when it is asked for by name.
type offer struct {
	usual, onRequest []section
}

// all returns everything.
func all(t *traffic) offer {
	return offer{sections(t), []section{soak{t}, profiling{t, 18 * time.Second}}}
}

// settings are the flags.
type settings struct {
	sections []section
	json     string
	markdown string
}

func parse(t *traffic, o offer, args []string, stderr io.Writer) (settings, error) {
	s := settings{sections: o.usual}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("only", "sections to measure, comma-separated (default: those of the first list)", func(text string) (err error) {
		s.sections, err = choose(slices.Concat(o.usual, o.onRequest), text)
		return err
	})
	t.flags(flags)
	flags.StringVar(&s.json, "json", "", "`file` for everything measured, as JSON")
	flags.StringVar(&s.markdown, "markdown", "", "`file` for the tables, as markdown")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: go run ./tests/bench [flags]\n\nMeasures, in about seven minutes, and prints the figures. Exit code 1: a measurement is void.\n")
		for _, list := range []struct {
			head     string
			sections []section
		}{{"Sections", o.usual}, {"Sections on request", o.onRequest}} {
			fmt.Fprintf(stderr, "\n%s:\n", list.head)
			for _, one := range list.sections {
				fmt.Fprintf(stderr, "  %-11s %s\n", one.name(), one.about())
			}
		}
		fmt.Fprint(stderr, "\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("what does %q mean? See --help", flags.Arg(0))
	}
	return s, nil
}

// choose returns the sections of a comma-separated list of names, in their own order.
func choose(all []section, text string) (chosen []section, err error) {
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(text, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var names []string
	for _, one := range all {
		if wanted[one.name()] {
			chosen = append(chosen, one)
			delete(wanted, one.name())
		}
		names = append(names, one.name())
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no section %q; there are %s", name, strings.Join(names, ", "))
	}
	return chosen, nil
}

func run(ctx context.Context, t *traffic, o offer, args []string, stdout, stderr io.Writer) error {
	s, err := parse(t, o, args, stderr)
	if err != nil {
		return err
	}
	defer t.close()
	var results []report.Result
	void := false
	for _, one := range s.sections {
		fmt.Fprintf(stderr, "%s: %s\n", one.name(), one.about())
		began := time.Now()
		result, err := one.measure(ctx, stderr)
		if ctx.Err() != nil {
			return errors.New("interrupted: nothing is measured")
		}
		if err != nil {
			result = report.Result{Title: one.about(), Columns: []string{"not measured"}, Voids: []string{err.Error()}}
		}
		result.Section = one.name()
		void = void || len(result.Voids) > 0
		results = append(results, result)
		fmt.Fprintf(stderr, "%s: %.0f s\n", one.name(), time.Since(began).Seconds())
	}
	if err := write(s, here(t.versions), results, stdout); err != nil {
		return err
	}
	if void {
		return errors.New("VOID: not everything could be measured, see above")
	}
	return nil
}

// write writes the results wherever they were asked for.
func write(s settings, setting report.Setting, results []report.Result, stdout io.Writer) error {
	if err := report.Text(stdout, setting, results); err != nil {
		return err
	}
	files := []struct {
		path    string
		content func(io.Writer, report.Setting, []report.Result) error
	}{{s.json, report.JSON}, {s.markdown, report.Markdown}}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if err := save(f.path, func(w io.Writer) error { return f.content(w, setting, results) }); err != nil {
			return err
		}
	}
	return nil
}

func save(path string, content func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(content(file), file.Close())
}
