package script_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/sim/script"
)

// A draw stays within its bounds, and comes to both of the ends that belong to it.
func TestDrawStaysWithinItsBounds(t *testing.T) {
	d := script.NewDraw(1, 1)
	seen := map[int]bool{}
	for range 1000 {
		if n := d.Between(3, 5); n < 3 || n > 5 {
			t.Fatalf("drew %d between 3 and 5", n)
		} else {
			seen[n] = true
		}
		if span := d.Span(time.Second, time.Second+2); span != time.Second && span != time.Second+1 {
			t.Fatalf("drew %v from 1s to less than 1.000000002s", span)
		}
		if d.Chance(0) || !d.Chance(1) {
			t.Fatal("what cannot happen did, or what must happen did not")
		}
	}
	if len(seen) != 3 {
		t.Errorf("drew only %v between 3 and 5", seen)
	}
}

// A seed repeats what it drew; another seed, or another purpose, draws differently.
func TestDrawsHangOnSeedAndPurpose(t *testing.T) {
	first := script.NewDraw(7, 1).Uint64()
	if again := script.NewDraw(7, 1).Uint64(); again != first {
		t.Errorf("the same seed drew %d, and then %d", first, again)
	}
	for _, other := range []script.Draw{script.NewDraw(8, 1), script.NewDraw(7, 2)} {
		if n := other.Uint64(); n == first {
			t.Errorf("another seed or purpose drew %d as well", n)
		}
	}
}

// At one moment the order of those who throw the dice changes nothing, and time does.
func TestDiceHangOnSeedAndTime(t *testing.T) {
	const sides = 1 << 40
	synctest.Test(t, func(t *testing.T) {
		dice := script.Dice(1)
		first := dice(sides)
		if again := dice(sides); again != first {
			t.Errorf("at one moment the dice gave %d, and then %d", first, again)
		}
		if other := script.Dice(2)(sides); other == first {
			t.Errorf("another seed gave %d as well", other)
		}
		<-time.After(time.Nanosecond)
		if later := dice(sides); later == first {
			t.Errorf("a moment later the dice gave %d again", later)
		}
		for n := range uint64(10) {
			if got := dice(n); got >= max(n, 1) {
				t.Errorf("dice of %d sides gave %d, want less than %d", n, got, max(n, 1))
			}
		}
	})
}

// Each word of a prompt is one token, for the simulated backends and for the
// gateway's own counter.
func TestPromptsHaveOneTokenPerWord(t *testing.T) {
	for i, p := range script.Prompts(1, 12, 300) {
		words := int64([]int{1, 12, 300}[i])
		if got := int64(len(strings.Fields(p.Text))); got != words {
			t.Errorf("prompt %d has %d words, want %d", i, got, words)
		}
		if got := azureopenai.CountTokens(p.Text); got != words {
			t.Errorf("a backend counts %d tokens in %d words", got, words)
		}
		if got, ok := script.Counter().Count(script.Model, []byte(p.Text)); !ok || got != words {
			t.Errorf("the gateway counts %d tokens (%v) in %d words", got, ok, words)
		}
		if got := int64(len(p.Text)); p.Characters != got {
			t.Errorf("prompt %d says it has %d characters, and has %d", i, p.Characters, got)
		}
	}
}
