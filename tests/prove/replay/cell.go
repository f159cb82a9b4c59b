package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/pause"
	"spillway/tests/prove/judge"
)

// cell is one contender in one scenario, with backends of its own.
type cell struct {
	scenario  Scenario
	contender Contender
	options   Options
	progress  *Progress
	recorder  *recorder
	network   Network
	backends  map[string]*azureopenai.Server
	client    http.Client
	url       string                // where users send their requests
	end       func(context.Context) // of the gateway
}

// newCell starts the backends and the gateway.
func newCell(ctx context.Context, s Scenario, c Contender, o Options, p *Progress) (*cell, error) {
	made := &cell{scenario: s, contender: c, options: o, progress: p, recorder: newRecorder(),
		network: o.Network(), backends: make(map[string]*azureopenai.Server), end: func(context.Context) {}}
	made.client.Transport = made.network.Transport()
	if err := made.start(ctx); err != nil {
		made.close()
		return nil, err
	}
	return made, nil
}

// close ends the gateway, and then what it stood between. What fails to end has
// no part in the outcome.
func (c *cell) close() {
	c.end(context.Background())
	_ = c.network.Close()
}

func (c *cell) start(ctx context.Context) error {
	place := site{urls: make(map[string]string)}
	hosts := make(map[string]string)
	for _, name := range append([]string{ptu}, payg...) {
		limit := int64(PAYGLimit)
		if name == ptu {
			limit = Limit
		}
		c.backends[name] = newBackend(name, limit, c.options.Seed)
		base, err := c.network.Backend(name, c.backends[name])
		if err != nil {
			return err
		}
		parsed, err := url.Parse(base)
		if err != nil {
			return err
		}
		place.urls[name], hosts[parsed.Host] = base, name
	}
	place.transport = &departures{recorder: c.recorder, names: hosts, next: c.network.Transport()}
	gateway, end, err := c.contender.open(ctx, place)
	if err != nil {
		return err
	}
	c.end = end
	base, err := c.network.Gateway(c.recorder.before(gateway))
	c.url = base + "/openai/deployments/" + model + "/chat/completions?api-version=2024-10-21"
	return err
}

// newBackend is a resource whose answers are shorter than the requests allow:
// its limiter charges the maximum all the same.
func newBackend(name string, limit int64, seed uint64) *azureopenai.Server {
	const mean = (Fastest + Slowest) / 2
	return azureopenai.New(azureopenai.Options{
		Name:        name,
		Deployments: []azureopenai.Deployment{{Name: model, TokensPerMinute: limit}},
		Latency:     azureopenai.Latency{FirstByte: mean, Jitter: float64(Slowest-mean) / float64(mean)},
		Output:      azureopenai.Output{Mean: 60, Spread: 0.5},
		Seed:        seed,
		// All of them: the judge reads them.
		RecordRequests: 1 << 20,
		RecordBytes:    1 << 30,
	})
}

// run lets the users send requests from start to end, and waits for the last
// answer.
func (c *cell) run(ctx context.Context, start, end time.Time) error {
	if err := pause.For(ctx, time.Until(start)); err != nil {
		return err
	}
	var users sync.WaitGroup
	for i := range c.scenario.Users {
		users.Go(func() { c.user(ctx, i, end) })
	}
	users.Wait()
	return ctx.Err()
}

// user sends one request after another until end.
func (c *cell) user(ctx context.Context, n int, end time.Time) {
	for r := range c.scenario.requests(n, c.options.Seed) {
		started := time.Now()
		if !started.Before(end) || ctx.Err() != nil {
			return
		}
		c.recorder.note(r.id, func(j *judge.Journey) { j.Charge, j.Started = r.charge, started })
		status := c.send(ctx, r)
		c.recorder.note(r.id, func(j *judge.Journey) { j.Status, j.Ended = status, time.Now() })
		c.progress.requests.Add(1)
		if status == http.StatusOK {
			continue
		}
		if status == http.StatusTooManyRequests {
			c.progress.tooMany[c.contender.Kind].Add(1)
		}
		if pause.For(ctx, Pause) != nil {
			return
		}
	}
}

// send returns the status of the answer, 0 if there was no whole one.
func (c *cell) send(ctx context.Context, r request) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(r.body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(idHeader, r.id)
	answer, err := c.client.Do(req)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0
	}
	return answer.StatusCode
}

// evidence is what was recorded from start on.
func (c *cell) evidence(start time.Time) (judge.Evidence, error) {
	e := judge.Evidence{PTU: ptu, Limit: Limit, Reserve: c.contender.SpillBelow, Start: start, Windows: c.options.Windows,
		Journeys: c.recorder.all(), Charged: c.backends[ptu].Stats()[model].TokensCharged}
	for _, b := range c.backends {
		e.Rejected429 += b.Stats()[model].Rejected429
	}
	var err error
	e.Bookings, err = bookings(c.backends[ptu])
	return e, err
}

// bookings are a backend's books: when each request arrived, and when it had
// been decided.
func bookings(s *azureopenai.Server) ([]judge.Booking, error) {
	arrived := make(map[int64]azureopenai.Recorded)
	for _, r := range s.Requests() {
		arrived[r.Number] = r
	}
	var all []judge.Booking
	for _, e := range s.Events() {
		if e.Kind != azureopenai.EventAccepted && e.Kind != azureopenai.EventRejected {
			continue
		}
		r, ok := arrived[e.Request]
		if !ok || r.Header.Get(idHeader) == "" {
			return nil, fmt.Errorf("request %d of %s is not recorded, or has lost its name", e.Request, s.Name())
		}
		all = append(all, judge.Booking{ID: r.Header.Get(idHeader), Charge: e.Charge, Arrived: r.Time, Noted: e.Time,
			Accepted: e.Kind == azureopenai.EventAccepted})
	}
	return all, nil
}

// Progress counts what has happened so far in all cells. It is safe for
// concurrent use.
type Progress struct {
	requests atomic.Int64
	tooMany  map[Kind]*atomic.Int64
}

// NewProgress starts at zero.
func NewProgress() *Progress {
	return &Progress{tooMany: map[Kind]*atomic.Int64{Spillway: new(atomic.Int64), PostPaid: new(atomic.Int64)}}
}

// Requests is the number of requests that have ended.
func (p *Progress) Requests() int64 { return p.requests.Load() }

// TooMany is how many 429s the users of one kind of gateway have got.
func (p *Progress) TooMany(k Kind) int64 { return p.tooMany[k].Load() }
