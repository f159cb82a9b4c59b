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
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"spillway/tests/bench/files"
	"spillway/tests/bench/openloop/arrivals"
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
	address     string // host and port
	request     []byte // the same for all
	due         []time.Duration
	connections int
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
	target := flags.String("url", "", "where to")
	body := flags.String("body", "", "the `file` of the request's body")
	rate := flags.Float64("rate", 1000, "requests a second, on average")
	long := flags.Duration("for", time.Second, "how long")
	connections := flags.Int("connections", 100, "connections, all of them open from the beginning on")
	seed := flags.Uint64("seed", 1, "which random times; the same seed gives the same ones")
	header := http.Header{"Content-Type": {"application/json"}}
	flags.Func("header", "a header field", func(text string) error {
		name, value, ok := strings.Cut(text, ": ")
		if !ok {
			return errors.New("want Name: value")
		}
		header.Set(name, value)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if *rate <= 0 || *long <= 0 || *connections <= 0 {
		return plan{}, errors.New("the rate, the time and the connections must be positive")
	}
	to, err := url.Parse(*target)
	if err != nil {
		return plan{}, err
	}
	content, err := os.ReadFile(*body)
	if err != nil {
		return plan{}, err
	}
	return plan{
		address: to.Host, request: post(to, header, content), connections: *connections,
		due: arrivals.Poisson(*rate, *long, *seed), patience: 10 * time.Second,
	}, nil
}

// post is a request as it is sent.
func post(to *url.URL, header http.Header, body []byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", to.RequestURI(), to.Host, len(body))
	_ = header.Write(&b) // a builder takes everything
	return []byte(b.String() + "\r\n" + string(body))
}
