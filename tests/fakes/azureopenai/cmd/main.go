// Command azureopenai runs the simulated Azure OpenAI resource on a socket.
//
//	go run ./tests/fakes/azureopenai/cmd --listen 127.0.0.1:9001 --name ptu --deployment gpt-4o --tpm 10000
//
// Faults, counters and recorded requests are reached over HTTP below /_fake/.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"spillway/tests/fakes/azureopenai"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "azureopenai:", err)
		os.Exit(1)
	}
}

// run serves until it is interrupted.
func run(args []string) error {
	options, listen, err := parse(args)
	if err != nil {
		return err
	}
	server := azureopenai.New(options)
	listener, err := server.Listen(listen)
	if err != nil {
		return err
	}
	fmt.Printf("%s listening on %s\n", options.Name, listener.URL)
	for _, d := range options.Deployments {
		fmt.Printf("  deployment %s: %s, %d tokens and %d requests per minute\n", d.Name, d.Limiter, d.TokensPerMinute, d.RequestsPerMinute)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return listener.Close()
}

const usage = `A simulated Azure OpenAI resource.

usage: azureopenai [flags]

  azureopenai --listen 127.0.0.1:9001 --name ptu --deployment gpt-4o --tpm 10000
  azureopenai --deployment gpt-4o:tpm=10000,rpm=60 --deployment gpt-4o-mini:mode=sliding,tpm=50000

A deployment is NAME[:key=value,…] with the keys model, tpm, rpm, mode, phase,
burst and context; what is absent is taken from the flags. Remote control:
POST/GET/DELETE /_fake/faults, GET /_fake/stats, /_fake/requests, /_fake/events,
POST /_fake/advance?id=ID.

`

// parse reads the command line.
func parse(args []string) (azureopenai.Options, string, error) {
	var o azureopenai.Options
	var named []string
	base := azureopenai.Deployment{Limiter: azureopenai.Fixed}
	flags := flag.NewFlagSet("azureopenai", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	flags.StringVar(&o.Name, "name", "azureopenai", "name of the resource")
	flags.StringVar(&o.Region, "region", "", "region sent as x-ms-region (default East US)")
	flags.StringVar(&o.Key, "key", "", "key asked for in api-key or Authorization (empty: none)")
	flags.Func("deployment", "a deployment, repeatable (default gpt-4o)", func(s string) error { named = append(named, s); return nil })
	flags.StringVar(&base.Model, "model", "", "model of the deployments (default: the deployment's name)")
	flags.Int64Var(&base.TokensPerMinute, "tpm", 0, "tokens per minute, or PTU capacity (0: no limit)")
	flags.Int64Var(&base.RequestsPerMinute, "rpm", 0, "requests per minute (0: no limit)")
	flags.StringVar((*string)(&base.Limiter), "mode", string(base.Limiter), "limiter: fixed, sliding or ptu")
	flags.DurationVar(&base.Phase, "phase", 0, "offset of fixed windows from the full minute")
	flags.DurationVar(&base.RequestWindow, "request-window", 0, "slice in which requests are counted (default 10s)")
	flags.DurationVar(&base.Burst, "burst", 0, "PTU: size of the bucket in time (default 1m0s)")
	flags.Int64Var(&base.ContextTokens, "context", 0, "context length in tokens (0: not checked)")
	flags.DurationVar(&o.Latency.FirstByte, "first-byte", 0, "time to the first token")
	flags.DurationVar(&o.Latency.PerToken, "per-token", 0, "time per token")
	flags.Float64Var(&o.Latency.Jitter, "jitter", 0, "fraction by which times vary, in [0, 1)")
	flags.Int64Var(&o.Output.Exact, "output", 0, "exact length of answers in tokens (0: drawn)")
	flags.BoolVar(&o.Output.Fill, "output-fill", false, "answers are as long as the request's maximum")
	flags.Int64Var(&o.Output.Mean, "output-mean", 0, "median length of answers (default 200)")
	flags.Float64Var(&o.Output.Spread, "output-spread", 0, "sigma of the log-normal lengths")
	flags.Int64Var(&o.Output.Reasoning, "reasoning", 0, "hidden tokens before the text")
	flags.Int64Var(&o.Output.ChunkTokens, "chunk", 0, "tokens per stream event (default 1)")
	flags.Int64Var(&o.Output.Bytes, "bytes", 0, "size of pictures and sounds (default: small)")
	flags.Uint64Var(&o.Seed, "seed", 0, "seed of all random choices")
	headerFlags(flags, &o)
	laterFlags(flags, &o)
	if err := flags.Parse(args); err != nil {
		return o, "", err
	}
	if flags.NArg() > 0 {
		return o, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(named) == 0 {
		named = []string{"gpt-4o"}
	}
	for _, text := range named {
		d, err := deployment(base, text)
		if err != nil {
			return o, "", err
		}
		o.Deployments = append(o.Deployments, d)
	}
	return o, *listen, o.Validate()
}

// headerFlags are those of what is in headers and refused requests.
func headerFlags(flags *flag.FlagSet, o *azureopenai.Options) {
	flags.StringVar((*string)(&o.Retry), "retry", "", "form of retry-after: int, float, date, 6s, 1m0s, ms, 86400, negative, garbage, none")
	flags.StringVar((*string)(&o.Headers.Limit), "header-limit", "", "x-ratelimit-limit-*: none, -1, 0")
	flags.StringVar((*string)(&o.Headers.Remaining), "header-remaining", "", "x-ratelimit-remaining-*: none, -1, 0")
	flags.StringVar((*string)(&o.Headers.Reset), "header-reset", "", "x-ratelimit-reset-*: none, seconds, duration, -1, 0")
	flags.StringVar(&o.FilterWord, "filter-word", "", "text that trips the content filter")
	flags.IntVar(&o.RecordRequests, "record", 0, "requests kept for /_fake/requests (default 1000; negative: none)")
}

// laterFlags are those of work that goes on after its request, and of time.
func laterFlags(flags *flag.FlagSet, o *azureopenai.Options) {
	flags.DurationVar(&o.Background.Queued, "background-queued", 0, "time that a background response is queued")
	flags.DurationVar(&o.Background.Running, "background-running", 0, "time until it is completed then")
	flags.BoolVar(&o.Background.Manual, "background-manual", false, "background responses go on by /_fake/advance alone")
	flags.DurationVar(&o.Batches.Queued, "batch-validating", 0, "time that a batch is validated")
	flags.DurationVar(&o.Batches.Running, "batch-running", 0, "time until it is completed then")
	flags.BoolVar(&o.Batches.Manual, "batch-manual", false, "batches go on by /_fake/advance alone")
	flags.Func("dated", "time of all answers, like 2026-01-02T03:04:05Z; they depend on what is asked alone then", func(s string) (err error) {
		o.Dated, err = time.Parse(time.RFC3339, s)
		return err
	})
}

// deployment reads NAME[:key=value,…].
func deployment(d azureopenai.Deployment, text string) (azureopenai.Deployment, error) {
	name, settings, _ := strings.Cut(text, ":")
	d.Name = name
	for _, setting := range strings.FieldsFunc(settings, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(setting, "=")
		var err error
		switch key {
		case "model":
			d.Model = value
		case "tpm":
			d.TokensPerMinute, err = strconv.ParseInt(value, 10, 64)
		case "rpm":
			d.RequestsPerMinute, err = strconv.ParseInt(value, 10, 64)
		case "mode":
			d.Limiter = azureopenai.Limiter(value)
		case "phase":
			d.Phase, err = time.ParseDuration(value)
		case "burst":
			d.Burst, err = time.ParseDuration(value)
		case "context":
			d.ContextTokens, err = strconv.ParseInt(value, 10, 64)
		default:
			err = errors.New("unknown key; known: model, tpm, rpm, mode, phase, burst, context")
		}
		if err != nil {
			return d, fmt.Errorf("deployment %q: %s: %w", text, setting, err)
		}
	}
	return d, nil
}
