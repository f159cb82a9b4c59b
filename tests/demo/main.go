// Command demo shows the gateway at work: it runs one, as in production, before
// three simulated backends of this process, prints calls to paste into a
// terminal, and shows each second where the requests went.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// The exit codes. Zero means that the demo has ended because it was told to.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program and returns its exit code.
func run(args []string, out *os.File, errs io.Writer) int {
	o, err := parse(args, out, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := play(ctx, o, out); err != nil {
		fmt.Fprintln(errs, "demo:", err)
		return exitFailure
	}
	return 0
}

// options are what the command line chooses.
type options struct {
	listen string        // "" is the first free port from 8080 on
	load   int           // simulated users
	length time.Duration // 0: until a signal
}

const usage = `usage: go run ./tests/demo [flags]

Runs the gateway before three simulated backends, and shows where calls go.

  --listen ADDRESS  default: 127.0.0.1:8080, or the next port that is free
  --load USERS      simulate so many users, 0 to 500; 10 overfill the PTU
  --for DURATION    end by itself, after 90s say; default: at Ctrl-C

exit codes: 0 ended as told, 1 failed, 2 wrong usage
`

// maxLoad keeps the simulation below what one machine can simulate.
const maxLoad = 500

// errUsage is a command line that cannot be understood. What was wrong has been
// printed.
var errUsage = errors.New("usage")

func parse(args []string, out, errs io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is printed once, below
	flags.StringVar(&o.listen, "listen", "", "")
	flags.IntVar(&o.load, "load", 0, "")
	flags.DurationVar(&o.length, "for", 0, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return o, err
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected %q", flags.Arg(0))
	case o.load < 0 || o.load > maxLoad:
		err = fmt.Errorf("--load %d is not in 0 to %d", o.load, maxLoad)
	case o.length < 0:
		err = fmt.Errorf("--for %s is negative", o.length)
	}
	if err != nil {
		fmt.Fprintf(errs, "demo: %v\n\n%s", err, usage)
		return o, errUsage
	}
	return o, nil
}

// play runs the whole demo until ctx, or the time that o allows, ends.
func play(ctx context.Context, o options, out *os.File) (err error) {
	if o.length > 0 {
		bounded, cancel := context.WithTimeout(ctx, o.length)
		defer cancel()
		ctx = bounded
	}
	began := time.Now()
	s, err := openStage(o.listen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	show := newScreen(out, os.Getenv)
	show.guide(s, o)
	home, sendHome := context.WithCancel(ctx)
	defer sendHome()
	var users sync.WaitGroup
	for range o.load {
		users.Go(func() { newUser(s).run(home) })
	}
	err = watch(ctx, s, show)
	sendHome()
	users.Wait()
	if err != nil {
		return err
	}
	last, err := s.read(context.Background())
	if err != nil {
		return err
	}
	show.summary(last, time.Since(began))
	return nil
}

// watch shows the state once a second until ctx ends.
func watch(ctx context.Context, s *stage, show *screen) error {
	defer show.endRows()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		r, err := s.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		show.row(r)
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-tick.C:
		}
	}
}
