package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// example is the configuration that uses every key.
const example = "testdata/gateway.yaml"

// variables is the environment of the tests. Every value is one that must
// never be seen in an error.
var variables = map[string]string{
	"AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=hush-connection",
	"PTU_KEY":             "hush-ptu-key",
	"PAYG_TPM":            "30000",
	"TEAM_SEARCH_KEY":     "hush-team-search-key",
	"TEAM_BATCH_KEY":      "hush-team-batch-key",
	"ON_CALL_KEY":         "hush-on-call-key",
	"CONTOSO_TEAM":        "hush-contoso-team",
	"TEAM_A_KEY":          "hush-team-a-key-000",
	"TEAM_B_KEY":          "hush-team-b-key-000",
	"SHORT_KEY":           "hush-short",
	"WORD":                "hush-word",
	"LINES":               "hush-line\nhush-line",
	"BRACES":              "${WORD}",
	"YAML":                "hush, spillover: true }",
	"EMPTY":               "",
	"TPM":                 "4000",
	"WAIT":                "1500ms",
	"NO":                  "false",
	"BACKEND":             "hush-backend",
}

func env(name string) (string, bool) {
	value, set := variables[name]
	return value, set
}

func readExample(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("gateway.yaml", []byte(text), env)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	checkInvariants(t, c)
	return c
}

// minimal is the shortest configuration that is accepted.
const minimal = `
access: open
backends: [{ name: one, endpoint: "https://contoso.openai.azure.com/", deployments: [{ model: gpt-4o }] }]
pools: [{ model: gpt-4o, members: [{ backend: one }] }]
`

