package azureopenai_test

import (
	"bufio"
	"slices"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// keepAccounts returns an option that keeps the accounts of requests that have
// ended. Each was told of before, with its prompt.
func keepAccounts(t *testing.T, all *[]azureopenai.Account) func(*azureopenai.Options) {
	begun := make(map[int64]int64)
	return func(o *azureopenai.Options) {
		o.Account = func(a azureopenai.Account) {
			if a.End == azureopenai.EventAccepted {
				begun[a.Number] = a.Prompt
				return
			}
			if prompt, ok := begun[a.Number]; !ok || prompt != a.Prompt {
				t.Errorf("request %d ends with a prompt of %d tokens, and began with %d", a.Number, a.Prompt, prompt)
			}
			*all = append(*all, a)
		}
	}
}

// Each request that the limiter has let through leaves one account in the end,
// however that was; one that was refused leaves none. Their sums are the statistics.
func TestAccounts(t *testing.T) {
	type used struct {
		prompt, completion int64
		end                azureopenai.EventKind
		fault              azureopenai.FaultKind
	}
	const wrong = `{"messages":[{"role":"user","content":"Hello!"}],"temperature":9}`
	tests := []struct {
		name  string
		body  string
		fault azureopenai.Fault
		want  []used
	}{
		{"plain", hello, azureopenai.Fault{}, []used{{8, 5, azureopenai.EventFinished, ""}}},
		{"stream", streamed, azureopenai.Fault{}, []used{{8, 5, azureopenai.EventFinished, ""}}},
		{"wrong request", wrong, azureopenai.Fault{}, nil},
		{"throttled", hello, azureopenai.Fault{Kind: azureopenai.FaultThrottle}, nil},
		{"5xx", hello, azureopenai.Fault{Kind: azureopenai.FaultStatus}, []used{{8, 0, azureopenai.EventRejected, azureopenai.FaultStatus}}},
		{"5xx before the limiter", hello, azureopenai.Fault{Kind: azureopenai.FaultStatus, Uncharged: true}, nil},
		{"error as the first event", streamed, azureopenai.Fault{Kind: azureopenai.FaultStreamError}, []used{{8, 0, azureopenai.EventBroken, azureopenai.FaultStreamError}}},
		{"cut", streamed, azureopenai.Fault{Kind: azureopenai.FaultCut, Tokens: 3}, []used{{8, 3, azureopenai.EventBroken, azureopenai.FaultCut}}},
		{"cut after the last token", streamed, azureopenai.Fault{Kind: azureopenai.FaultCut, Tokens: 5}, []used{{8, 5, azureopenai.EventBroken, azureopenai.FaultCut}}},
		{"cut after more tokens than there are", streamed, azureopenai.Fault{Kind: azureopenai.FaultCut, Tokens: 6}, []used{{8, 5, azureopenai.EventFinished, azureopenai.FaultCut}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var all []azureopenai.Account
			s := one(exactly(5), keepAccounts(t, &all))
			if test.fault.Kind != "" {
				s.Inject(test.fault)
			}
			if resp, err := trySend(t.Context(), s, chatPath, test.body); err == nil {
				_, _ = bufio.NewReader(resp.Body).WriteTo(new(strings.Builder)) // it may break off
				resp.Body.Close()
			}
			var got []used
			var prompt, completion int64
			for _, a := range all {
				got = append(got, used{a.Prompt, a.Completion, a.End, a.Fault})
				prompt, completion = prompt+a.Prompt, completion+a.Completion
				if a.Deployment != "gpt-4o" || string(a.Body) != test.body || a.Stream != (test.body == streamed) {
					t.Errorf("the account is of another request: %+v", a)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("accounts %+v, want %+v", got, test.want)
			}
			if stats := s.Stats()["gpt-4o"]; stats.PromptTokens != prompt || stats.CompletionTokens != completion {
				t.Errorf("the accounts are of %d and %d tokens, the statistics of %d and %d", prompt, completion, stats.PromptTokens, stats.CompletionTokens)
			}
		})
	}
}

// A stream that is held after a number of tokens has generated just those that its
// client has got, when the client leaves.
func TestStreamIsHeldAfterTokens(t *testing.T) {
	var all []azureopenai.Account
	s := one(exactly(9), keepAccounts(t, &all))
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Tokens: 4, Times: 1})
	resp := send(t, s, chatPath, streamed)
	in := bufio.NewReader(resp.Body)
	var text strings.Builder
	for azureopenai.CountTokens(text.String()) < 4 {
		content, _ := at(object(t, nextEvent(t, in)), "choices", 0, "delta", "content").(string)
		text.WriteString(content)
	}
	resp.Body.Close()
	if _, err := s.AwaitCanceled(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Completion != 4 || all[0].End != azureopenai.EventCanceled {
		t.Errorf("accounts %+v, want one of 4 tokens that was canceled", all)
	}
	if stats := s.Stats()["gpt-4o"]; stats.CompletionTokens != 4 || stats.Canceled != 1 {
		t.Errorf("statistics %+v, want CompletionTokens 4, Canceled 1", stats)
	}
}
