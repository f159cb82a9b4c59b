package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/rig"
	"spillway/tests/sim/script"
)

// Defect bends the gateway in a way that the judge must see. The zero value
// bends nothing.
type Defect struct {
	Schedule  func(*Schedule)                           // what the configuration says
	Transport func(http.RoundTripper) http.RoundTripper // what is sent, behind the judge's back
	Handler   func(http.Handler) http.Handler           // what the client gets
	Record    func(*usage.Record) []usage.Record        // what is recorded
}

// Outcome is what a schedule came to.
type Outcome struct {
	Schedule Schedule
	history  *history
	status   console.Status
	ended    time.Time // when status was asked for
	stats    []azureopenai.Stats
	store    map[faultstore.Fault]int64
}

// stage is a schedule being played.
type stage struct {
	schedule *Schedule
	history  *history
	servers  []*azureopenai.Server
	handler  http.Handler
	began    time.Time
	users    sync.WaitGroup

	refusals atomic.Int64 // of the pool, so far
	silent   atomic.Bool  // nobody sends anything more
}

// Play plays a schedule in a bubble of its own. A goroutine that is left over
// at the end panics there.
func Play(t *testing.T, s Schedule, defect Defect) *Outcome {
	t.Helper()
	if defect.Schedule != nil {
		defect.Schedule(&s)
	}
	out := &Outcome{Schedule: s}
	script.Counter() // outside of the bubble: it is shared
	synctest.Test(t, func(t *testing.T) {
		out.play(t, defect)
	})
	return out
}

func (out *Outcome) play(t *testing.T, defect Defect) {
	s := &out.Schedule
	out.history = newHistory()
	p := &stage{schedule: s, history: out.history, began: time.Now().Add(s.Start)}
	members := make(map[string]int)
	hosts := make(map[string]*azureopenai.Server)
	for i := range s.Members {
		p.servers = append(p.servers, s.Members[i].server(i, s.Seed))
		members[host(i)] = i
		hosts[host(i)] = p.servers[i]
	}
	transport := http.RoundTripper(&doors{history: p.history, members: members, inner: azureopenai.Hosts(hosts)})
	if defect.Transport != nil {
		transport = defect.Transport(transport)
	}
	faulty, kept := p.store()
	gateway := start(t, s.yaml(), app.Options{
		Instance:  "sim",
		Store:     kept,
		Transport: transport,
		Counter:   script.Counter(),
		Random:    script.Dice(s.Seed),
		Observe: func(r *usage.Record) {
			records := []usage.Record{*r}
			if defect.Record != nil {
				records = defect.Record(r)
			}
			for i := range records {
				p.history.record(&records[i])
			}
		},
	})
	p.handler = gateway
	if defect.Handler != nil {
		p.handler = defect.Handler(gateway)
	}

	p.run(faulty)
	out.status, out.ended = p.status(gateway), time.Now()
	gateway.Close(context.Background())
	if faulty != nil {
		faulty.Wait()
		out.store = make(map[faultstore.Fault]int64)
		for _, f := range faultstore.All() {
			out.store[f] = faulty.Count(f)
		}
	}
	<-time.After(background)
	p.collect(out)
}

// background is longer than anything that a gateway does by itself may last
// after the last request: what is left over then has leaked.
const background = 10 * time.Second