func TestAbsentKeysHaveTheirDefaults(t *testing.T) {
	c := parse(t, minimal)
	c.Backends[0].Endpoint = nil // compared below
	want := &Config{
		Access: "open",
		State:  State{Store: "memory", Table: "spillway", OnUnavailable: "allow"},
		Backends: []Backend{{
			Name: "one", API: "azure",
			Deployments: []Deployment{{Model: "gpt-4o", Deployment: "gpt-4o", Accounting: "azure"}},
		}},
		Pools: []Pool{{
			Model: "gpt-4o", Name: "gpt-4o", Strategy: "weighted",
			Members: []Member{{Backend: "one", Priority: 1, Weight: 1}},
		}},
		Breaker: Breaker{
			Failures: 5, Interval: 10 * time.Second, StatusCodes: []StatusRange{{500, 599}},
			OpenFor: 10 * time.Second, MaxOpenFor: 300 * time.Second, MaxRetryAfter: time.Minute,
		},
		Retry:    Retry{Budget: 0.2},
		Timeouts: Timeouts{Connect: 5 * time.Second, ResponseHeaders: 2 * time.Minute, StreamIdle: time.Minute, Total: 225 * time.Second},
		Limits:   Limits{RequestBody: 32 << 20, Consumers: 100000},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if got := parse(t, minimal).Backends[0].Endpoint.String(); got != "https://contoso.openai.azure.com" {
		t.Errorf("endpoint %q keeps its slash, want %q", got, "https://contoso.openai.azure.com")
	}
}

// A default may depend on another key; what is written is never changed.
func TestDerivedDefaults(t *testing.T) {
	accounting := func(extra string) string {
		return parse(t, strings.Replace(minimal, "deployments", extra+", deployments", 1)).Backends[0].Deployments[0].Accounting
	}
	for api, want := range map[string]string{"azure": "azure", "azure-v1": "azure", "openai": "actual"} {
		if got := accounting("api: " + api); got != want {
			t.Errorf("api %s: accounting %s, want %s", api, got, want)
		}
	}
	prices := parse(t, minimal+`prices: [{ model: gpt-4o, inputPerMillion: 3 }]`).Prices[0]
	if prices != (Price{Model: "gpt-4o", InputPerMillion: 3, CachedInputPerMillion: 3}) {
		t.Errorf("cached input of %+v is not priced as input", prices)
	}
	prices = parse(t, minimal+`prices: [{ model: gpt-4o, inputPerMillion: 3, cachedInputPerMillion: 0 }]`).Prices[0]
	if prices.CachedInputPerMillion != 0 {
		t.Errorf("a price of 0 became %v, want 0", prices.CachedInputPerMillion)
	}
	times := parse(t, minimal+`timeouts: { total: 30s }`).Timeouts
	if times != (Timeouts{Connect: 5 * time.Second, ResponseHeaders: 30 * time.Second, StreamIdle: 30 * time.Second, Total: 30 * time.Second}) {
		t.Errorf("timeouts %+v are longer than their total", times)
	}
	for api, want := range map[string]string{
		"azure": "https://cognitiveservices.azure.com/.default", "azure-v1": "https://ai.azure.com/.default",
	} {
		identity := parse(t, strings.Replace(minimal, "deployments", "api: "+api+`, auth: { managedIdentity: { clientId: "", scope: "" } }, deployments`, 1)).Backends[0].Auth.ManagedIdentity
		if identity == nil || *identity != (ManagedIdentity{Scope: want}) {
			t.Errorf("api %s: managed identity %+v, want the scope %s", api, identity, want)
		}
	}
}

func TestExample(t *testing.T) {
	c, err := Load(example, env)
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, c)
	search := c.Consumers[0]
	for what, ok := range map[string]bool{
		"the connection is that of the variable": c.State.Connection.Reveal() == variables["AzureWebJobsStorage"],
		"the key is that of the variable":        c.Backends[0].Auth.APIKey.Reveal() == variables["PTU_KEY"],
		"a date is a text":                       c.Backends[0].APIVersion == "2024-10-21",
		"a number comes from a variable":         c.Backends[1].Deployments[0].TokensPerMinute == 30000,
		"a key that is a hash is that hash":      search.Keys[0].String() == "sha256:9f86d081…",
		"an application id is in lower case":     search.Entra.AppIDs[0] == "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
		"a role is as written":                   search.Entra.Roles[0] == "Models.Use",
		"tokens have weights":                    *search.TokenWeights == TokenWeights{CachedInput: 0.5, Reasoning: 2},
		"tokens may have no weights":             c.Consumers[1].TokenWeights == nil,
		"a model has limits of its own":          search.ModelLimits[0].Quotas[0] == Quota{Tokens: 200000, Per: "day"},
		"a consumer is in shadow":                c.Consumers[1].Shadow && !search.Shadow,
		"a backend has a region":                 c.Backends[0].Region == "eastus",
		"a header comes from a variable":         c.Backends[2].Headers["X-Contoso-Team"].Reveal() == variables["CONTOSO_TEAM"],
		"certificates are read":                  c.Backends[2].Roots != nil && c.Backends[1].Roots == nil,
		"a backend keeps files":                  c.Backends[1].Files && !c.Backends[0].Files,
		"a consumer may choose":                  search.MayChooseBackend && !c.Consumers[1].MayChooseBackend,
		"a consumer may tag its requests":        slices.Equal(search.Tags, []string{"project", "environment"}) && c.Consumers[1].Tags == nil,
		"a plain admin key is named by its hash": c.Admin.Keys[0].Name == "sha256:60303ae2…",
		"an admin key has the name written":      c.Admin.Keys[1].Name == "on-call",
		"spillover has a limit":                  *search.Spillover == Spillover{Allowed: true, TokensPerMinute: 500},
		"spillover is off":                       *c.Consumers[1].Spillover == Spillover{},
		"durations add up":                       c.Timeouts.ResponseHeaders == 90*time.Second,
		"status codes":                           fmt.Sprint(c.Breaker.StatusCodes) == "[500 502-599]",
		"sizes are in bytes":                     c.Limits.RequestBody == 16<<20,
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

func TestExampleUsesEveryKey(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(readExample(t), &doc); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{"state.endpoint": true} // excludes state.connection
	var walk func(n *yaml.Node, at string)
	walk = func(n *yaml.Node, at string) {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			key := strings.TrimPrefix(at+"."+n.Content[i].Value, ".")
			written[key] = true
			walk(n.Content[i+1], key)
		}
		for i := 0; n.Kind == yaml.SequenceNode && i < len(n.Content); i++ {
			walk(n.Content[i], at)
		}
	}
	walk(doc.Content[0], "")
	var check func(typ reflect.Type, at string)
	check = func(typ reflect.Type, at string) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if _, scalar := scalarOf(reflect.PointerTo(typ), &field{}); scalar || typ == rangeType || typ.Kind() != reflect.Struct {
			return
		}
		for _, f := range fieldsOf(typ) {
			key := strings.TrimPrefix(at+"."+f.name, ".")
			if !written[key] {
				t.Errorf("%s does not use the key %s", example, key)
			}
			if f.doc == "" {
				t.Errorf("the key %s has no description", key)
			}
			check(f.typ, key)
		}
	}
	check(reflect.TypeFor[Config](), "")
}

