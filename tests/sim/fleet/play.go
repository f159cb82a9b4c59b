package fleet

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/console"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/script"
	"spillway/tests/sim/tally"
)

// Outcome is what a schedule came to.
type Outcome struct {
	Schedule Schedule
	Tally    tally.Counts

	history  *history
	origin   time.Time // the beginning of the bubble
	statuses []status  // of all that lived to the end, before they gave back
	rows     []store.Row
	operated int64 // calls to the table
	crashed  map[int]time.Time
	heard    map[int]int64 // answers of the table after all faults had ended, by instance
}

// status is what an instance says of itself.
type status struct {
	instance int
	at       time.Time
	console.Status
}

// play is a schedule being played.
type play struct {
	schedule  *Schedule
	tamper    *Tamper
	yaml      string
	history   *history
	origin    time.Time
	servers   []*azureopenai.Server
	byHost    map[string]int
	transport http.RoundTripper
	faulty    *faultstore.Store
	table     store.Store // what links lead to

	operations atomic.Int64
	users      sync.WaitGroup // and all that happens to instances

	mu        sync.Mutex
	instances []*instance // guarded by mu, as all below
	tally     tally.Counts
	crashed   map[int]time.Time
}

// fired counts a fault.
func (p *play) fired(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally[kind]++
}

// Play plays a schedule in a bubble of its own. A goroutine that is left over at
// the end panics there.
func Play(t *testing.T, s Schedule, tamper Tamper) *Outcome {
	t.Helper()
	out := &Outcome{Schedule: s}
	script.Counter() // outside of the bubble: it is shared
	synctest.Test(t, func(t *testing.T) { out.play(t, tamper) })
	return out
}

