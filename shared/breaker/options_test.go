package breaker

import (
	"strings"
	"testing"
	"time"

	"spillway/shared/store/memory"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string // part of the error; empty: none
	}{
		{"defaults", func(*Options) {}, ""},
		{"no store", func(o *Options) { o.Store = nil }, "no store"},
		{"no instance", func(o *Options) { o.Instance = "" }, "name of the instance"},
		{"long instance", func(o *Options) { o.Instance = strings.Repeat("i", 201) }, "name of the instance"},
		{"binary instance", func(o *Options) { o.Instance = "\xff" }, "name of the instance"},
		{"negative failures", func(o *Options) { o.Failures = -1 }, "-1 failures"},
		{"negative interval", func(o *Options) { o.Interval = -1 }, "negative interval"},
		{"negative open time", func(o *Options) { o.OpenFor = -1 }, "negative open time"},
		{"cap below the open time", func(o *Options) { o.OpenFor, o.MaxOpenFor = 9*time.Second, 8*time.Second }, "shorter"},
		{"open time above the usual cap", func(o *Options) { o.OpenFor = 301 * time.Second }, "shorter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Options{Store: memory.New(), Instance: "a"}
			test.change(&o)
			b, err := New(o)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			case test.want == "" && (b.tolerance != testTolerance || b.settings != testSettings):
				t.Errorf("defaults %+v, want %+v", b.settings, testSettings)
			}
		})
	}
}

func TestDeploymentsAreOnePerID(t *testing.T) {
	b, err := New(Options{Store: memory.New(), Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	z, a := b.Deployment("z/gpt-4o"), b.Deployment("a/gpt-4o")
	if b.Deployment("z/gpt-4o") != z || z == a {
		t.Error("not one deployment per id")
	}
	var ids []string
	for d := range b.All() {
		ids = append(ids, d.ID())
	}
	if got := strings.Join(ids, " "); got != "a/gpt-4o z/gpt-4o" {
		t.Errorf("all: %s, want a/gpt-4o z/gpt-4o", got)
	}
}

// Limits are per deployment: a sick gpt-4o does not stop gpt-4o-mini on the same
// backend.
func TestDeploymentsDoNotAffectEachOther(t *testing.T) {
	a := newInstance(t, "a", memory.New())
	mini := a.Deployment("ptu/gpt-4o-mini")
	for range testTolerance.failures {
		a.admit(t).Failure(500)
	}
	a.is(t, Open)
	if pass, ok := mini.Admit(t.Context()); !ok || pass.Trial() {
		t.Error("the other deployment is affected")
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]string{
		"closed": Closed.String(), "open": Open.String(), "half-open": HalfOpen.String(), "unknown": State(9).String(),
	} {
		if got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
	seen := map[string]bool{}
	for k := EventOpened; k <= EventRecovered; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 8 || seen["unknown"] || EventKind(0).String() != "unknown" {
		t.Errorf("event names %v", seen)
	}
}
