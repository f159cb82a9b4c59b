package e2e_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// accountConsumers are consumers without limits. The last one calls the instance
// that is killed.
const accountConsumers = `
consumers:
  - { name: red, keys: ["key-of-the-consumer-red-5c1e"] }
  - { name: green, keys: ["key-of-the-consumer-green-5c1e"], quotas: [{ tokens: 900000000, per: month }] }
  - { name: blue, keys: ["key-of-the-consumer-blue-5c1e"], tokensPerMinute: 100000000 }
  - { name: doomed, keys: ["key-of-the-consumer-doomed-5c1e"] }
`

// The ways in which requests of these tests go. All are deterministic: a stream
// that its client is to leave is held by the backend until then, so that the backend
// has generated what the client has got, and what fails, fails at the first backend
// alone.
var ways = []struct {
	name   string
	share  int // of 100
	stream bool
	trial  string
	words  int // default: 1 to 40
	more   string
	leaves bool // the client leaves: after so many tokens, 0: when a backend has accepted
	tokens int
	status int // that the client gets; default: 200
}{
	{name: "plain", share: 42},
	{name: "stream", share: 25, stream: true},
	{name: "stream with usage", share: 5, stream: true, more: `,"stream_options":{"include_usage":true}`},
	{name: "long prompt", share: 1, words: 1200},
	{name: "client leaves a plain answer", share: 2, trial: "hang", leaves: true},
	{name: "client leaves before a stream begins", share: 2, stream: true, trial: "hang", leaves: true},
	{name: "client leaves a stream after 3 tokens", share: 3, stream: true, trial: "hold-3", leaves: true, tokens: 3},
	{name: "client leaves a stream after 1 token", share: 2, stream: true, trial: "hold-1", leaves: true, tokens: 1},
	{name: "backend fails", share: 4, trial: "fail"},
	{name: "backend throttles", share: 3, trial: "throttle", stream: true},
	{name: "stream begins with an error", share: 3, trial: "error", stream: true},
	{name: "stream is cut after 4 tokens", share: 3, trial: "cut-4", stream: true},
	{name: "wrong for the backend", share: 2, more: `,"temperature":9`, status: 400},
	{name: "wrong for the gateway", share: 2, more: `,"stream":"perhaps"`, status: 400},
	{name: "unknown model", share: 1, status: 404},
}

// injectWays sets the backends up for the ways.
func (f *office) injectWays() {
	f.inject("hang", azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders}, "ptu", "payg")
	f.inject("hold-3", azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Tokens: 3}, "ptu", "payg")
	f.inject("hold-1", azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Tokens: 1}, "ptu", "payg")
	f.inject("cut-4", azureopenai.Fault{Kind: azureopenai.FaultCut, Tokens: 4}, "ptu", "payg")
	f.inject("fail", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500}, "ptu")
	f.inject("throttle", azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Millisecond}, "ptu")
	f.inject("error", azureopenai.Fault{Kind: azureopenai.FaultStreamError}, "ptu")
}

// sendWay sends request number n in the way whose turn it is, and returns the way's
// index. An error means that the gateway has broken the connection.
func (f *office) sendWay(t *testing.T, to int, consumer string, n int64) (way int, err error) {
	for at := int(n*37) % 100; at >= ways[way].share; way++ {
		at -= ways[way].share
	}
	w := ways[way]
	q := post{
		tag:   tag{Consumer: consumer, Model: officeModels[n%2], Number: n, Sent: time.Now().UnixNano(), To: to},
		words: w.words, maximum: 5 + int(n%20), stream: w.stream, trial: w.trial, more: w.more,
	}
	if w.words == 0 {
		q.words = 1 + int(n%40)
	}
	if w.name == "unknown model" {
		q.Model = "gpt-unknown"
	}
	if w.leaves {
		return way, f.leave(t, f.instances[to], q, w.tokens)
	}
	a, err := f.ask(t, f.instances[to], q)
	if want := cmp.Or(w.status, http.StatusOK); err == nil && a.status != want {
		err = unwanted(a.status, a.body)
	}
	return way, err
}

// errContended is a refusal for now: other instances' writes to the row of a limit
// used up the time that a request may wait for it. Clients come back by themselves.
var errContended = errors.New("contended")

// unwanted is the error of an answer that is not the one that is wanted.
func unwanted(status int, body []byte) error {
	if status == http.StatusTooManyRequests && codeOf(body) == "rate_limit_exceeded" {
		return errContended
	}
	return fmt.Errorf("status %d: %.300s", status, body)
}

