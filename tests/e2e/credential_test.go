package e2e_test

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/entra"
)

// Applications of the tenant.
const (
	listedApp = "11111111-aaaa-4000-8000-000000000001"
	otherApp  = "11111111-aaaa-4000-8000-000000000002"
	audience  = "api://spillway-tests"
)

const credentialConsumers = `
entra: { tenant: aaaaaaaa-1111-4000-8000-00000000000a, audience: "api://spillway-tests" }
consumers:
  - { name: red, keys: ["key-of-the-consumer-red-5c1e"], models: [gpt-5] }
  - { name: green, keys: ["key-of-the-consumer-green-5c1e"] }
  - { name: hurried, keys: ["key-of-the-consumer-hurried-5c1e"], requestsPerMinute: 1 }
  - { name: spent, keys: ["key-of-the-consumer-spent-5c1e"], quotas: [{ tokens: 40, per: month }] }
  - { name: app, entra: { appIds: [11111111-aaaa-4000-8000-000000000001] } }
  - { name: role, entra: { roles: [Models.Use] } }
`

// tenantOf starts a tenant, and returns it and the variables of the environment by
// which a program takes it for Microsoft Entra ID.
func tenantOf(t *testing.T) (*entra.Server, *entra.Listener) {
	t.Helper()
	tenant := entra.New(entra.Options{})
	l, err := tenant.Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return tenant, l
}

// knock is a request with a credential, and what becomes of it.
type knock struct {
	name   string
	header http.Header
	path   string
	model  string // default: gpt-5
	status int
	says   string
}

// knocks are requests with all kinds of credentials to all pages.
func knocks(tenant *entra.Server) []knock {
	const chat, usage, status, consumers = "/v1/chat/completions", "/spillway/usage", "/spillway/status", "/spillway/consumers"
	red, green := keyOf("red"), keyOf("green")
	token := func(app string, roles ...string) string { return tenant.CallerToken(app, audience, roles...) }
	expired := tenant.Sign(entra.Claims{"aud": audience, "azp": listedApp, "exp": time.Now().Add(-time.Hour).Unix()})
	return []knock{
		{"nobody", nil, chat, "", 401, "invalid_api_key"},
		{"an unknown key", bearerOf("key-of-the-nobody-at-all-1234567890"), chat, "", 401, "invalid_api_key"},
		{"an empty key", http.Header{"Api-Key": {""}}, chat, "", 401, "invalid_api_key"},
		{"another scheme", http.Header{"Authorization": {"Basic cmVkOmtleQ=="}}, chat, "", 401, "invalid_api_key"},
		{"two keys", http.Header{"Api-Key": {red, green}}, chat, "", 401, "invalid_api_key"},
		{"an admin's key", bearerOf(adminKey), chat, "", 401, "invalid_api_key"},
		{"a consumer", bearerOf(red), chat, "", 200, ""},
		{"a model it has not", bearerOf(red), chat, "o3", 404, "Available: gpt-5."},
		{"a model nobody has", bearerOf(green), chat, "gpt-unknown", 404, "Available: gpt-5, o3."},

		{"its own usage", bearerOf(red), usage, "", 200, `"rows"`},
		{"its own usage by name", bearerOf(red), usage + "?consumer=red", "", 200, `"rows"`},
		{"the usage of another", bearerOf(red), usage + "?consumer=green", "", 403, "own consumer only"},
		{"usage of nobody", nil, usage, "", 401, "invalid_api_key"},
		{"all usage", bearerOf(adminKey), usage + "?consumer=green", "", 200, `"rows"`},
		{"the status as a consumer", bearerOf(red), status, "", 403, "admin key"},
		{"the status as nobody", nil, status, "", 401, "invalid_api_key"},
		{"the status", bearerOf(adminKey), status, "", 200, "pools"},
		{"consumers as a consumer", bearerOf(red), consumers, "", 403, "admin key"},
		{"one consumer as a consumer", bearerOf(red), consumers + "/red", "", 403, "admin key"},
		{"consumers as nobody", nil, consumers, "", 401, "invalid_api_key"},
		{"consumers", bearerOf(adminKey), consumers, "", 200, "consumers"},

		{"a listed application", bearerOf(token(listedApp)), chat, "", 200, ""},
		{"another application", bearerOf(token(otherApp)), chat, "", 401, "invalid_api_key"},
		{"another application with the role", bearerOf(token(otherApp, "Models.Use")), chat, "", 200, ""},
		{"another application with another role", bearerOf(token(otherApp, "Models.Watch")), chat, "", 401, "invalid_api_key"},
		{"another audience", bearerOf(tenant.CallerToken(listedApp, "api://else")), chat, "", 401, "invalid_api_key"},
		{"an expired token", bearerOf(expired), chat, "", 401, "invalid_api_key"},
		{"a token with a wrong signature", bearerOf(token(listedApp)[:400] + strings.Repeat("A", 100)), chat, "", 401, "invalid_api_key"},
		{"its usage by token", bearerOf(token(listedApp)), usage, "", 200, `"rows"`},
		{"usage of another by token", bearerOf(token(listedApp)), usage + "?consumer=red", "", 403, "own consumer only"},
		{"the status by token", bearerOf(token(listedApp, "Models.Use")), status, "", 403, "admin key"},
	}
}

