package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/prove/replay"
	"spillway/tests/prove/report"
)

// memory is a network without sockets, for virtual time.
type memory struct {
	backends map[string]*azureopenai.Server
	gateway  http.Handler
	bend     func(*http.Response) // what the backends answer; nil: nothing is bent
}

func (m *memory) Backend(name string, s *azureopenai.Server) (string, error) {
	m.backends[name+".test"] = s
	return "http://" + name + ".test", nil
}

func (m *memory) Gateway(h http.Handler) (string, error) {
	m.gateway = h
	return "http://gateway.test", nil
}

func (m *memory) Transport() http.RoundTripper { return roundTripper(m.roundTrip) }

func (m *memory) roundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "gateway.test" {
		w := httptest.NewRecorder()
		m.gateway.ServeHTTP(w, r.Clone(r.Context()))
		return w.Result(), nil
	}
	answer, err := azureopenai.Hosts(m.backends).RoundTrip(r)
	if err == nil && m.bend != nil {
		m.bend(answer)
	}
	return answer, err
}

func (m *memory) Close() error { return nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replayed runs scenarios in virtual time, with backends whose answers are bent.
func replayed(t *testing.T, windows int, scenarios []replay.Scenario, bend func(*http.Response)) (outcomes []replay.Outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		outcomes, err = replay.Run(t.Context(), scenarios, replay.Options{Windows: windows, Seed: 1, Network: func() replay.Network {
			return &memory{backends: make(map[string]*azureopenai.Server), bend: bend}
		}}, replay.NewProgress())
		if err != nil {
			t.Fatal(err)
		}
	})
	return outcomes
}

// The same replay as make prove-spillover, with the same demands.
func TestTheProofInVirtualTime(t *testing.T) {
	outcomes := replayed(t, 2, replay.Scenarios([]int{3, 30}), nil)
	report.Table(t.Output(), outcomes)
	for _, shortfall := range report.Shortfalls(outcomes) {
		t.Error(shortfall)
	}
	for _, o := range outcomes {
		if o.Contender.Kind == replay.PostPaid && o.Scenario.Users == 30 && (o.Result.Client429 == 0 || o.Result.Overshoot == 0) {
			t.Errorf("%+v, %s: the counter did as well as reservations do; the load is too weak to tell them apart: %+v", o.Contender, o.Scenario.Name(), o.Result)
		}
	}
}

// The demands must be able to fail: a counter that calls itself Spillway is
// found out.
func TestACounterDoesNotPassForSpillway(t *testing.T) {
	scenarios := replay.Scenarios([]int{30})[:1]
	scenarios[0].Contenders = scenarios[0].Contenders[1:2]
	outcomes := replayed(t, 1, scenarios, nil)
	outcomes[0].Contender.Kind = replay.Spillway
	got := strings.Join(report.Shortfalls(outcomes), "\n")
	for _, want := range []string{"429s for clients", "429s from backends", "beyond its limit"} {
		if !strings.Contains(got, want) {
			t.Errorf("not found out by %q:\n%s", want, got)
		}
	}
}

// A PTU that says it has nothing left makes Spillway spill what would fit. The
// judge goes by the PTU's books, and is not deceived.
func TestSpillingWhatFitsIsFoundOut(t *testing.T) {
	scenarios := replay.Scenarios([]int{3})[:1]
	scenarios[0].Contenders = scenarios[0].Contenders[:1]
	outcomes := replayed(t, 1, scenarios, func(answer *http.Response) {
		if answer.Request.URL.Host == "ptu.test" {
			answer.Header.Set("X-Ratelimit-Remaining-Tokens", "0")
		}
	})
	if r := outcomes[0].Result; r.Fitted == 0 || r.Client429 > 0 {
		t.Errorf("%d spilled requests would have fit, %d 429s for clients; want some of the first kind only: %+v", r.Fitted, r.Client429, r)
	}
	if got := strings.Join(report.Shortfalls(outcomes), "\n"); !strings.Contains(got, "would still have fit") {
		t.Errorf("not found out:\n%s", got)
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for _, args := range []string{"--windows 0", "--windows 5", "--users 0", "--users 3,many", "--users 101", "what", "--seed -1"} {
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

func TestAnInterruptedReplayProvesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	picture := filepath.Join(t.TempDir(), "picture.svg")
	var out strings.Builder
	err := run(ctx, []string{"--svg", picture}, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nothing is proved") || out.Len() > 0 {
		t.Errorf("got %v and %q, want nothing proved", err, &out)
	}
}

func TestFilesAreWrittenIntoFoldersThatDoNotExistYet(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not", "there")
	if err := save(settings{json: filepath.Join(folder, "a.json"), svg: filepath.Join(folder, "b.svg")}, nil); err != nil {
		t.Error(err)
	}
}

var _ replay.Network = (*memory)(nil)