func start(t *testing.T, yaml string, o app.Options) *app.App {
	cfg, err := config.Parse("gateway.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatalf("the schedule's configuration is wrong:\n%v\n%s", err, yaml)
	}
	gateway, err := app.New(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return gateway
}

// store is what the gateway gets for a store, and the part of it that fails.
func (p *stage) store() (*faultstore.Store, store.Store) {
	inner := memory.New()
	if p.schedule.Store == nil {
		return nil, inner
	}
	faulty, err := faultstore.New(inner, faultstore.Options{
		Seed:  p.schedule.Seed,
		Rates: p.schedule.Store,
		Delay: [2]time.Duration{time.Millisecond, 300 * time.Millisecond},
		Late:  [2]time.Duration{time.Millisecond, 2 * time.Second},
	})
	if err != nil {
		panic(err) // The rates were drawn within their bounds.
	}
	return faulty, &archive{Store: faulty, inner: inner, history: p.history}
}

// run lets the users and the troubles come, and returns when all have ended.
func (p *stage) run(faulty *faultstore.Store) {
	s := p.schedule
	var timers []*time.Timer
	after := func(d time.Duration, do func()) {
		timers = append(timers, time.AfterFunc(time.Until(p.began)+d, do))
	}
	for _, trouble := range s.Troubles {
		after(trouble.At, func() {
			if !p.silent.Load() {
				p.servers[trouble.Member].Inject(trouble.Fault)
			}
		})
	}
	if faulty != nil {
		for _, span := range []struct {
			Span
			set func(bool)
		}{{s.Outage, faulty.SetOutage}, {s.ReadOnly, faulty.SetReadOnly}} {
			if span.To > 0 {
				after(span.From, func() { span.set(true) })
				after(span.To, func() { span.set(false) })
			}
		}
	}
	for i := range s.Users {
		p.users.Go(func() { p.user(&s.Users[i]) })
	}
	p.users.Wait()
	for _, t := range timers {
		t.Stop()
	}
}

// sleep waits until an offset from the beginning.
func (p *stage) sleep(until time.Duration) {
	if d := time.Until(p.began.Add(until)); d > 0 {
		<-time.After(d)
	}
}

// user sends the calls of one user.
func (p *stage) user(u *User) {
	p.sleep(u.Begin)
	for i := range u.Calls {
		call := &u.Calls[i]
		if !u.Closed {
			p.sleep(call.At)
		}
		if p.silent.Load() || time.Since(p.began) > p.schedule.Length {
			return
		}
		r := &request{consumer: u.Consumer, call: *call}
		if !u.Closed {
			p.users.Go(func() { p.send(r) })
			continue
		}
		p.send(r)
		if r.status == http.StatusOK {
			continue
		}
		pause := u.Haste
		if told, ok := r.waiting(); ok && u.Obeys {
			pause = told + u.Haste%time.Millisecond // no two come back at the same instant
		}
		<-time.After(pause)
	}
}

// waiting is what the client was told to wait, to the millisecond.
func (r *request) waiting() (time.Duration, bool) {
	ms, err := strconv.ParseInt(r.header.Get("retry-after-ms"), 10, 64)
	return time.Duration(ms) * time.Millisecond, err == nil
}

// send makes one call and waits for its end.
func (p *stage) send(r *request) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.history.enter(r)
	in := httptest.NewRequest(http.MethodPost, r.call.path(), strings.NewReader(r.call.body())).WithContext(ctx)
	in.Header = http.Header{"Content-Type": {"application/json"}, "Api-Key": {key(r.consumer)}, headerID: {r.id}}
	if r.call.LeaveAfter > 0 {
		timer := time.AfterFunc(r.call.LeaveAfter, func() {
			p.history.note(&r.left)
			cancel()
		})
		defer timer.Stop()
	}
	r.aborted = rig.Serve(p.handler, &client{stage: p, request: r, header: http.Header{}}, in)
	p.history.note(&r.done)
}

// client is a client's end of a connection.
type client struct {
	stage   *stage
	request *request
	header  http.Header
}

func (c *client) Header() http.Header { return c.header }

// WriteHeader notes the status. At a refusal it asks every backend whether it
// would have taken the request.
func (c *client) WriteHeader(status int) {
	r, p := c.request, c.stage
	r.status, r.header = status, maps.Clone(c.header)
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return
	}
	p.history.note(&r.refused)
	charge := r.call.charge()
	for _, s := range p.servers {
		r.room = append(r.room, s.Fits(deploymentName, charge, r.refused.at))
	}
}

func (c *client) Write(b []byte) (int, error) {
	r := c.request
	if r.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	if r.status < 400 {
		return len(b), nil
	}
	r.body = append(r.body, b...)
	if r.refusedByPool() && c.stage.refusals.Add(1) == int64(c.stage.schedule.Probe) {
		c.stage.silent.Store(true)
		c.stage.users.Go(func() { c.stage.askAgain(r) })
	}
	return len(b), nil
}

func (c *client) Flush() {}

// refusedByPool tells a 429 for want of a member with room from one of the
// consumer's own limits.
func (r *request) refusedByPool() bool {
	return r.status == http.StatusTooManyRequests &&
		(strings.Contains(string(r.body), "All deployments of") || strings.Contains(string(r.body), "Request too large for"))
}

// askAgain sends a refused request again when its waiting time is over. Nobody
// else asks meanwhile, and nothing more goes wrong.
func (p *stage) askAgain(refused *request) {
	told, ok := refused.waiting()
	if !ok {
		return // Waiting would not help.
	}
	for _, s := range p.servers {
		s.Clear()
	}
	<-time.After(time.Until(refused.refused.at.Add(told)))
	r := &request{consumer: refused.consumer, call: refused.call, probe: true}
	r.call.LeaveAfter = 0
	p.send(r)
}

// status is what the gateway says of itself.
func (p *stage) status(gateway http.Handler) (status console.Status) {
	w := httptest.NewRecorder()
	in := httptest.NewRequest(http.MethodGet, "/spillway/status", nil)
	in.Header.Set("Api-Key", adminKey)
	gateway.ServeHTTP(w, in)
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		panic(fmt.Sprintf("status: %d %s", w.Code, w.Body))
	}
	return status
}

// collect takes the backends' own account of what they did.
func (p *stage) collect(out *Outcome) {
	for i, s := range p.servers {
		out.stats = append(out.stats, s.Stats()[deploymentName])
		by := make(map[int64]*exchange)
		for _, r := range s.Requests() {
			if from := p.history.byID[r.Header.Get(headerID)]; from != nil {
				from.hits = append(from.hits, exchange{member: i, number: r.Number})
			}
		}
		for _, r := range p.history.requests {
			for j := range r.hits {
				if r.hits[j].member == i {
					by[r.hits[j].number] = &r.hits[j]
				}
			}
		}
		for _, e := range s.Events() {
			hit := by[e.Request]
			if hit == nil {
				continue
			}
			hit.generated = max(hit.generated, e.Generated)
			hit.finished = hit.finished || e.Kind == azureopenai.EventFinished
		}
	}
}

var _ http.Flusher = (*client)(nil)