// Whoever calls is told apart by its credential alone, at every page that the
// gateway has.
func TestCredentials(t *testing.T) {
	needsFleet(t)
	tenant, l := tenantOf(t)
	f := startOffice(t, 1, "", credentialConsumers, azureopenai.Options{Output: azureopenai.Output{Fill: true}}, l.Network())
	for _, test := range knocks(tenant) {
		t.Run(test.name, func(t *testing.T) {
			c := call{path: test.path, header: test.header, method: http.MethodGet}
			if !strings.HasPrefix(test.path, "/spillway/") {
				c.method, c.body = http.MethodPost, post{tag: tag{Model: cmp.Or(test.model, "gpt-5")}, maximum: 10}.body()
			}
			got := f.instances[0].send(t, c)
			if got.status != test.status || !strings.Contains(string(got.body), test.says) {
				t.Errorf("status %d, want %d, and %q: %s", got.status, test.status, test.says, got.body)
			}
			if challenge := got.header.Get("Www-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("status %d with the challenge %q", got.status, challenge)
			}
		})
	}
	if n := tenant.Count(entra.Keys); n < 1 || n > 2 {
		t.Errorf("the signing keys were fetched %d times, want once", n)
	}
}

// bearerOf is a header with a key or a token.
func bearerOf(credential string) http.Header {
	return http.Header{"Authorization": {"Bearer " + credential}}
}

