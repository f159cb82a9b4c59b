package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"spillway/tests/rig"
)

// The learned size of answers takes the place of a maximum that the client did
// not set, and never makes a request impossible.
func TestRequestWithoutAMaximum(t *testing.T) {
	const body = `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`
	t.Run("the guess follows the answers", func(t *testing.T) {
		run(t, limited("tokensPerMinute: 1000000"), func(s *site) {
			ask := func() int64 {
				s.servedBy(s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body}), "ptu", "")
				return s.last().Estimated
			}
			first := ask()
			if first < 200 {
				t.Errorf("reserved %d tokens before anything was learned, want at least 200", first)
			}
			var last int64
			for range 100 {
				last = ask()
			}
			if last < used || last > 2*used {
				t.Errorf("reserved %d tokens after a hundred answers of %d", last, used)
			}
		})
	})
	t.Run("a limit below the guess", func(t *testing.T) {
		run(t, limited("tokensPerMinute: 100"), func(s *site) {
			s.servedBy(s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body}), "ptu", "")
			if got := s.last().Estimated; got != 100 {
				t.Errorf("reserved %d tokens, want the whole limit", got)
			}
		})
	})
}

// The estimate has an error. Where its bounds fall on both sides of a limit the
// prompt is counted exactly, and the count decides.
func TestEstimateThatStraddlesALimitIsCounted(t *testing.T) {
	tests := []struct {
		name   string
		prompt string
		served bool
	}{
		{"fewer tokens than it seems", strings.Repeat(" government", 100), true}, // 100; estimated as about 250
		{"more tokens than it seems", strings.Repeat("\U00013000", 100), false},  // three or four each; estimated as about 80
	}
	for _, test := range tests {
		for _, settings := range []string{"tokensPerMinute: 200", "tokensPerMinute: 100000, quotas: [{ tokens: 200, per: day }]"} {
			t.Run(test.name+", "+settings, func(t *testing.T) {
				run(t, limited(settings), func(s *site) {
					s.knowVocabularies()
					body := fmt.Sprintf(`{"model":"gpt-4o","max_tokens":20,"messages":[{"role":"user","content":%q}]}`, test.prompt)
					w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
					if test.served {
						s.servedBy(w, "ptu", "")
						if got := s.last().Estimated; got < 120 || got > 130 {
							t.Errorf("reserved %d tokens, want 100, the frame and 20", got)
						}
						return
					}
					s.refused(w, 429, "rate_limit_exceeded")
				})
			})
		}
	}
}
