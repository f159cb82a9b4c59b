// Command prove replays the case that Spillway was made for, against Spillway
// and against a gateway with a post-paid counter, and prints what came out of
// it. It fails unless Spillway keeps its promises: no 429 for a client while a
// backend has room, none from a backend, and no request spilled that would
// still have fit on the PTU.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"spillway/tests/prove/replay"
	"spillway/tests/prove/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "prove: %v\n", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	windows int
	users   []int
	seed    uint64
	json    string
	svg     string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{users: []int{3, 30}}
	flags := flag.NewFlagSet("prove", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.windows, "windows", 2, "full windows (minutes) to replay, 1 to 4")
	flags.Func("users", "numbers of parallel users, comma-separated (default 3,30); small requests are replayed with\nthe most, at least 30", func(text string) (err error) {
		s.users, err = numbers(text)
		return err
	})
	flags.Uint64Var(&s.seed, "seed", 1, "makes the same requests and answers again")
	flags.StringVar(&s.json, "json", "", "file for the figures as JSON")
	flags.StringVar(&s.svg, "svg", "", "file for a picture of them")
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: go run ./tests/prove [flags]\n\nReplays parallel users against Spillway and a post-paid counter in real time: up to a minute\nuntil the next window begins, then the windows. Exit code 1: not proved.\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("what does %q mean? See --help", flags.Arg(0))
	}
	if s.windows < 1 || s.windows > 4 { // the simulated PTU remembers 10,000 events
		return s, fmt.Errorf("--windows %d: 1 to 4 can be replayed", s.windows)
	}
	return s, nil
}

func numbers(text string) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > 100 {
			return nil, fmt.Errorf("%q is not a number of users from 1 to 100", field)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	scenarios := replay.Scenarios(s.users)
	progress := replay.NewProgress()
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(watching, stderr, progress, s.windows)
	}()
	outcomes, err := replay.Run(ctx, scenarios, replay.Options{
		Windows: s.windows, Seed: s.seed,
		Network: func() replay.Network { return new(replay.Loopback) },
	}, progress)
	stop()
	<-watched
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: nothing is proved")
	case err != nil:
		return err
	}
	report.Table(stdout, outcomes)
	report.Footnote(stdout, s.windows, s.seed)
	if err := save(s, outcomes); err != nil {
		return err
	}
	if s.svg != "" {
		fmt.Fprintf(stdout, "\nThe picture of it: %s\n", s.svg)
	}
	if shortfalls := report.Shortfalls(outcomes); len(shortfalls) > 0 {
		return fmt.Errorf("NOT PROVED\n  %s", strings.Join(shortfalls, "\n  "))
	}
	fmt.Fprintln(stdout, "\nPROVED: behind Spillway no client got a 429, no backend gave one, and nothing was spilled that would have fit.")
	return nil
}

// watch prints a line every few seconds.
func watch(ctx context.Context, w io.Writer, p *replay.Progress, windows int) {
	const every = 5 * time.Second
	start := replay.Start(time.Now())
	fmt.Fprintf(w, "The next window begins at %s; the replay takes until %s.\n",
		start.Format(time.TimeOnly), start.Add(time.Duration(windows)*time.Minute).Format(time.TimeOnly))
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			elapsed := now.Sub(start).Round(time.Second)
			if elapsed < 0 {
				fmt.Fprintf(w, "%4ds  waiting for the full minute\n", -elapsed/-time.Second)
				continue
			}
			fmt.Fprintf(w, "%4ds  %6d requests   429s: %d behind Spillway, %d behind the counter\n", elapsed/time.Second,
				p.Requests(), p.TooMany(replay.Spillway), p.TooMany(replay.PostPaid))
		}
	}
}

// save writes the files that were asked for.
func save(s settings, outcomes []replay.Outcome) error {
	if s.json != "" {
		if err := write(s.json, func(w io.Writer) error { return report.JSON(w, outcomes, s.windows, s.seed) }); err != nil {
			return err
		}
	}
	if s.svg != "" {
		return write(s.svg, func(w io.Writer) error { return report.SVG(w, outcomes) })
	}
	return nil
}

func write(path string, content func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(content(file), file.Close())
}
