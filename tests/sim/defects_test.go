package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"spillway/shared/usage"
	"spillway/tests/sim/verdict"
)

// A judge that finds nothing proves nothing unless it finds what is there. Each
// defect is put into the gateway, or between it and its surroundings, behind the
// judge's back.
func TestSeededDefectsAreSeen(t *testing.T) {
	const most = 500 // schedules
	for _, test := range []struct {
		name   string
		defect Defect
		rule   string
	}{
		{"admits twice the tokens of a metered member", told(Metered, func(t *Told) { t.Tokens *= 2 }), RuleLimit},
		{"admits one token too many of a metered member", told(Metered, func(t *Told) { t.Tokens++ }), RuleRest},
		{"admits twice the tokens of a settled member", told(Settled, func(t *Told) { t.Tokens *= 2 }), RuleLimit},
		{"admits twice the requests", told(Metered, func(t *Told) { t.Requests *= 2 }), RuleLimit},
		{"admits half the tokens of a metered member", told(Metered, func(t *Told) { t.Tokens = (t.Tokens + 1) / 2 }), RuleRoom},
		{"admits half the tokens of a settled member", told(Settled, func(t *Told) { t.Tokens = (t.Tokens + 1) / 2 }), RuleRoom},
		{"leaks one token", told(Settled, func(t *Told) { t.Tokens-- }), RuleRest},
		{"refunds what the backend keeps", told(Metered, func(t *Told) { t.Kind = Settled }), RuleLimit},
		{"does not refund", told(Settled, func(t *Told) { t.Kind = Metered }), RuleRoom},
		{"forgets a member", Defect{Schedule: func(s *Schedule) {
			last := &s.Members[len(s.Members)-1]
			if len(s.Members) > 1 {
				last.Told = &Told{Kind: last.Kind, Priority: last.Priority, Tokens: last.Tokens, Requests: last.Requests, Missing: true}
			}
		}}, RuleRoom},
		{"turns the priorities round", told(Metered, func(t *Told) { t.Priority = 10 - t.Priority }), RuleSpill},
		{"refuses what a consumer may", toldConsumer(func(c *Consumer) { c.Requests, c.Tokens = (c.Requests+1)/2, (c.Tokens+1)/2 }), RuleOwn},
		{"grants a consumer too much", toldConsumer(func(c *Consumer) { c.Requests, c.Tokens = 2*c.Requests, 2*c.Tokens }), RuleLimit},
		{"lets spill who may not", toldConsumer(func(c *Consumer) { c.NoSpill = false }), RuleForbidden},
		{"lets spill too much", toldConsumer(func(c *Consumer) { c.SpillCap *= 2 }), RuleLimit},
		{"keeps the tokens of a request that got 429", Defect{Transport: turn(429, 503)}, RuleRoom},
		{"sends some requests twice", Defect{Transport: twice}, RuleLimit},
		{"tells to come back late", Defect{Handler: waits(func(ms int64) int64 { return ms + 3000 })}, RuleRetry},
		{"tells to come back early", Defect{Handler: waits(func(ms int64) int64 { return ms / 2 })}, RuleRetry},
		{"tells nothing", Defect{Handler: waits(func(int64) int64 { return 0 })}, RuleRetry},
		{"refuses at random", Defect{Handler: moody}, RuleRoom},
		{"loses records", Defect{Record: func(r *usage.Record) []usage.Record { return []usage.Record{*r}[:r.Start.Nanosecond()%2] }}, RuleRecord},
		{"records twice", Defect{Record: func(r *usage.Record) []usage.Record { return []usage.Record{*r, *r} }}, RuleRecord},
		{"records one token less", recorded(func(r *usage.Record) { r.Tokens.Completion = max(0, r.Tokens.Completion-1) }), RuleRecord},
		{"records clients that left as served", recorded(func(r *usage.Record) {
			if r.Status == 499 {
				r.Status = http.StatusOK
			}
		}), RuleRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustSee(t, test.rule, most, func(seed uint64) []verdict.Violation { return play(t, seed, test.defect).Judge() })
		})
	}
}

// A goroutine that outlives its request is seen by the bubble itself.
func TestLeakedGoroutineIsSeen(t *testing.T) {
	leak := Defect{Transport: func(inner http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			never := make(chan struct{})
			go func() { <-never }()
			return inner.RoundTrip(r)
		})
	}}
	defer func() {
		if v := recover(); !strings.Contains(fmt.Sprint(v), "deadlock") || !strings.Contains(fmt.Sprint(v), schedules.command(1)) {
			t.Errorf("want a deadlock and how to see it again, got %v", v)
		}
	}()
	play(t, 1, leak)
}

// told makes the configuration say something untrue of all members of a kind.
func told(kind Kind, lie func(*Told)) Defect {
	return Defect{Schedule: func(s *Schedule) {
		for i := range s.Members {
			if m := &s.Members[i]; m.Kind == kind {
				untruth := m.told()
				lie(&untruth)
				m.Told = &untruth
			}
		}
	}}
}

// toldConsumer makes the configuration say something untrue of all consumers.
func toldConsumer(lie func(*Consumer)) Defect {
	return Defect{Schedule: func(s *Schedule) {
		for i := range s.Consumers {
			untruth := s.Consumers[i]
			lie(&untruth)
			s.Consumers[i].Told = &untruth
		}
	}}
}

// recorded changes what is recorded.
func recorded(lie func(*usage.Record)) Defect {
	return Defect{Record: func(r *usage.Record) []usage.Record {
		untruth := *r
		lie(&untruth)
		return []usage.Record{untruth}
	}}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// turn makes the gateway see another status than the backend sent.
func turn(from, to int) func(http.RoundTripper) http.RoundTripper {
	return func(inner http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := inner.RoundTrip(r)
			if err == nil && response.StatusCode == from {
				response.StatusCode = to
			}
			return response, err
		})
	}
}

// twice sends every fourth request once more, unseen by the judge.
func twice(inner http.RoundTripper) http.RoundTripper {
	var sent atomic.Int64
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if sent.Add(1)%4 != 0 {
			return inner.RoundTrip(r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		again := r.Clone(r.Context())
		again.Header.Set(headerID, "unknown")
		again.Body = io.NopCloser(bytes.NewReader(body))
		if extra, err := inner.(*doors).inner.RoundTrip(again); err == nil {
			extra.Body.Close()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return inner.RoundTrip(r)
	})
}

// waits changes the waiting times that clients are told; 0 takes them out.
func waits(lie func(ms int64) int64) func(http.Handler) http.Handler {
	return func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(&liar{ResponseWriter: w, lie: lie}, r)
		})
	}
}

type liar struct {
	http.ResponseWriter
	lie func(int64) int64
}

func (l *liar) WriteHeader(status int) {
	const name = "retry-after-ms"
	if ms, err := strconv.ParseInt(l.Header().Get(name), 10, 64); err == nil && status == http.StatusTooManyRequests {
		if ms = l.lie(ms); ms > 0 {
			l.Header().Set(name, strconv.FormatInt(ms, 10))
		} else {
			l.Header().Del(name)
		}
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *liar) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// moody refuses every tenth request that would have been served, and does so
// after the gateway has done all its work.
func moody(inner http.Handler) http.Handler {
	var served atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%10 != 0 {
			inner.ServeHTTP(w, r)
			return
		}
		w.Header().Set("retry-after-ms", "1000")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"All deployments of gpt-4o are at capacity."}}`)
	})
}
