package clients_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// A client is told when to come back, and does: where each backend is throttled for
// 800 ms, the client's own retry succeeds, and one is enough. A client that is told
// nothing comes back after half a second at most, in vain.
func TestRetryAfterAThrottle(t *testing.T) {
	skipIfShort(t)
	const wait = 800 * time.Millisecond
	for _, client := range official {
		for _, how := range []constructor{openAI, azure} {
			t.Run(client.name+", "+string(how), func(t *testing.T) {
				t.Parallel()
				backends := []*azureopenai.Server{newBackend(backendKey), newBackend(backendKey)}
				var urls []string
				for _, b := range backends {
					b.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Times: 1, RetryAfter: wait})
					urls = append(urls, serve(t, b))
				}
				g := startGateway(t, how, "", urls...)
				lines := client.run(t, service{url: g.url(""), key: callerKey, constructor: how, calls: []string{"chat"}})
				g.stop(t)
				if len(lines) != 1 || lines[0].Error != nil {
					t.Fatalf("the call comes to %+v, want an answer", lines)
				}
				if got := statuses(lines[0]); !slices.Equal(got, []int{429, 200}) {
					t.Fatalf("the client gets %v, want 429 and then 200", got)
				}
				told, err := strconv.ParseInt(lines[0].Answers[0].Header["retry-after-ms"], 10, 64)
				if err != nil || told < 1 || told > wait.Milliseconds() {
					t.Errorf("the 429 asks to wait %d ms, %v; want 1 to %d", told, err, wait.Milliseconds())
				}
				if n := g.requests(); n != 2 {
					t.Errorf("%d requests at the gateway, want 2", n)
				}
				asked := 0
				for _, b := range backends {
					asked += len(b.Requests())
				}
				if asked != 3 {
					t.Errorf("the backends were asked %d times, want 3: each once, and one again", asked)
				}
			})
		}
	}
}

// A client whose quota of the month is spent is told that to ask again is of no use,
// and does not.
func TestNoRetryOfASpentQuota(t *testing.T) {
	skipIfShort(t)
	for _, client := range official {
		for _, how := range []constructor{openAI, azure} {
			t.Run(client.name+", "+string(how), func(t *testing.T) {
				t.Parallel()
				backend := newBackend(backendKey, func(o *azureopenai.Options) { o.Output.Exact = 4000 }) // more than the quota
				g := startGateway(t, how, "    quotas: [{ tokens: 3000, per: month }]\n", serve(t, backend))
				lines := client.run(t, service{url: g.url(""), key: callerKey, constructor: how, calls: []string{"chat", "chat"}})
				g.stop(t)
				if len(lines) != 2 || lines[0].Error != nil || lines[1].Error == nil {
					t.Fatalf("the calls come to %+v, want an answer and an error", lines)
				}
				if got := statuses(lines[1]); !slices.Equal(got, []int{429}) {
					t.Errorf("of the spent quota the client gets %v, want one 429", got)
				}
				if n := g.requests(); n != 2 {
					t.Errorf("%d requests at the gateway, want 2", n)
				}
				if n := len(backend.Requests()); n != 1 {
					t.Errorf("the backend was asked %d times, want once", n)
				}
			})
		}
	}
}

// statuses are those of the answers to a call.
func statuses(l line) []int {
	var all []int
	for _, a := range l.Answers {
		all = append(all, a.Status)
	}
	return all
}
