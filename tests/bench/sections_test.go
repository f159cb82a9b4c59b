package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"spillway/tests/bench/fleet"
	"spillway/tests/bench/hotkey"
	"spillway/tests/bench/meter"
)

func TestRunsThatAreVoid(t *testing.T) {
	good := fleet.Operations{Requests: 1500}
	if voids := operationsVoids(5, []fleet.Operations{good}); voids != nil {
		t.Errorf("%+v is void: %v", good, voids)
	}
	for want, spoil := range map[string]func(*fleet.Operations){
		"100 requests were made": func(o *fleet.Operations) { o.Requests = 100 },
		"2 failures":             func(o *fleet.Operations) { o.Failures = 2 },
		"3 failures":             func(o *fleet.Operations) { o.Table = meter.Count{Failures: 3} },
		"7 tokens over":          func(o *fleet.Operations) { o.OverLimit = 7 },
	} {
		one := good
		spoil(&one)
		if got := strings.Join(operationsVoids(5, []fleet.Operations{good, one}), "\n"); !strings.Contains(got, want) {
			t.Errorf("%+v: got %q, want %q", one, got, want)
		}
	}
}

func TestRoundsThatAreVoid(t *testing.T) {
	turn := hotkey.Turn{Seconds: 1, Granted: 1000, TotalGranted: 1000, Row: 1000}
	good := hotkey.Round{Leases: turn, Counter: turn}
	if r := hotKeyResult([]hotkey.Round{good}); r.Voids != nil || r.Goals[0].Reached {
		t.Errorf("equals: %+v", r)
	}
	busy := good
	busy.Counter.Busy = 0.9
	if got := strings.Join(hotKeyResult([]hotkey.Round{good, busy}).Voids, "\n"); !strings.Contains(got, "round 2") || !strings.Contains(got, "90 %") {
		t.Errorf("a driver that was the bottleneck: %q", got)
	}
	lost := good
	lost.Leases.Row = 999
	if got := strings.Join(hotKeyResult([]hotkey.Round{lost}).Voids, "\n"); !strings.Contains(got, "round 1, leases: 1 granted") {
		t.Errorf("requests that are not in the row: %q", got)
	}
}

// The section of this process runs for real, briefly.
func TestLocalFigures(t *testing.T) {
	result, err := local{rounds: 2, each: time.Millisecond}.measure(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) != 5 {
		t.Errorf("%+v", result)
	}
	for _, goal := range result.Goals {
		if strings.Contains(goal.What, "allocations") && !goal.Reached {
			t.Errorf("%s: %s, wanted %s", goal.What, goal.Got, goal.Want)
		}
	}
}

func TestFiguresOfABusyMachineAreVoid(t *testing.T) {
	if voids := localVoids(time.Second, 990*time.Millisecond); voids != nil {
		t.Errorf("a quiet machine: %v", voids)
	}
	if got := strings.Join(localVoids(time.Second, 500*time.Millisecond), "\n"); !strings.Contains(got, "had 50 % of a processor") {
		t.Errorf("a busy machine: %q", got)
	}
}

func TestProcessGoals(t *testing.T) {
	small := processResult(20<<20, []life{{Answered: 0.03, Cold: 10 << 20, Idle: 30 << 20}})
	large := processResult(41<<20, []life{{Answered: 0.06, Cold: 10 << 20, Idle: 41 << 20}})
	for i, goal := range small.Goals {
		if !goal.Reached || large.Goals[i].Reached {
			t.Errorf("%s: %s is reached: %v; %s is: %v", goal.What, goal.Got, goal.Reached, large.Goals[i].Got, large.Goals[i].Reached)
		}
	}
}
