// Command azurite runs Microsoft's storage emulator, as it is pinned for the
// tests, for a gateway or a Functions host on this machine.
//
//	go run ./tests/fakes/azurite/cmd
//
// It installs the emulator into the user's cache folder if it is missing, prints
// the connection string, keeps everything in memory, and ends with Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"spillway/tests/fakes/azurite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "azurite:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("azurite", flag.ContinueOnError)
	port := flags.Int("port", azurite.DefaultPort, "the first of three ports, for blobs, queues and tables")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	fmt.Fprintln(out, "starting (the first time, npm installs the emulator)")
	return azurite.Serve(ctx, *port, func(connection string) {
		fmt.Fprintf(out, `blobs, queues and tables on 127.0.0.1, ports %d to %d; nothing is kept; Ctrl-C ends it
gateway.yaml:        state: { store: tables, connection: %q }
Functions host:      AzureWebJobsStorage=%s
`, *port, *port+2, connection, connection)
	})
}
