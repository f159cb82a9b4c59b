package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// What a backend has read before it failed may be billed: it is on the record, beside
// what the request used, and its consumer does not pay for it.
func TestWhatFailedBackendsHaveRead(t *testing.T) {
	tests := []struct {
		name  string
		fault azureopenai.Fault
		read  bool
	}{
		{"an error status", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 1}, true},
		{"a connection that breaks", azureopenai.Fault{Kind: azureopenai.FaultReset, Times: 1}, true},
		{"full", azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Second, Times: 1}, false},
		{"a wrong key", azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 401, Times: 1}, false},
		{"no connection", azureopenai.Fault{Kind: azureopenai.FaultRefuse, Times: 1}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited("tokensPerMinute: 1000"), func(s *site) {
				s.ptu.Inject(test.fault)
				w := s.chatAs(teamKey, 40)
				s.limitsShown(w, "1000", "972", "", "")
				r := s.last()
				if len(r.Attempts) != 2 || r.Backend != "payg" || r.Tokens.Prompt != usedPrompt {
					s.t.Fatalf("recorded %+v", r)
				}
				if a := r.Attempts[0]; (a.Prompt > 0) != test.read || a.Spilled {
					t.Errorf("the first attempt is recorded as %+v", a)
				}
				if a := r.Attempts[1]; a.Prompt != 0 || !a.Spilled {
					t.Errorf("the second attempt is recorded as %+v", a)
				}
			})
		})
	}
}

// A prompt that the content filter refuses was evaluated, and is billed: it counts.
func TestContentFilterCounts(t *testing.T) {
	run(t, limited("tokensPerMinute: 1000")+priced, func(s *site) {
		s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, FilterWord: "forbidden"})
		body := strings.Replace(chatBody(40, false), "Hello!", "forbidden", 1)
		w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
		if w.Code != 400 {
			s.t.Fatalf("status %d, want 400: %s", w.Code, w.Body)
		}
		if r := s.last(); r.Tokens.Prompt == 0 || r.Tokens.Completion != 0 || r.Measured || r.Cost == 0 {
			t.Errorf("recorded %+v", r)
		}
	})
}

// contested is a store on which others always write first.
type contested struct {
	store.Store
	until time.Time
}

func (c *contested) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	if strings.HasPrefix(key.Partition, quota.Prefix+"consumer/") && time.Now().Before(c.until) {
		return "", store.ErrConflict
	}
	return c.Store.Replace(ctx, key, columns, etag)
}

func (c *contested) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	if strings.HasPrefix(key.Partition, quota.Prefix+"consumer/") && time.Now().Before(c.until) {
		return "", store.ErrConflict
	}
	return c.Store.Insert(ctx, key, columns)
}

// A limit whose row others keep writing is no limit that is spent: the request insists
// for a moment, and one that is refused in the end is told to come back at once.
func TestContestedQuotaIsNotSpent(t *testing.T) {
	for name, d := range map[string]time.Duration{"for a moment": 200 * time.Millisecond, "for long": time.Minute} {
		t.Run(name, func(t *testing.T) {
			run(t, limited("quotas: [{ tokens: 1000, per: month }]"), func(s *site) {
				s.options.Store = &contested{Store: memory.New(), until: time.Now().Add(d)}
				s.start()
				w := s.chatAs(teamKey, 40)
				if d < time.Second {
					s.servedBy(w, "ptu", "")
					return
				}
				s.refused(w, 429, "rate_limit_exceeded")
				if w.Header().Get("X-Should-Retry") != "" || w.Header().Get("Retry-After") != "1" {
					t.Errorf("it is told to come back with %v", w.Header())
				}
				s.wait(d) // the limit goes on to try
			})
		})
	}
}
