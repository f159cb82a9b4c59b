package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/secrets"
)

// secretive is the configuration of a gateway before two backends that are told a
// secret each, and may be indiscreet.
const secretive = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
breaker: { failures: 1000 }
backends:
  - { name: keyed, endpoint: "${KEYED}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: keyed }] }
  - { name: bearing, endpoint: "${BEARING}", auth: { managedIdentity: {} }, deployments: [{ model: bearing }] }
pools:
  - { model: keyed, members: [{ backend: keyed }] }
  - { model: bearing, members: [{ backend: bearing }] }
consumers: [{ name: caller, keys: ["${CALLER_KEY}"] }]
`

// A backend or a host that repeats the secret it was shown, in an error as in any
// answer, is not believed that it is meant for the client: neither the log nor an
// answer has it. All that these tests read is looked at for secrets; this one makes
// others tell them.
func TestIndiscreetServices(t *testing.T) {
	keyed := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "keyed"}}})
	bearing := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "bearing"}}})
	const header = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"statusCode":400,"message":"The header was ` + r.Header.Get("X-Identity-Header") + `."}`))
	}))
	t.Cleanup(host.Close)
	env := settings()
	env["KEYED"], env["BEARING"] = keyed.url, bearing.url
	env["IDENTITY_ENDPOINT"], env["IDENTITY_HEADER"] = host.URL+"/msi/token", header
	p := start(t, secretive, env)

	for _, status := range []int{401, 403, 429, 500} {
		keyed.Clear()
		keyed.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: status, Body: `{"error":{"code":"401","message":"Incorrect API key provided: ` + backendKey + `."}}`})
		a := p.send(t, call{path: "/v1/chat/completions", key: callerKey, body: chatBody("keyed")})
		if a.status < 400 || a.status == http.StatusUnauthorized {
			t.Errorf("a backend that answers %d: status %d", status, a.status)
		}
	}
	a := p.send(t, call{path: "/v1/chat/completions", key: callerKey, body: chatBody("bearing")})
	if a.status != http.StatusServiceUnavailable {
		t.Errorf("status %d without a token for the backend, want 503: %s", a.status, a.body)
	}
	for _, path := range []string{"/spillway/status", "/spillway/", "/spillway/healthz"} {
		p.send(t, call{method: http.MethodGet, path: path, key: adminKey, from: classic}).served(t)
	}
	if bearing.requests() > 0 {
		t.Error("a backend was called without the token that it needs")
	}
	// Or the run is void. Lines wait for others before they are written.
	await.That(t, "the log tells of it", func() bool { return strings.Contains(p.output.String(), `"status":503`) })
}

// A configuration with a mistake in it is told without the secrets that it holds.
func TestMistakesAreToldWithoutSecrets(t *testing.T) {
	const hidden = "a-secret-that-stands-in-a-configuration"
	secrets.Register("a secret of a configuration", hidden)
	good := strings.Replace(secretive, "${CALLER_KEY}", hidden, 1)
	for name, yaml := range map[string]string{
		"a key twice":              strings.Replace(good, "consumers: [", `consumers: [{ name: other, keys: ["`+hidden+`"] }, `, 1),
		"a key as a number":        strings.Replace(good, `keys: ["`+hidden+`"]`, `keys: [{ `+hidden+`: 1 }]`, 1),
		"a key in the wrong place": strings.Replace(good, "name: caller", "name: "+hidden+", colour: blue", 1),
		"a key for an endpoint":    strings.Replace(good, `endpoint: "${KEYED}"`, `endpoint: "https://user:`+hidden+`@contoso.openai.azure.com"`, 1),
		"a key that is a list":     strings.Replace(good, `apiKey: "${BACKEND_KEY}"`, `apiKey: ["`+hidden+`"]`, 1),
		"not YAML":                 good + "\n\t- " + hidden + ": [",
	} {
		t.Run(name, func(t *testing.T) {
			env := settings()
			env["KEYED"], env["BEARING"], env["SPILLWAY_CONFIG_YAML"] = "http://127.0.0.1:9", "http://127.0.0.1:9", yaml
			if got := run(t, env, "validate"); got.code != 1 || got.stderr == "" {
				t.Errorf("exit code %d, want 1 and why: %s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}
