package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// sent is a request that a client has sent, and what came back.
type sent struct {
	to     *process
	at     time.Time
	status int
	header http.Header
	body   []byte
	err    error // no answer, or one that is not complete
}

// good tells whether the client has got its whole answer.
func (s sent) good() bool { return s.err == nil && s.status == http.StatusOK }

func (s sent) String() string {
	return fmt.Sprintf("%s: status %d, error %v: %.300s", s.at.UTC().Format("15:04:05.000"), s.status, s.err, s.body)
}

// numbers makes the bodies of requests differ.
var numbers atomic.Int64

// ask sends a request to an instance and reads the whole answer. The body says
// when it was sent.
func (f *fleet) ask(ctx context.Context, to *process, model string, stream bool) sent {
	s := sent{to: to, at: time.Now()}
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hello!"}],"max_tokens":%d,"stream":%v,"user":"%d %d"}`,
		model, charge-2, stream, s.at.UnixNano(), numbers.Add(1))
	var request *http.Request
	request, s.err = http.NewRequestWithContext(ctx, http.MethodPost, to.url("/v1/chat/completions"), strings.NewReader(body))
	if s.err != nil {
		return s
	}
	request.Header.Set("Content-Type", "application/json")
	var response *http.Response
	if response, s.err = f.client.Do(request); s.err != nil {
		return s
	}
	defer response.Body.Close()
	s.status, s.header = response.StatusCode, response.Header
	s.body, s.err = io.ReadAll(response.Body)
	if s.err == nil && stream && s.status == http.StatusOK && !bytes.HasSuffix(s.body, []byte("data: [DONE]\n\n")) {
		s.err = errors.New("the stream does not end as streams do")
	}
	return s
}

// sentAt is when the client has sent the request that a backend has got. Other
// requests, such as probes, are the gateway's own: sent when they came.
func sentAt(r azureopenai.Recorded) time.Time {
	_, rest, _ := bytes.Cut(r.Body, []byte(`"user":"`))
	text, _, found := bytes.Cut(rest, []byte(" "))
	nano, err := strconv.ParseInt(string(text), 10, 64)
	if !found || err != nil {
		return r.Time
	}
	return time.Unix(0, nano)
}

// traffic is clients that send requests at a steady pace, each to the next of
// some instances.
type traffic struct {
	fleet  *fleet
	end    context.CancelFunc
	ticks  sync.WaitGroup
	asking sync.WaitGroup

	mu  sync.Mutex
	to  []*process // guarded by mu
	all []sent     // guarded by mu
}

// pace is how many requests a second are sent for a model: enough to use its
// limit up well before each window ends.
var pace = map[string]int{"metered": 3, "paced": 7, "frail": 7}

// load starts traffic for each of the models.
func (f *fleet) load(t *testing.T, stream bool, models ...string) *traffic {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	l := &traffic{fleet: f, end: end, to: append([]*process(nil), f.instances...)}
	for _, model := range models {
		l.ticks.Go(func() { l.keepAsking(ctx, t.Context(), time.Second/time.Duration(pace[model]), model, stream) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// keepAsking sends requests until ctx ends; asked is the context of each.
func (l *traffic) keepAsking(ctx, asked context.Context, every time.Duration, model string, stream bool) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		to := l.to[turn%len(l.to)]
		l.mu.Unlock()
		l.asking.Go(func() {
			s := l.fleet.ask(asked, to, model, stream)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all = append(l.all, s)
		})
	}
}

// aim directs what is sent from now on.
func (l *traffic) aim(to ...*process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = append([]*process(nil), to...)
}

// stop ends the traffic and returns all that was sent, when all answers are
// there.
func (l *traffic) stop() []sent {
	l.end()
	l.ticks.Wait()
	l.asking.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// allGood asserts that every request was served.
func allGood(t *testing.T, all []sent) {
	t.Helper()
	bad := 0
	for _, s := range all {
		if !s.good() {
			if bad++; bad <= 3 {
				t.Errorf("a client is not served at %v", s)
			}
		}
	}
	if bad > 0 || len(all) == 0 {
		t.Errorf("%d of %d requests were not served", bad, len(all))
	}
}

// recorded asserts that each request that was served has left one record in the
// log of the instance that it was sent to, and that its tokens are those that the
// backend has generated for it. A record may come a little after its answer.
func recorded(t *testing.T, all []sent) {
	t.Helper()
	missing := make(map[*process]map[string]bool)
	for _, s := range all {
		if missing[s.to] == nil {
			missing[s.to] = make(map[string]bool)
		}
		if s.good() {
			missing[s.to][s.header.Get("X-Request-Id")] = true
		}
	}
	for p, ids := range missing {
		if len(ids) == 0 {
			continue
		}
		served := len(ids)
		_, err := p.await(func(line string) bool {
			r, ok := parseRecord(line)
			if ok && ids[r.RequestID] {
				delete(ids, r.RequestID)
				if r.Output != charge-2 {
					t.Errorf("request %s is recorded with %d tokens of output, want %d", r.RequestID, r.Output, charge-2)
				}
			}
			return len(ids) == 0
		})
		if err != nil {
			t.Errorf("%d of %d requests that were served have left no record: %v", len(ids), served, err)
		}
		seen := make(map[string]int)
		for _, line := range p.output.Lines() {
			if r, ok := parseRecord(line); ok {
				if seen[r.RequestID]++; seen[r.RequestID] > 1 {
					t.Errorf("request %s has left %d records, want at most 1", r.RequestID, seen[r.RequestID])
				}
			}
		}
	}
}

// parseRecord reads a line of the log that is a request's record.
func parseRecord(line string) (record, bool) {
	var r record
	err := json.Unmarshal([]byte(line), &r)
	return r, err == nil && r.Message == "request"
}
