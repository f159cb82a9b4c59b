package hotkey

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/shared/store/memory"
	"spillway/tests/bench/figures"
	"spillway/tests/bench/meter"
	"spillway/tests/fakes/azurite"
	"spillway/tests/fakes/faultstore"
)

// TestMeasure is no test: tests/bench runs it, since the emulator is one for tests.
func TestMeasure(t *testing.T) {
	figures.Measure(t, func() any {
		connection := azurite.Start(t)
		r := Race{Rounds: Rounds, Warm: Warm, Measured: Measured}
		for range Writers {
			s, err := aztable.Open(t.Context(), aztable.Options{Connection: connection, Table: "bench"})
			if err != nil {
				t.Fatal(err)
			}
			r.Stores = append(r.Stores, s)
		}
		rounds, err := Run(t.Context(), r, func(line string) { fmt.Fprintln(os.Stderr, " ", line) })
		if err != nil {
			t.Fatal(err)
		}
		return rounds
	})
}

// sharing returns the connections of three writers to one store.
func sharing(s store.Store) Race {
	return Race{Stores: []store.Store{s, s, s}, Rounds: 2, Warm: time.Millisecond, Measured: 20 * time.Millisecond}
}

// Both contenders count, and what they counted is in the row to the last request.
func TestContendersAreAuditedToTheLastRequest(t *testing.T) {
	rounds, err := Run(t.Context(), sharing(memory.New()), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(rounds) != 2 {
		t.Fatalf("%d rounds, want 2", len(rounds))
	}
	for n, r := range rounds {
		for name, turn := range map[string]Turn{"leases": r.Leases, "counter": r.Counter} {
			if voids := turn.Voids(); len(voids) > 0 {
				t.Errorf("round %d, %s: %v", n+1, name, voids)
			}
		}
		if r.Counter.Row != r.Counter.TotalGranted {
			t.Errorf("round %d: the counter counted %d of %d requests", n+1, r.Counter.Row, r.Counter.TotalGranted)
		}
		if r.Counter.Operations.Operations() < 2*r.Counter.Granted-6 { // Those under way at the start and the end.
			t.Errorf("round %d: %d requests in %+v", n+1, r.Counter.Granted, r.Counter.Operations)
		}
	}
}

// overwriting is a store that does not look at ETags: updates get lost.
type overwriting struct{ store.Store }

func (s overwriting) Replace(context.Context, store.Key, store.Columns, string) (string, error) {
	return "", nil
}

// A table that loses updates is found out.
func TestAuditSeesLostUpdates(t *testing.T) {
	rounds, err := Run(t.Context(), sharing(overwriting{memory.New()}), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rounds[0].Counter.Voids(), "\n"); !strings.Contains(got, "not in the row") {
		t.Errorf("not found out: %q, %+v", got, rounds[0].Counter)
	}
}

// A failing table ends the measurement: there are no figures.
func TestFailuresEndTheMeasurement(t *testing.T) {
	failing, err := faultstore.New(memory.New(), faultstore.Options{
		Seed: 1, Rates: map[faultstore.Fault]float64{faultstore.AnswerLost: 0.2},
	})
	if err != nil {
		t.Fatal(err)
	}
	rounds, err := Run(t.Context(), sharing(failing), func(string) {})
	if err == nil || rounds != nil {
		t.Fatalf("got %+v, %v; want an error", rounds, err)
	}
	if !errors.Is(err, store.ErrAmbiguous) && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want the store's error", err)
	}
}

func TestVoidTurns(t *testing.T) {
	good := Turn{Seconds: 1, Granted: 10, TotalGranted: 12, Row: 12, Operations: meter.Count{Reads: 60, Writes: 40, Failures: 2}}
	if voids := good.Voids(); voids != nil {
		t.Errorf("%+v is void: %v", good, voids)
	}
	for want, spoil := range map[string]func(*Turn){
		"nothing was granted": func(t *Turn) { t.Granted = 0 },
		"3 operations":        func(t *Turn) { t.Operations.Failures = 3 },
		"2 granted requests":  func(t *Turn) { t.Row = 10 },
	} {
		turn := good
		spoil(&turn)
		if got := strings.Join(turn.Voids(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%+v: got %q, want %q", turn, got, want)
		}
	}
}