// JSON is YAML: the same configuration in JSON is the same.
func TestExampleAsJSON(t *testing.T) {
	text, err := json.Marshal(plain(t, readExample(t)))
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := parseIn("testdata", "gateway.json", text, env)
	if err != nil {
		t.Fatal(err)
	}
	fromYAML, err := Load(example, env)
	if err != nil {
		t.Fatal(err)
	}
	if !fromJSON.Backends[2].Roots.Equal(fromYAML.Backends[2].Roots) {
		t.Error("JSON has other certificates than YAML")
	}
	fromJSON.Backends[2].Roots = fromYAML.Backends[2].Roots // compared just now
	if !reflect.DeepEqual(fromJSON, fromYAML) {
		t.Errorf("JSON: %+v\nYAML: %+v", fromJSON, fromYAML)
	}
}

// plain turns YAML into what encoding/json works with. Dates stay texts.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var convert func(n *yaml.Node) any
	convert = func(n *yaml.Node) any {
		switch n.Kind {
		case yaml.MappingNode:
			m := map[string]any{}
			for i := 0; i < len(n.Content); i += 2 {
				m[n.Content[i].Value] = convert(n.Content[i+1])
			}
			return m
		case yaml.SequenceNode:
			list := []any{}
			for _, item := range n.Content {
				list = append(list, convert(item))
			}
			return list
		}
		if n.ShortTag() == "!!timestamp" {
			return n.Value
		}
		var v any
		if err := n.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	return convert(doc.Content[0])
}