// leave sends a request and leaves when a backend has accepted it or, of a stream,
// when so many tokens of it have come. The error is of a request that ended before.
func (f *office) leave(t *testing.T, to *process, q post, tokens int) error {
	accepted := f.accepted(q.tag)
	ctx, leave := context.WithTimeout(t.Context(), long)
	defer leave()
	if tokens == 0 {
		go func() {
			select {
			case <-accepted:
				leave()
			case <-ctx.Done():
			}
		}()
	}
	response, err := f.open(ctx, to, q)
	if errors.Is(err, context.Canceled) {
		return nil
	} else if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || q.trial == "hang" {
		body, _ := io.ReadAll(response.Body) // as much as there is
		return unwanted(response.StatusCode, body)
	}
	in := bufio.NewReader(response.Body)
	for tokens > 0 {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the stream ends before the client has left: %w", err)
		}
		if strings.Contains(line, `"content":"`) && !strings.Contains(line, `"content":""`) {
			tokens--
		}
	}
	return nil
}

// books are what the accounts of the backends add up to. Of an attempt after which
// the gateway went to another backend the prompt counts, which may be billed, and no
// request; how much of it was cached nobody has said.
func books(all []account, of func(account) bool) (answers map[line]sums, failed sums) {
	answers = make(map[line]sums)
	lineOf := func(a account) line {
		return line{a.tag.Consumer, a.tag.Model, a.Deployment, map[string]string{"ptu": "no", "payg": "yes"}[a.backend]}
	}
	for _, a := range all {
		s := sums{Requests: 1, Prompt: a.Prompt, Cached: a.Cached, Completion: a.Completion, Reasoning: a.Reasoning}
		switch {
		case !of(a):
		case a.Fault == azureopenai.FaultStatus, a.Fault == azureopenai.FaultStreamError:
			failed = failed.plus(s)
			l := lineOf(a)
			answers[l] = answers[l].plus(sums{Prompt: a.Prompt})
		default:
			l := lineOf(a)
			answers[l] = answers[l].plus(s)
		}
	}
	return answers, failed
}

// totals sums up the lines of a consumer, or of all but it.
func totals(lines map[line]sums, consumer string, its bool) (total sums) {
	for l, s := range lines {
		if (l.Consumer == consumer) == its {
			total = total.plus(s)
		}
	}
	return total
}

// The ledger says what the backends say, to the token: by consumer, model,
// deployment and whether it spilled; whether the client got its answer, left before
// it or in the middle, whether backends failed on the way or the answer broke off;
// and four processes may write it at once. One that is killed loses what it served
// since its last flush, and nothing else is wrong.
//
// What a backend read for an attempt that failed is in the ledger, too, and the test
// prints how much of it that is.
func TestLedgerIsExact(t *testing.T) {
	needsFleet(t)
	c := &crowd{requests: 10_000}
	f := startOffice(t, 4, "", accountConsumers, azureopenai.Options{Output: azureopenai.Output{Fill: true}}, map[string]string{"PTU_TOKENS": "60000"})
	f.injectWays()
	for _, p := range f.instances {
		awaitReady(t, p)
	}

	const clients = 24
	began := time.Now()
	// A machine that is too slow for so many requests sends fewer.
	timer := time.AfterFunc(45*time.Second, func() { c.enough.Store(true) })
	defer timer.Stop()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() { c.send(t, f) })
	}
	await.That(t, "half of it is sent", func() bool {
		return c.next.Load() > c.requests/2 || time.Since(began) > 25*time.Second
	})
	killed := time.Now()
	f.instances[victim].Signal(os.Kill)
	f.instances[victim].exitCode(t)
	c.killed.Store(true)
	all.Wait()
	took := time.Since(began)
	f.judgeLedger(t, killed, c.counted.Load())

	t.Logf("%d requests of %d clients in %.1f s; to the instance that was killed %d, of which %d were open; %d were refused for now",
		c.sent.Load(), clients, took.Seconds(), c.toVictim.Load(), c.cut.Load(), c.contended.Load())
	for i, way := range ways {
		t.Logf("%5d %s", c.went[i].Load(), way.name)
		if c.went[i].Load() == 0 {
			t.Errorf("no request went the way %q: the run is void", way.name)
		}
	}
}

// victim is the instance that is killed. Before that, it alone serves the consumer
// doomed.
const victim = 3

// crowd is clients that send requests in all ways, to all instances.
type crowd struct {
	requests            int64 // in all
	next                atomic.Int64
	enough, killed      atomic.Bool
	sent, toVictim, cut atomic.Int64     // cut: open at the victim when it was killed
	contended           atomic.Int64     // refused for now
	counted             atomic.Int64     // of the consumers whose usage is exact
	went                [20]atomic.Int64 // by way
}

// send is one client.
func (c *crowd) send(t *testing.T, f *office) {
	for {
		n := c.next.Add(1)
		if n > c.requests || c.enough.Load() {
			return
		}
		to, consumer := int(n%4), []string{"red", "green", "blue"}[n%3]
		if to == victim && c.killed.Load() {
			to = int(n % 3)
		} else if to == victim {
			consumer = "doomed"
			c.toVictim.Add(1)
		}
		way, err := f.sendWay(t, to, consumer, n)
		c.sent.Add(1)
		c.went[way].Add(1)
		if consumer != "doomed" {
			c.counted.Add(1)
		}
		switch {
		case err == nil:
		case errors.Is(err, errContended):
			c.contended.Add(1)
		case to == victim:
			c.cut.Add(1)
		default:
			t.Errorf("instance %d, %s: %v", to, ways[way].name, err)
		}
	}
}

