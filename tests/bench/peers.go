package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/wrk"
	"spillway/tests/fakes/azurite"
)

// peers compares what a short request costs with what it costs elsewhere.
type peers struct {
	*traffic
	rounds int
	each   time.Duration
}

func (peers) name() string { return "peers" }

func (peers) about() string {
	return "processor time of a short request, everything on, against ReverseProxy, nginx and other gateways"
}

// How much processor time a short request may take, as a multiple of what it takes with
// httputil.ReverseProxy, in the long run, and with nginx.
const (
	proxyFurther = 0.6
	nginxBound   = 2.5
)

// slower is how many times as long LiteLLM's turns are: it answers too few requests in one as
// short as others', fewer than a hundred a second where the machine is slow.
const slower = 3

// inTables is a Spillway that keeps its state in a table service.
const inTables = "Spillway, state in Azurite"

func (p peers) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := p.static(ctx, p.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := p.entries(ctx, folder, upstream, direct, nginx, reverseProxy, spillway)
	connection, stop, err := table(ctx)
	defer stop()
	if err == nil {
		contender, err := stand.StartSpillway(ctx, folder, p.tools.spillway, upstream, stand.Settings{Connection: connection})
		entries = append(entries, enter(inTables, contender, err))
	} else {
		entries = append(entries, enter(inTables, nil, err))
	}
	entries = append(entries, p.entries(ctx, folder, upstream, portkey)...)
	if p.withLiteLLM {
		entries = append(entries, p.entries(ctx, folder, upstream, litellm)...)
	}
	defer stopAll(entries)
	const connections = 16
	c := play(ctx, progress, entries, p.rounds, func(ctx context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
		long := p.each
		if c.Name == litellm {
			long *= slower
		}
		t, err := upstream.Requests(ctx, c, p.tools.wrk, wrk.Load{Body: stand.Short, Connections: connections, For: long})
		return t, load.Rules{}, err
	})
	r := peersResult(&c)
	r.Title = fmt.Sprintf("%d bytes of JSON, answered with 276; %d connections, each asks again when it is answered; %d rounds of %v, in turns, %v for LiteLLM.\nSpillway as by default: keys, limits of consumers and deployments, breakers, ledger, prices, metrics, log",
		len(stand.Short), connections, p.rounds, p.each, slower*p.each)
	return r, nil
}

// peersResult judges what was seen.
func peersResult(c *contest) report.Result {
	r := c.table("", []column{perRequest, rate, median, p99}, reverseProxy)
	ofProxy, ok := c.ratio(spillway, reverseProxy, load.Turn.PerRequest)
	ofNginx, okNginx := c.ratio(spillway, nginx, load.Turn.PerRequest)
	ofPortkey, okPortkey := c.ratio(portkey, spillway, load.Turn.PerRequest)
	least := report.AtLeast("processor time of a request at @portkey-ai/gateway, as a multiple of Spillway's", ofPortkey, 10, tenths)
	if !okPortkey {
		least.Void, least.Got, least.Reached = true, "not measured", false
	}
	r.Goals = []report.Goal{
		goal("processor time of a short request, as a multiple of httputil.ReverseProxy's", ofProxy, ok, 1, hundredths),
		goal("the same, further on", ofProxy, ok, proxyFurther, hundredths),
		goal("processor time of a short request, as a multiple of nginx's", ofNginx, okNginx, nginxBound, hundredths),
		least,
	}
	return r
}

// table runs a table service until stop is called.
func table(ctx context.Context) (connection string, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	ready, failed := make(chan string, 1), make(chan error, 1)
	first, err := freePorts()
	if err != nil {
		return "", cancel, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed <- azurite.Serve(ctx, first, func(connection string) { ready <- connection })
	}()
	stop = func() {
		cancel()
		<-ended
	}
	select {
	case connection = <-ready:
		return connection, stop, nil
	case err = <-failed:
		return "", stop, fmt.Errorf("azurite: %w", err)
	}
}

// freePorts is the first of three ports that nobody listens on.
func freePorts() (int, error) {
	for port := 20_000; port < 30_000; port += 3 {
		free := true
		for i := range 3 {
			listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			_ = listener.Close()
		}
		if free {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no three ports in a row are free")
}