func (out *Outcome) play(t *testing.T, tamper Tamper) {
	s := &out.Schedule
	p := &play{
		schedule: s, tamper: &tamper, yaml: s.yaml(max(tamper.Factor, 1)), history: newHistory(), origin: time.Now(),
		byHost: make(map[string]int), tally: tally.Counts{}, crashed: make(map[int]time.Time),
	}
	hosts := make(map[string]*azureopenai.Server)
	for i := range s.Backends {
		p.servers = append(p.servers, s.Backends[i].server(i, s.Seed))
		p.byHost[host(i)] = i
		hosts[host(i)] = p.servers[i]
	}
	p.transport = azureopenai.Hosts(hosts)
	kept := memory.New()
	var err error
	p.faulty, err = faultstore.New(&archive{Store: kept, history: p.history}, faultstore.Options{
		Seed: s.Seed, Delay: s.Delay, Late: [2]time.Duration{time.Millisecond, 3 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.table = p.faulty

	p.run(t)
	<-time.After(time.Until(p.origin.Add(s.Audit + time.Minute - lastWord)))
	for _, i := range p.alive() {
		out.statuses = append(out.statuses, p.status(i))
	}
	p.retire()
	p.faulty.Wait()
	out.rows = rows(kept)
	out.history, out.origin, out.operated, out.crashed = p.history, p.origin, p.operations.Load(), p.crashed
	out.heard = make(map[int]int64)
	for _, i := range p.instances {
		i.mu.Lock() // a wrong world may still be asking the table
		out.heard[i.index] = i.heard
		i.mu.Unlock()
	}
	p.collect()
	p.count()
	out.Tally = p.tally
}

// run lets everything happen that the schedule holds, and returns when all
// requests have ended.
func (p *play) run(t *testing.T) {
	s := p.schedule
	at := func(when time.Duration, do func()) {
		p.users.Go(func() {
			if d := time.Until(p.origin.Add(when)); d > 0 {
				<-time.After(d)
			}
			do()
		})
	}
	for index := range s.Instances {
		it := &s.Instances[index]
		if it.Storm {
			p.fired(kindStorm)
		}
		if it.Skew != 0 {
			p.fired(kindSkew)
		}
		if it.Born == 0 {
			p.start(t, index)
			continue
		}
		at(it.Born, func() { p.start(t, index) })
	}
	for index := range s.Instances {
		if it := &s.Instances[index]; it.Fate != Lives {
			at(it.At, func() { p.doom(index) })
		}
	}
	for _, f := range s.Table {
		at(f.From, p.tableFaults)
		at(f.To, p.tableFaults)
	}
	for _, trouble := range s.Troubles {
		at(trouble.At, func() { p.servers[trouble.Backend].Inject(trouble.Fault) })
	}
	at(s.Stop, func() {
		for _, server := range p.servers {
			server.Clear()
		}
	})
	for _, tick := range s.Ticks {
		at(tick.At, func() { p.tick(tick) })
	}
	for i := range s.Requests {
		at(s.Requests[i].At, func() { p.send(&request{Request: s.Requests[i]}) })
	}
	p.users.Wait()
}

// doom lets an instance's fate come.
func (p *play) doom(index int) {
	i := p.find(index)
	if i == nil {
		return
	}
	switch it := &p.schedule.Instances[index]; it.Fate {
	case Crashes:
		if index%2 == 0 {
			i.busy(p.schedule.Stop)
		}
		i.crash()
	case Freezes:
		i.freeze(it.For)
	case Terminates:
		i.busy(p.schedule.Stop)
		i.terminate()
	}
}

// busy waits until the instance has a request inside, for a few seconds at most:
// most of the time it has none.
func (i *instance) busy(end time.Duration) {
	for range 500 {
		i.mu.Lock()
		inside := i.inside
		i.mu.Unlock()
		if inside > 0 || time.Since(i.play.origin) > end-time.Second {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// crashes notes when an instance crashed.
func (p *play) crashes(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crashed[index] = time.Now()
}

func (p *play) find(index int) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.instances {
		if i.index == index {
			return i
		}
	}
	return nil
}

// tableFaults sets the table's faults as the schedule has them now.
func (p *play) tableFaults() {
	now := time.Since(p.origin)
	rates := make(map[faultstore.Fault]float64)
	down, readOnly, writeOnly := false, false, false
	for _, f := range p.schedule.Table {
		if now < f.From || now >= f.To || f.Date != 0 {
			continue
		}
		switch f.Kind {
		case faultstore.Outage:
			down = true
		case faultstore.WriteRefused:
			readOnly = true
		case faultstore.ReadRefused:
			writeOnly = true
		default:
			rates[f.Kind] = min(rates[f.Kind]+f.Rate, 1)
		}
	}
	p.faulty.SetOutage(down)
	p.faulty.SetReadOnly(readOnly)
	p.faulty.SetWriteOnly(writeOnly)
	if err := p.faulty.SetRates(rates); err != nil {
		panic(err) // They are at most 0.15 each, and at most six at once.
	}
}

// dateOff is by how much the table's Date is false now.
func (p *play) dateOff() time.Duration {
	now := time.Since(p.origin)
	for _, f := range p.schedule.Table {
		if f.Date != 0 && now >= f.From && now < f.To {
			return f.Date
		}
	}
	return 0
}

// choose is the load balancer: it knows who serves, and not who is frozen.
func (p *play) choose(r *request) *instance {
	alive := p.alive()
	for len(alive) > 0 {
		k := int(r.Pick % uint64(len(alive)))
		i := alive[k]
		i.mu.Lock()
		if i.serving {
			i.open.Add(1)
			i.inside++
			i.mu.Unlock()
			return i
		}
		i.mu.Unlock()
		alive = append(alive[:k], alive[k+1:]...)
	}
	return nil
}

// alive are the instances that serve, by index.
func (p *play) alive() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	alive := make([]*instance, 0, len(p.instances))
	for index := range p.schedule.Instances {
		for _, i := range p.instances {
			if i.index != index {
				continue
			}
			i.mu.Lock()
			if i.serving {
				alive = append(alive, i)
			}
			i.mu.Unlock()
		}
	}
	return alive
}

// tick is one moment of the timer.
func (p *play) tick(t Tick) {
	alive := p.alive()
	if len(alive) == 0 || p.tamper.NoTimer {
		return
	}
	chosen := alive[t.Pick%uint64(len(alive))]
	switch t.Kind {
	case Skipped:
		p.fired(kindSkipped)
	case Doubled:
		p.fired(kindDoubled)
		chosen.tend()
		chosen.tend()
	case Overlapping:
		p.fired(kindOverlapping)
		var all sync.WaitGroup
		for _, i := range alive[:min(len(alive), 3)] {
			all.Go(i.tend)
		}
		all.Wait()
	case Once:
		chosen.tend()
	}
}

// tend runs the timer on the instance.
func (i *instance) tend() {
	if i.pass() == nil {
		i.rig.Maintain(i.ctx)
	}
}

// status is what an instance says of itself.
func (p *play) status(i *instance) status {
	w := httptest.NewRecorder()
	in := httptest.NewRequest(http.MethodGet, "/spillway/status", nil)
	in.Header.Set("Api-Key", adminKey)
	i.rig.ServeHTTP(w, in)
	said := status{instance: i.index, at: time.Now()}
	if err := json.Unmarshal(w.Body.Bytes(), &said.Status); err != nil {
		panic(err) // The console answers in JSON.
	}
	return said
}

// retire ends all instances, one after another, and each gives back what it
// holds.
func (p *play) retire() {
	for _, i := range p.alive() {
		i.mu.Lock()
		i.serving = false
		i.mu.Unlock()
		i.end()
	}
}

// rows are the rows of all limits.
func rows(kept *memory.Store) []store.Row {
	var all []store.Row
	for row, err := range kept.Query(context.Background(), store.Filter{Prefix: "quota!"}) {
		if err != nil {
			panic(err) // Memory does not fail.
		}
		all = append(all, row)
	}
	return all
}
