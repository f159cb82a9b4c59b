// Command openloop drives a server with short requests that come at random, in a
// process of its own.
//
//	openloop --url http://127.0.0.1:1234/v1/chat/completions --body file --rate 8000 [--for 2s] [--connections 100] [--seed 1] [--header "Name: value"]…
//
// Each request is sent when it is due, whether or not others have been answered, on the
// connection that has rested longest. If none is free it waits, and its time counts from
// when it was due. At the end the command prints what it has seen, as JSON. It runs on
// Linux only: other systems have no timer that is fine enough.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"spillway/tests/bench/files"
	"spillway/tests/bench/openloop/arrivals"
	"spillway/tests/bench/post"
)

func main() {
	files.Raise()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "openloop:", err)
		os.Exit(1)
	}
}

// plan is what is to be sent, and when.
type plan struct {
	post.Request // the same for all
	due          []time.Duration
	connections  int
	// patience is how long the last answers may take.
	patience time.Duration
}

func run(args []string) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	got, err := drive(p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

// parse reads the arguments, and the body that they name.
func parse(args []string) (plan, error) {
	flags := flag.NewFlagSet("openloop", flag.ContinueOnError)
	described := post.Define(flags)
	rate := flags.Float64("rate", 1000, "requests a second, on average")
	long := flags.Duration("for", time.Second, "how long")
	connections := flags.Int("connections", 100, "connections, all of them open from the beginning on")
	seed := flags.Uint64("seed", 1, "which random times; the same seed gives the same ones")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if *rate <= 0 || *long <= 0 || *connections <= 0 {
		return plan{}, errors.New("the rate, the time and the connections must be positive")
	}
	request, err := described.Request()
	if err != nil {
		return plan{}, err
	}
	return plan{
		Request: request, connections: *connections, patience: 10 * time.Second,
		due: arrivals.Poisson(*rate, *long, *seed),
	}, nil
}
