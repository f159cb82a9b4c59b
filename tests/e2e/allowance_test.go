package e2e_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// allowance is the limit of the consumer of this test, in tokens per minute.
const allowance = 2000

const allowanceConsumers = `
consumers:
  - { name: eager, keys: ["key-of-the-consumer-eager-5c1e"], tokensPerMinute: 2000 }
  - { name: teacher, keys: ["key-of-the-consumer-teacher-5c1e"] }
`

// settling is the time that a gateway may take to settle a request after its client
// has the last byte.
const settling = 100 * time.Millisecond

// spending is a request that was served, from all sides.
type spending struct {
	to                   int
	sent, arrived, ended time.Time
	reserved, used       int64
}

// error is what the request has used beyond what was reserved for it.
func (s spending) error() int64 { return max(0, s.used-s.reserved) }

// Fifty clients of one consumer, before four processes, get its tokens per minute
// and no more, judged by what the backends have delivered. Half of them wait as they
// are told to, the others come back within a second or so.
//
// More than the limit can be used only where a request uses more than was reserved
// for it, which is settled when it ends. Each process spends grants of the shared
// row, whose sum in a window is at most the limit. When a process admits a request
// for the last time in a window, what its requests before have used, plus what is
// reserved for those that are open, is within its grants; afterwards only the open
// ones can still use more than that, each what it uses beyond its reservation. So
// the window holds at most the limit plus the errors of the requests that were open
// at each process when it last admitted one: the last settlements' error.
func TestAllowanceOfAConsumer(t *testing.T) {
	needsFleet(t)
	const clients = 50
	f := startOffice(t, 4, "", allowanceConsumers, azureopenai.Options{
		Latency: azureopenai.Latency{FirstByte: 30 * time.Millisecond, PerToken: time.Millisecond, Jitter: 0.5},
		Output:  azureopenai.Output{Mean: 25, Spread: 1},
	}, map[string]string{"POLICY": "deny"})
	f.teach(t)
	// The window that runs, however much of it is left, and the start of the next.
	began := time.Now()
	last := began.Truncate(time.Minute).Add(time.Minute)
	e := &eager{office: f, end: last.Add(8 * time.Second), times: make(map[int64]spending), ids: make(map[string]int64)}
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() { e.spend(t, client) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	served := f.spendings(t, e.ids, e.times)
	slow := false // a table that is too slow costs capacity, and nothing else
	for _, p := range f.instances {
		slow = slow || len(p.events("store_degraded"))+len(p.events("units_stranded")) > 0
	}
	first, errors := judgeAllowance(t, last.Add(-time.Minute), served)
	second, more := judgeAllowance(t, last, served)
	if used, most := first+second, 2*allowance+errors+more; used > most {
		t.Errorf("%d tokens were used in two windows, more than %d", used, most)
	}
	if first < allowance/2 && !slow && last.Sub(began) > 15*time.Second {
		t.Errorf("only %d of %d tokens were used in the first window", first, allowance)
	}
	t.Logf("%d requests were served, %d refused", len(served), e.refused)
	if e.refused == 0 {
		t.Error("nothing was refused: the run is void")
	}
}

// teach lets each instance learn how long answers are, by requests of a consumer
// without limits: from then on it reserves for an answer without a maximum what they
// take in the mean, so that about half of them take more.
func (f *office) teach(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for i, p := range f.instances {
		awaitReady(t, p)
		all.Go(func() {
			for n := range 100 {
				q := post{tag: tag{Consumer: "teacher", Model: officeModels[n%2], Number: int64(-1 - n), To: i}, words: 1 + n%60}
				if a, err := f.ask(t, p, q); err != nil || a.status != http.StatusOK {
					t.Errorf("status %d, want %d, %v: %s", a.status, http.StatusOK, err, a.body)
				}
			}
		})
	}
	all.Wait()
}

// eager is the clients of the consumer.
type eager struct {
	*office
	end time.Time // when they stop

	mu      sync.Mutex
	times   map[int64]spending // guarded by mu; by the request's number
	ids     map[string]int64   // guarded by mu; by the request's id
	refused int                // guarded by mu
}

// spend is one client, which sends small and large requests, some of them streams
// and some without a maximum.
func (e *eager) spend(t *testing.T, client int) {
	for turn := 0; time.Now().Before(e.end); turn++ {
		to := (client + turn) % len(e.instances)
		q := post{
			tag:   tag{Consumer: "eager", Model: officeModels[turn%2], Number: int64(client*1_000_000 + turn), Sent: time.Now().UnixNano(), To: to},
			words: 1 + (client*7+turn*13)%60, stream: (client+turn)%2 == 0,
		}
		if turn%3 != 0 {
			q.maximum = 10 + (client*11+turn*17)%70
		}
		a, err := e.ask(t, e.instances[to], q)
		wait, failed := strconv.Atoi(a.header.Get("retry-after-ms"))
		switch {
		case err != nil:
			t.Errorf("a client gets no answer: %v", err)
			return
		case a.status == http.StatusOK:
			e.mu.Lock()
			e.ids[a.id()] = q.Number
			e.times[q.Number] = spending{to: to, sent: time.Unix(0, q.Sent), ended: time.Now()}
			e.mu.Unlock()
		case a.status != http.StatusTooManyRequests, failed != nil, wait <= 0, wait > 61_000:
			t.Errorf("status %d, and the client is told to wait for %q ms: %s", a.status, a.header.Get("retry-after-ms"), a.body)
			return
		default:
			e.mu.Lock()
			e.refused++
			e.mu.Unlock()
			pause := time.Duration(wait)*time.Millisecond + 2*usualEdge // it is sent in the window that it is for
			if client%2 == 0 {
				pause = min(pause, time.Duration(300+(client*37+turn*101)%900)*time.Millisecond)
			}
			await.Until(t, time.Now().Add(min(pause, time.Until(e.end))))
		}
	}
}

// spendings joins what the clients, the gateways' logs and the backends know of the
// requests that were served.
func (f *office) spendings(t *testing.T, ids map[string]int64, times map[int64]spending) []spending {
	t.Helper()
	recorded := make(map[int64]int64) // by number, the tokens that were reserved
	await.That(t, "the requests leave their records", func() bool {
		for _, p := range f.instances {
			for _, text := range p.output.Lines() {
				var r struct {
					ID       string `json:"request_id"`
					Reserved int64  `json:"tokens_estimated"`
				}
				if json.Unmarshal([]byte(text), &r) != nil {
					continue
				}
				if n, ok := ids[r.ID]; ok {
					recorded[n] = r.Reserved
				}
			}
		}
		return len(recorded) == len(times)
	})
	for n, s := range times {
		s.reserved = recorded[n]
		times[n] = s
	}
	for _, a := range f.ended() {
		if s, ok := times[a.tag.Number]; ok {
			s.used += a.Prompt + a.Completion
			s.arrived = a.Arrived
			times[a.tag.Number] = s
		}
	}
	var all []spending
	for n, s := range times {
		if s.reserved == 0 || s.used == 0 {
			t.Fatalf("request %d has left no trace: %+v", n, s)
		}
		all = append(all, s)
	}
	return all
}

// judgeAllowance judges one window, and returns what was used in it and the last
// settlements' error. A request that was sent just after the window's start may have
// been reserved in the one before; but it may also be the last that a process admits,
// where the clients' first rush uses the window up.
func judgeAllowance(t *testing.T, start time.Time, served []spending) (all, bound int64) {
	t.Helper()
	end := start.Add(time.Minute)
	var surely, requests int64
	last := make(map[int]spending) // of each process
	for _, s := range served {
		if s.arrived.Before(start) || !s.arrived.Before(end) {
			continue
		}
		all += s.used
		requests++
		if s.arrived.After(last[s.to].arrived) {
			last[s.to] = s
		}
		if !s.sent.Before(start.Add(usualEdge)) {
			surely += s.used
		}
	}
	open := 0
	for _, s := range served {
		l, ok := last[s.to]
		if !ok || s.ended.Add(settling).Before(l.sent) || s.sent.After(l.arrived) || s.ended.Before(start) {
			continue
		}
		bound += s.error()
		open++
	}
	t.Logf("window at %s: %d requests used %d of %d tokens (%.1f %%), of which %d may have been reserved in the window before; the last settlements' error is at most %d, of %d requests that were open then",
		start.UTC().Format("15:04:05"), requests, all, allowance, 100*float64(all)/allowance, all-surely, bound, open)
	if surely > allowance+bound {
		t.Errorf("in the window at %s %d tokens were used, more than %d and the error of %d", start.UTC().Format("15:04:05"), surely, allowance, bound)
	}
	return all, bound
}
