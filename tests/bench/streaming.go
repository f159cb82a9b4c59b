package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/streams/seen"
)

// streaming measures what the events of streams cost and how soon the first one comes.
type streaming struct {
	*traffic
	rounds, streams int
}

func (streaming) name() string { return "streams" }

func (streaming) about() string {
	return "streams of 200 events, one in 20 ms: processor time per event, time to the first one"
}

// streamed asks for a stream, without its usage.
var streamed = []byte(`{"model":"gpt-4o","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"Hello, who are you?"}]}`)

const (
	streamEvents = 200
	streamEvery  = 20 * time.Millisecond
)

func (s streaming) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := s.reading(ctx, s.name(), progress, "--events", fmt.Sprint(streamEvents), "--every", streamEvery.String())
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := s.entries(ctx, folder, upstream, direct, nginx, reverseProxy, spillway, portkey)
	defer stopAll(entries)
	c := play(ctx, progress, entries, s.rounds, func(ctx context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
		t, err := s.turn(ctx, folder, upstream, c)
		return t, load.Rules{Attempts: 1.0 / (streamEvents + 1)}, err
	})
	r := streamsResult(&c)
	r.Title = fmt.Sprintf("%d streams at a time, each of %d events, one in %v, opened within half a second; %d rounds, in turns", s.streams, streamEvents, streamEvery, s.rounds)
	return r, nil
}

// turn lets all streams run once. What a turn calls a request is an event here, and its
// times are those to the first event.
func (s streaming) turn(ctx context.Context, folder string, u *stand.Upstream, c *stand.Contender) (load.Turn, error) {
	return u.Measure(ctx, c, func(ctx context.Context) (load.Turn, error) {
		g, err := s.opens(ctx, folder, c, s.streams, time.Second/2)
		if err != nil {
			return load.Turn{}, err
		}
		got, err := ended[seen.Seen](g)
		if err == nil && got.Errors > 0 {
			err = fmt.Errorf("%d of %d streams did not end well: %s", got.Errors, got.Streams, got.Why)
		}
		return streamsTurn(got, g.processor()), err
	})
}

// streamsTurn is what was seen as a turn: an event that is missing is an error.
func streamsTurn(got seen.Seen, processor time.Duration) load.Turn {
	want := int64(got.Streams) * (streamEvents + 1) // the last one says why it has ended
	return load.Turn{
		Requests: got.Events, Errors: max(want-got.Events, got.Events-want), Seconds: got.Seconds, Connections: got.Streams,
		Median: got.Median, P99: got.P99, Generator: processor,
	}
}

// streamsResult judges what was seen.
func streamsResult(c *contest) report.Result {
	perEvent, events, first, latest := perRequest, rate, median, p99
	perEvent.head, events.head, first.head, latest.head = "processor time per event", "events/s", "time to the first, median", "p99"
	r := c.table("", []column{perEvent, events, first, latest}, reverseProxy)
	added, ok := c.added(spillway, direct, median.figure)
	ratio, okRatio := c.ratio(spillway, reverseProxy, load.Turn.PerRequest)
	r.Goals = []report.Goal{
		goal("time to the first event of a stream, more than without anybody between, median", added, ok, 0.001, median.unit),
		goal("processor time of an event, as a multiple of httputil.ReverseProxy's", ratio, okRatio, 1, hundredths),
	}
	return r
}

// opens begins to open so many streams on a contender. The generator says "open" when all
// have their first event, or have failed.
func (t *traffic) opens(ctx context.Context, folder string, c *stand.Contender, count int, over time.Duration) (*generator, error) {
	return generate(ctx, t.tools.streams, folder, c, streamed, "--count", strconv.Itoa(count), "--over", over.String())
}
