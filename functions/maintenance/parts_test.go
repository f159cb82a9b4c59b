package maintenance_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// The report tells what the parts that others do have done, also as far as they came
// before they failed. None of them, and no store that is down, keeps another one from
// its work.
func TestPartsOfOthers(t *testing.T) {
	broken := errors.New("no answer")
	does := func(n int, err error) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { return n, err }
	}
	panics := func(context.Context) (int, error) { panic("a bug") }
	tests := []struct {
		name            string
		store           store.Store
		fold, sweep     func(context.Context) (int, error)
		folded, expired int
		errs            []string
		idle            bool
	}{
		{"none", memory.New(), nil, nil, 0, 0, nil, true},
		{"nothing to do", memory.New(), does(0, nil), does(0, nil), 0, 0, nil, true},
		{"hours", memory.New(), does(2, nil), does(0, nil), 2, 0, nil, false},
		{"objects", memory.New(), does(0, nil), does(7, nil), 0, 7, nil, false},
		{"objects, as far as it came", memory.New(), does(2, nil), does(3, broken), 2, 3, []string{"maintenance: objects: no answer"}, false},
		{"hours fail", memory.New(), does(1, broken), does(7, nil), 1, 7, []string{"maintenance: fold: no answer"}, false},
		{"panics", memory.New(), panics, panics, 0, 0, []string{"maintenance: fold: panic: a bug", "maintenance: objects: panic: a bug"}, false},
		{"no store", down{}, does(2, nil), does(7, nil), 2, 7, []string{"maintenance: sync: ", "maintenance: sweep: "}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			board, err := breaker.New(breaker.Options{Store: test.store, Instance: "one"})
			if err != nil {
				t.Fatal(err)
			}
			m, err := maintenance.New(maintenance.Options{
				Store: test.store, Instance: "one", Board: board, Fold: test.fold, Sweep: test.sweep,
				Probe: func(_ context.Context, _ string, pass breaker.Pass) { pass.Abandon() },
			})
			if err != nil {
				t.Fatal(err)
			}
			r := m.Run(t.Context())
			if r.Folded != test.folded || r.Expired != test.expired || r.Idle() != test.idle {
				t.Errorf("%d folded, %d expired, idle: %v; want %d, %d, %v", r.Folded, r.Expired, r.Idle(), test.folded, test.expired, test.idle)
			}
			lines := strings.Join(r.Lines()[1:], "\n")
			for _, want := range test.errs {
				if !strings.Contains(lines, want) {
					t.Errorf("it reports %q, want %q in it", lines, want)
				}
			}
			if (lines == "") != (test.errs == nil) {
				t.Errorf("it reports %q", lines)
			}
		})
	}
}