// awaitReady waits until an instance has loaded all that requests need.
func awaitReady(t *testing.T, p *process) {
	t.Helper()
	await.That(t, "an instance is ready", func() bool {
		return p.send(t, call{method: "GET", path: "/spillway/readyz"}).status == 200
	})
}

// judgeLedger compares the ledger with the accounts of the backends, and the number
// of its requests with that of the clients.
func (f *office) judgeLedger(t *testing.T, killed time.Time, requests int64) {
	t.Helper()
	others := func(a account) bool { return a.tag.Consumer != "doomed" }
	var want, got map[line]sums
	var failed sums
	var ledger int64 // requests in it
	same := func() bool {
		want, failed = books(f.ended(), others)
		got = make(map[line]sums)
		all := f.usage(t, f.instances[0])
		ledger = totals(all, "doomed", false).Requests
		for l, s := range all {
			if l.Consumer != "doomed" && s.tokens() != (sums{}) {
				got[l] = sums{Requests: want[l].Requests}.plus(s.tokens())
			}
		}
		return ledger == requests && maps.Equal(got, want)
	}
	for deadline := time.Now().Add(long / 2); !same() && time.Now().Before(deadline); {
		await.Until(t, time.Now().Add(time.Second))
	}
	for l := range want {
		if got[l] != want[l] {
			t.Errorf("%+v: the ledger has %+v, the backends have counted %+v", l, got[l].tokens(), want[l].tokens())
		}
	}
	for l := range got {
		if _, ok := want[l]; !ok {
			t.Errorf("%+v: the ledger has %+v, and the backends know nothing of it", l, got[l])
		}
	}
	if ledger != requests {
		t.Errorf("the ledger has %d requests, the clients have sent %d", ledger, requests)
	}
	if cli := f.usageOfCLI(t); !maps.Equal(cli, f.usage(t, f.instances[1])) {
		t.Errorf("spillway usage says %+v, and GET /spillway/usage something else", cli)
	}
	sum := totals(got, "doomed", false).tokens()
	t.Logf("exact: %d lines, prompt %d (cached %d), completion %d tokens; of it %d attempts that failed have read %d tokens",
		len(got), sum.Prompt, sum.Cached, sum.Completion, failed.Requests, failed.Prompt)
	f.judgeLoss(t, killed)
}

// judgeLoss bounds what was lost with the instance that was killed: what it served
// since its last flush began, by its own log the last requests, and what was open.
// The log tells the time in whole seconds, and lacks the last 100 ms: the ledger may
// have requests of which no line was written, but no more than the backends know.
func (f *office) judgeLoss(t *testing.T, killed time.Time) {
	t.Helper()
	p := f.instances[victim]
	want, _ := books(f.ended(), func(a account) bool { return a.tag.Consumer == "doomed" })
	got := totals(f.usage(t, f.instances[0]), "doomed", true)
	backends := totals(want, "doomed", true)
	var log []time.Time
	var logged sums
	for _, text := range p.output.Lines() {
		if r, ok := parseRecord(text); ok && r.Consumer == "doomed" {
			log = append(log, eventTime(text))
			logged = logged.plus(sums{Requests: 1, Prompt: r.prompts(), Completion: r.Output})
		}
	}
	lost := logged.minus(got)
	if more := got.minus(backends); more.Prompt > 0 || more.Completion > 0 || lost.Requests > int64(len(log)) {
		t.Fatalf("of the instance that was killed the backends have counted %+v, its log has %+v, and the ledger has %+v", backends, logged, got)
	}
	if logged.Requests == 0 || got.Requests == 0 {
		t.Fatalf("the instance that was killed has served %+v, and the ledger has %+v of it: the run is void", logged, got)
	}
	open := backends.minus(logged)
	age := time.Duration(0)
	if lost.Requests > 0 {
		age = killed.Sub(log[int64(len(log))-lost.Requests])
	}
	const flush = time.Second // between the begins of two flushes
	t.Logf("the instance that was killed had served %d requests and %d tokens; lost are %d requests and %d tokens, all of the last %.2f s; %d tokens were in answers that were open",
		logged.Requests, logged.Prompt+logged.Completion, lost.Requests, lost.Prompt+lost.Completion, age.Seconds(), open.Prompt+open.Completion)
	if delayed := len(p.events("usage_delayed")) > 0; age > flush+4*time.Second && !delayed {
		t.Errorf("requests of %s before the kill are lost, want those of the last flush alone", age)
	}
}

// eventTime is the time of a line of the log; zero if it tells none.
func eventTime(line string) time.Time {
	var e event
	_ = json.Unmarshal([]byte(line), &e) // what is no JSON has none
	return e.Time
}