func TestVariables(t *testing.T) {
	c := parse(t, strings.Replace(minimal, "{ model: gpt-4o }]", `{ model: gpt-4o, deployment: "x-${WORD}-$${WORD}-$5", tokensPerMinute: "${TPM}" }]`, 1)+`
consumers: [{ name: a, keys: ["${TEAM_A_KEY}"], spillover: "${NO}" }]
timeouts: { connect: "${WAIT}" }
admin: { keys: ["${BRACES}-is-not-expanded-again", "${YAML}"] }
`)
	d := c.Backends[0].Deployments[0]
	if want := "x-hush-word-${WORD}-$5"; d.Deployment != want {
		t.Errorf("deployment %q, want %q", d.Deployment, want)
	}
	if d.TokensPerMinute != 4000 || c.Timeouts.Connect != 1500*time.Millisecond {
		t.Errorf("numbers of variables: %d, %s, want 4000, %s", d.TokensPerMinute, c.Timeouts.Connect, 1500*time.Millisecond)
	}
	if s := c.Consumers[0].Spillover; s == nil || s.Allowed {
		t.Errorf("spillover %+v, want false: a variable must not add keys", s)
	}
	for i, want := range []string{"${WORD}-is-not-expanded-again", variables["YAML"]} {
		key, problem := readKey(want, &field{})
		if problem != nil || key != c.Admin.Keys[i].Key {
			t.Errorf("admin key %d is not that of %q", i, want)
		}
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c := parse(t, `
access: open
backends:
  - &first
    name: one
    endpoint: https://contoso-one.openai.azure.com
    deployments: &four
      - &model { model: gpt-4o, tokensPerMinute: 1000 }
      - { <<: *model, model: gpt-4o-mini, spillBelow: 10 }
  - <<: *first
    name: two
    endpoint: https://contoso-two.openai.azure.com
  - { name: three, endpoint: https://contoso-three.openai.azure.com, deployments: *four }
pools: [{ model: gpt-4o, members: [{ backend: one }, { backend: two }, { backend: three }] }]
`)
	want := []Deployment{
		{Model: "gpt-4o", Deployment: "gpt-4o", TokensPerMinute: 1000, Accounting: "azure"},
		{Model: "gpt-4o-mini", Deployment: "gpt-4o-mini", TokensPerMinute: 1000, SpillBelow: 10, Accounting: "azure"},
	}
	for i, b := range c.Backends {
		if !reflect.DeepEqual(b.Deployments, want) {
			t.Errorf("backends[%d]: %+v", i, b.Deployments)
		}
	}
	if c.Backends[1].Name != "two" || c.Backends[1].Endpoint.Host != "contoso-two.openai.azure.com" {
		t.Errorf("what is written does not win over what is merged: %+v", c.Backends[1])
	}
}

func TestLookups(t *testing.T) {
	c, err := Load(example, env)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Pool("production"); p == nil || p != &c.Pools[0] || c.Pool("gpt-4o") != nil {
		t.Error("Pool does not find pools by name")
	}
	if p := c.DefaultPool("gpt-4o"); p != &c.Pools[0] || c.DefaultPool("production") != nil {
		t.Error("DefaultPool does not find pools by model")
	}
	if got := c.Models(); !reflect.DeepEqual(got, []string{"gpt-4o", "gpt-4o-mini"}) {
		t.Errorf("Models: %v", got)
	}
	if b := c.Backend("local"); b != &c.Backends[2] || c.Backend("gpt-4o") != nil {
		t.Error("Backend does not find backends by name")
	}
	if d := c.Backends[0].DeploymentFor("gpt-4o-mini"); d != &c.Backends[0].Deployments[1] || c.Backends[2].DeploymentFor("gpt-4o") != nil {
		t.Error("DeploymentFor does not find deployments by model")
	}
}

// However a secret is printed, it is not seen.
func TestSecretsDoNotPrint(t *testing.T) {
	secret := struct {
		S Secret
		P *Secret
		K KeyHash
	}{S: "hush-secret"}
	secret.P = &secret.S
	secret.K[31] = 0xee
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{secret.S, secret.P, secret, []Secret{secret.S}, map[Secret]Secret{secret.S: secret.S}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "hush") || strings.Contains(got, fmt.Sprintf("%x", "hush")) {
				t.Errorf("%s of %T: %s", verb, value, got)
			}
		}
	}
	asJSON, err := json.Marshal(secret)
	if err != nil || strings.Contains(string(asJSON), "hush") {
		t.Errorf("JSON: %s, %v", asJSON, err)
	}
	asYAML, err := yaml.Marshal(secret)
	if err != nil || strings.Contains(string(asYAML), "hush") {
		t.Errorf("YAML: %s, %v", asYAML, err)
	}
	if secret.K.String() != "sha256:00000000…" {
		t.Errorf("a key's hash prints as %s", secret.K)
	}
	if want := "sha256:" + strings.Repeat("0", 62) + "ee"; secret.K.Reveal() != want {
		t.Errorf("a key's hash is revealed as %s, want %s", secret.K.Reveal(), want)
	}
	if secret.S.Reveal() != "hush-secret" {
		t.Error("Reveal does not reveal")
	}
}