// The official client comes back by itself when a rate limit has room again, at the
// time that it was told and not before; and not at all where a quota is spent.
func TestOfficialClientRetries(t *testing.T) {
	needsFleet(t)
	_, l := tenantOf(t)
	f := startOffice(t, 1, "", credentialConsumers, azureopenai.Options{Output: azureopenai.Output{Fill: true}}, l.Network())
	p := f.instances[0]
	// The statuses of a consumer's requests, when there are so many: a record may come
	// a little after its answer.
	asked := func(consumer string, least int) (statuses []int) {
		await.That(t, "the requests leave their records", func() bool {
			statuses = nil
			for _, text := range p.output.Lines() {
				if r, ok := parseRecord(text); ok && r.Consumer == consumer {
					statuses = append(statuses, r.Status)
				}
			}
			return len(statuses) >= least
		})
		return statuses
	}
	params := openai.ChatCompletionNewParams{
		Model: "gpt-5", MaxCompletionTokens: openai.Int(30),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello!")},
	}

	client := openAI.client(t, p, keyOf("spent"))
	if _, err := client.Chat.Completions.New(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	_, err := client.Chat.Completions.New(t.Context(), params)
	var problem *openai.Error
	if !errors.As(err, &problem) || problem.StatusCode != 429 || problem.Code != "insufficient_quota" {
		t.Errorf("a spent quota: %v, want 429 insufficient_quota", err)
	}
	if got := asked("spent", 2); len(got) != 2 || got[1] != 429 {
		t.Errorf("the client asked with the outcomes %v, want 200 and one 429: no retry", got)
	}

	client = openAI.client(t, p, keyOf("hurried"))
	first := time.Now()
	if _, err := client.Chat.Completions.New(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := client.Chat.Completions.New(t.Context(), params); err != nil {
		t.Errorf("the client that waits is refused: %v", err)
	}
	// Where the first two are of different windows there is nothing to wait for.
	least := 3
	if began.Truncate(time.Minute).After(first.Truncate(time.Minute)) {
		least = 2
	}
	got := asked("hurried", least)
	if len(got) != least || got[len(got)-1] != 200 || least == 3 && got[1] != 429 {
		t.Errorf("the client asked with the outcomes %v, want 200, one 429, and 200", got)
	}
	t.Logf("outcomes %v; the client has waited %.1f s, to %.1f s into a minute", got, time.Since(began).Seconds(),
		time.Since(time.Now().Truncate(time.Minute)).Seconds())
}

// A tenant changes its signing keys under load, and is away for a while: no caller
// that has a good token is refused. A gateway that has never reached the tenant says
// that it cannot tell, and lets keys in.
func TestSigningKeys(t *testing.T) {
	needsFleet(t)
	tenant, l := tenantOf(t)
	tenant.Fail(entra.Keys, entra.Fault{Status: 503})
	f := startOffice(t, 2, "", credentialConsumers, azureopenai.Options{Output: azureopenai.Output{Fill: true}}, l.Network())
	ask := func(p *process, credential string) answer { return f.with(t, p, credential) }
	p := f.instances[0]
	first := tenant.CallerToken(listedApp, audience)
	if a := ask(p, first); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("status %d for a token while the keys cannot be fetched, want 503 and when to come back: %s", a.status, a.body)
	}
	if a := ask(p, keyOf("red")); a.status != 200 {
		t.Errorf("status %d for a key meanwhile, want 200", a.status)
	}
	tenant.Recover(entra.Keys)
	await.That(t, "tokens are taken", func() bool { return ask(p, first).status == 200 && ask(f.instances[1], first).status == 200 })
	fetched := time.Now()

	var stop atomic.Bool
	var sent, refused atomic.Int64
	var current atomic.Pointer[string]
	current.Store(&first)
	var all sync.WaitGroup
	for client := range 8 {
		all.Go(func() {
			for turn := 0; !stop.Load(); turn++ {
				credential := first
				if turn%2 == 0 {
					credential = *current.Load()
				}
				sent.Add(1)
				if a := ask(f.instances[(client+turn)%2], credential); a.status != 200 {
					if refused.Add(1) <= 3 {
						t.Errorf("status %d for a good token: %s", a.status, a.body)
					}
				}
				await.Until(t, time.Now().Add(10*time.Millisecond))
			}
		})
	}
	// A gateway fetches keys once in ten seconds at most; a tenant publishes a new key
	// long before it uses it.
	await.Until(t, fetched.Add(11*time.Second))
	tenant.Rotate()
	second := tenant.CallerToken(listedApp, audience)
	current.Store(&second)
	before := sent.Load()
	await.That(t, "tokens of the new key are used", func() bool { return sent.Load() > before+500 })
	tenant.Fail(entra.Keys, entra.Fault{Status: 503})
	before = sent.Load()
	await.That(t, "the tenant is away", func() bool { return sent.Load() > before+500 })
	stop.Store(true)
	all.Wait()
	t.Logf("%d requests with tokens of two keys, %d refused; the keys were fetched %d times by 2 gateways", sent.Load(), refused.Load(), tenant.Count(entra.Keys))
}

// with is the answer to a small request with a credential.
func (f *office) with(t *testing.T, to *process, credential string) answer {
	t.Helper()
	a, err := f.ask(t, to, post{tag: tag{Model: "gpt-5", Number: numbers.Add(1)}, key: credential, maximum: 10})
	if err != nil {
		t.Errorf("no answer: %v", err)
	}
	return a
}
