package usage

import (
	"math"
	"testing"
)

func TestCost(t *testing.T) {
	price := Price{InputPerMillion: 2.5, CachedInputPerMillion: 1.25, OutputPerMillion: 10}
	tests := map[string]struct {
		tokens Tokens
		want   float64
	}{
		"nothing":                     {Tokens{}, 0},
		"prompt and completion":       {Tokens{Prompt: 1_000_000, Completion: 100_000}, 3.5},
		"cached part is cheaper":      {Tokens{Prompt: 1_000_000, Cached: 400_000}, 2},
		"reasoning is in completion":  {Tokens{Completion: 1000, Reasoning: 900}, 0.01},
		"more cached than prompt":     {Tokens{Prompt: 100, Cached: 1_000_000}, 0.000125},
		"all of the prompt is cached": {Tokens{Prompt: 1_000_000, Cached: 1_000_000}, 1.25},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := price.Cost(test.tokens); math.Abs(got-test.want) > 1e-12 {
				t.Errorf("Cost(%+v) = %v, want %v", test.tokens, got, test.want)
			}
		})
	}
}
