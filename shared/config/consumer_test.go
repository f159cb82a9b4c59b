package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// parseConsumer parses a text that is in order.
func parseConsumer(t *testing.T, name, text string) Consumer {
	t.Helper()
	consumer, err := ParseConsumer(name, []byte(text))
	if err != nil {
		t.Fatalf("ParseConsumer(%q, %s): %v", name, text, err)
	}
	checkOneConsumer(t, &consumer)
	return consumer
}

// One consumer by itself means what it means in a file: in YAML or JSON, with
// its name or without.
func TestParseConsumer(t *testing.T) {
	const text = `keys: [hush-0123456789abcdef]
models: [gpt-4o]
tokensPerMinute: 100
quotas: []
tokenWeights: { cachedInput: 0 }
spillover: { tokensPerMinute: 10 }
entra: { appIds: [AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee] }
`
	key, _ := readKey("hush-0123456789abcdef", nil)
	want := Consumer{
		Name: "team-c", Keys: []KeyHash{key.(KeyHash)}, Models: []string{"gpt-4o"}, TokensPerMinute: 100,
		TokenWeights: &TokenWeights{CachedInput: 0, Reasoning: 1},
		Spillover:    &Spillover{Allowed: true, TokensPerMinute: 10},
		Entra:        ConsumerEntra{AppIDs: []string{"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"}},
	}
	for _, c := range []struct{ what, name, text string }{
		{"the name is left out", "team-c", text},
		{"the name is written", "team-c", text + "name: team-c\n"},
		{"the name is in the text alone", "", "name: team-c\n" + text},
		{"JSON", "team-c", `{"keys":["hush-0123456789abcdef"],"models":["gpt-4o"],"tokensPerMinute":100,"tokenWeights":{"cachedInput":0.0},` +
			`"spillover":{"tokensPerMinute":10},"entra":{"appIds":["aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"]}}`},
	} {
		if got := parseConsumer(t, c.name, c.text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", c.what, got, want)
		}
	}
}

// Everything that is wrong in one consumer is told at once, and nothing that is
// long enough to be a key.
func TestParseConsumerProblems(t *testing.T) {
	const key = "keys: [hush-0123456789abcdef]\n"
	for _, c := range []struct {
		what, name, text string
		want             []string
	}{
		{"nothing", "team-c", "", []string{`consumer team-c: the text is empty; write at least keys or entra`}},
		{"a list", "team-c", "[1]", []string{`consumer team-c:1: wants keys and values, has a list`}},
		{"two consumers", "team-c", key + "---\n" + key, []string{`consumer team-c:2: a second document begins here; remove the "---": one text holds one consumer`}},
		{"a text too large", "team-c", strings.Repeat("#", MaxConsumerText+1), []string{`consumer team-c: the text is larger than 32 KiB`}},
		{"too many keys", "team-c", "keys:\n" + manyKeys(600), []string{`consumer team-c:1: is larger than 32 KiB with its keys as hashes; give it fewer keys, or fewer models`}},
		{"a name that is none", "hush hush", key, []string{`consumer: name: is not 1 to 64 letters, digits and . _ -; correct it`}},
		{"another name", "team-c", key + "name: team-d\n", []string{`consumer team-c:2: name: is not the name this consumer has; write the same name, or none`}},
		{"no name", "", key, []string{`consumer:1: name: the key is missing; add it`}},
		{"the name of everybody", "anonymous", key, []string{`consumer anonymous:1: name: "anonymous" stands for callers without credentials; give it another name`}},
		{"nobody", "team-c", "shadow: true", []string{`consumer team-c:1: has neither keys nor entra.appIds nor entra.roles: no caller could be this consumer; add one of them`}},
		{"a key twice", "team-c", "keys: [hush-0123456789abcdef, hush-0123456789abcdef]", []string{`consumer team-c:1: keys[1]: the same key is at keys[0]; give each its own key`}},
		{"a variable", "team-c", "keys: [\"${HUSH}\"]", []string{`consumer team-c:1: keys[0]: holds a variable, and variables are not read here; write the value itself, or $${ for the characters ${`}},
		{"a key in the place of others", "team-c", "hush-0123456789abcdef: 1\nkeys: hush-0123456789abcdef\nquotas: [{ tokens: 1, per: hush-0123456789abcdef }]\n", []string{
			`consumer team-c:1: …: there is no such key here; the keys here are name, keys, entra, models, pools, tokensPerMinute, requestsPerMinute, quotas, modelLimits, tokenWeights, shadow, spillover, mayChooseBackend, tags`,
			`consumer team-c:2: keys: wants a list, has a text; write [ ] around it, or - before each item`,
			`consumer team-c:3: quotas[0].per: the value is none of hour, day, week, month; write one of them`,
		}},
		{"several things", "team-c", key + "tokensPerMinute: 0\nmodels: [a, a]\nmodelLimits: [{ model: b, tokensPerMinute: 1 }]\nspillover: 5\nrequestsPerMinutes: 1\nquotas: [{ tokens: 1, per: day }, { tokens: 2, per: day }]", []string{
			`consumer team-c:2: tokensPerMinute: 0 is no limit that can be met; remove the key for no limit`,
			`consumer team-c:3: models[1]: the model is listed twice; remove one of the two`,
			`consumer team-c:4: modelLimits[0].model: is not among the consumer's models; add the model, or remove its limits`,
			`consumer team-c:5: spillover: wants true or false, has a whole number`,
			`consumer team-c:6: …: there is no such key here; did you mean "requestsPerMinute"?`,
			`consumer team-c:7: quotas[1].per: quotas[0] is per "day" already; keep one quota for each period`,
		}},
		{"a tag twice", "team-c", key + "tags: [project, project]", []string{`consumer team-c:2: tags[1]: the tag is listed twice; remove one of the two`}},
		{"a tag in upper case", "team-c", key + "tags: [Project]", []string{
			`consumer team-c:2: tags[0]: "Project" is not the name of a tag: 1 to 32 lower-case letters, digits and _ -, the first a letter; correct it`,
		}},
		{"too many tags", "team-c", key + "tags: [a, b, c, d, e, f, g, h, i]", []string{`consumer team-c:2: tags: lists 9, more than 8; remove some`}},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := ParseConsumer(c.name, []byte(c.text))
			if err == nil || !reflect.DeepEqual(got, Consumer{}) {
				t.Fatalf("got %+v and %v, want no consumer and a refusal", got, err)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("a text that may be a key is told:\n%v", err)
			}
			if want := strings.Join(c.want, "\n"); err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

// A text that is wrong everywhere, or grows through aliases, makes neither a
// huge consumer nor a huge answer.
func TestParseConsumerIsBounded(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"aliases of aliases": {
			"modelLimits:\n  - &bomb { model: a, quotas: [" + strings.Repeat("{ tokens: 1, per: day },", 100) + "] }\n" + strings.Repeat("  - *bomb\n", 100),
			"aliases repeat more than 1000 values; write the values out",
		},
		"merges of merges":  {"entra:\n" + bombOfMerges(7, 60), "there is no such key here"},
		"many unknown keys": {strings.Repeat("tokensPerMinutes: 1\n", 1000), "there are 951 more problems; mend these first"},
		"deep nesting":      {strings.Repeat("[", MaxConsumerText), "exceeded max depth of 10000"},
	} {
		_, err := ParseConsumer("team-c", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.2000v\nwant %q in it", what, err, c.want)
			continue
		}
		if got := len(err.(Problems)); got > oneConsumer.problems+1 {
			t.Errorf("%s: got %d problems, want at most %d", what, got, oneConsumer.problems+1)
		}
	}
}

// manyKeys are the lines of n different plain keys.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - hush-0123456789-%d\n", i)
	}
	return b.String()
}

// A consumer fits beside those of the file if it refers to what there is, and
// is nobody who is there already.
func TestCheckConsumer(t *testing.T) {
	const app, more = "entra: { appIds: [" + appA + "] }", "hush-key-of-team-c"
	config := parse(t, base+`
  - { name: team-d, entra: { appIds: [`+appA+`], roles: [Beside] } }
  - { name: team-e, entra: { roles: [Use] } }
admin: { keys: [{ name: ann, key: hush-the-admin-key }] }
`+entra)
	closed := parse(t, base)
	for _, c := range []struct {
		what, name, text string
		config           *Config
		want             string
	}{
		{"all is well", "team-c", "keys: [" + more + "]\nmodels: [gpt-4o]\npools: [gpt-4o]\nmodelLimits: [{ model: gpt-4o, tokensPerMinute: 1 }]", config, ""},
		{"another role", "team-c", "entra: { roles: [use, Beside] }", config, ""},
		{"the role of another, of an application", "team-c", "entra: { appIds: [" + appB + "], roles: [Use] }", config, ""},
		{"a name of the file", "team-b", "keys: [" + more + "]", config,
			`consumer team-b: name: the name is taken by consumers[1] of the configuration; give it another name`},
		{"a key of the file", "team-c", "keys: [" + more + ", hush-team-b-key-000]", config,
			`consumer team-c: keys[1]: the same key is at consumers[1].keys[0] of the configuration; give each its own key`},
		{"an admin key", "team-c", "keys: [hush-the-admin-key]", config,
			`consumer team-c: keys[0]: the same key is at admin.keys[0] of the configuration; give each its own key`},
		{"an application of the file", "team-c", app, config,
			`consumer team-c: entra.appIds[0]: the same application id is at consumers[2].entra.appIds[0] of the configuration; give it to one consumer`},
		{"a role of the file", "team-c", "entra: { roles: [Use] }", config,
			`consumer team-c: entra.roles[0]: the same role is at consumers[3].entra.roles[0] of the configuration; give it to one consumer, or tell them apart by appIds`},
		{"tokens without a tenant", "team-c", app, closed,
			`consumer team-c: entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`},
		{"unknown models and pools", "team-c", "keys: [" + more + "]\nmodels: [gpt-4, hush-0123456789abcdef]\npools: [production]", config,
			`consumer team-c: models[0]: no pool serves the model "gpt-4"; did you mean "gpt-4o"?` + "\n" +
				`consumer team-c: models[1]: no pool serves the model "…"; define it, or write one of gpt-4o, gpt-4o-mini` + "\n" +
				`consumer team-c: pools[0]: no pool is named "production"; define it, or write one of gpt-4o, gpt-4o-mini`},
		{"limits for an unknown model", "team-c", "keys: [" + more + "]\nmodelLimits: [{ model: o9, tokensPerMinute: 1 }]", config,
			`consumer team-c: modelLimits[0].model: no pool serves the model "o9"; define it, or write one of gpt-4o, gpt-4o-mini`},
		{"a pool of a model it may not use", "team-c", "keys: [" + more + "]\nmodels: [gpt-4o]\npools: [gpt-4o-mini]", config,
			`consumer team-c: pools[0]: serves a model that is not among the consumer's models; add the model, or remove the pool`},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := ""
			if err := c.config.CheckConsumer(parseConsumer(t, c.name, c.text)); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// A configuration knows the consumers of its file by their names.
func TestHasConsumer(t *testing.T) {
	config := parse(t, base)
	for name, want := range map[string]bool{"team-a": true, "team-b": true, "team-c": false, "Team-A": false, "": false} {
		if got := config.HasConsumer(name); got != want {
			t.Errorf("HasConsumer(%q) is %v, want %v", name, got, want)
		}
	}
}

// The first checks may come at the same time, on a configuration that was
// written in Go, too.
func TestCheckConsumerAtOnce(t *testing.T) {
	parsed := parse(t, base)
	config := &Config{Access: parsed.Access, Pools: parsed.Pools, Consumers: parsed.Consumers}
	stranger := parseConsumer(t, "team-c", "keys: [hush-0123456789abcdef]\nmodels: [gpt-4o]")
	double := parseConsumer(t, "team-c", "keys: [hush-team-a-key-000]")
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			if err := config.CheckConsumer(stranger); err != nil {
				t.Errorf("a stranger: got %v, want no problem", err)
			}
			if err := config.CheckConsumer(double); err == nil {
				t.Error("a key of the file: got no problem")
			}
		})
	}
	callers.Wait()
}

// What Encode writes, ParseConsumer reads back, whatever the texts hold. Equal
// consumers are written alike.
func TestEncodedConsumersAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		consumer := drawConsumer(t)
		text := consumer.Encode()
		got, err := ParseConsumer(consumer.Name, text)
		if err != nil {
			t.Fatalf("ParseConsumer(%s): %v", text, err)
		}
		if !reflect.DeepEqual(got, consumer) {
			t.Fatalf("%s\nis read as %+v\nwant       %+v", text, got, consumer)
		}
		if again := got.Encode(); string(again) != string(text) {
			t.Fatalf("the same consumer is written as %s and %s", text, again)
		}
	})
}

// drawConsumer draws a consumer as ParseConsumer returns them.
func drawConsumer(t *rapid.T) Consumer {
	text := rapid.StringMatching(`[!-~äß€$"\\{}]([ -~äß€$"\\{}]{0,10}[!-~])?`)
	limit := rapid.SampledFrom([]int64{0, 1, 999, 1_000_000_000_000})
	quotas := rapid.Custom(func(t *rapid.T) []Quota {
		var quotas []Quota
		for _, per := range []string{"hour", "day", "week", "month"} {
			if rapid.Bool().Draw(t, per) {
				quotas = append(quotas, Quota{Tokens: rapid.Int64Range(1, 1_000_000_000_000_000).Draw(t, "tokens"), Per: per})
			}
		}
		return quotas
	})
	consumer := Consumer{
		Name: rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`).Filter(func(name string) bool { return name != anonymous }).Draw(t, "name"),
		Keys: rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) KeyHash {
			return KeyHash(rapid.SliceOfN(rapid.Byte(), len(KeyHash{}), len(KeyHash{})).Draw(t, "hash"))
		}), 1, 3, rapid.ID[KeyHash]).Draw(t, "keys"),
		Entra: ConsumerEntra{
			AppIDs: drawList(t, "appIds", rapid.StringMatching(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)),
			Roles:  drawList(t, "roles", rapid.StringMatching(`[!-~]{1,120}`)),
		},
		Models: drawList(t, "models", text), Pools: drawList(t, "pools", text),
		TokensPerMinute: limit.Draw(t, "tokensPerMinute"), RequestsPerMinute: limit.Draw(t, "requestsPerMinute"),
		Quotas:           quotas.Draw(t, "quotas"),
		Shadow:           rapid.Bool().Draw(t, "shadow"),
		MayChooseBackend: rapid.Bool().Draw(t, "mayChooseBackend"),
		Tags:             drawList(t, "tags", rapid.StringMatching(`[a-z][a-z0-9_-]{0,31}`)),
	}
	for _, model := range consumer.Models {
		consumer.ModelLimits = append(consumer.ModelLimits, ModelLimit{
			Model: model, TokensPerMinute: 1, RequestsPerMinute: limit.Draw(t, "requests"), Quotas: quotas.Draw(t, "quotas"),
		})
	}
	if rapid.Bool().Draw(t, "weights") {
		consumer.TokenWeights = &TokenWeights{
			CachedInput: rapid.Float64Range(0, 1).Draw(t, "cachedInput"), Reasoning: rapid.Float64Range(0, 10).Draw(t, "reasoning"),
		}
	}
	consumer.Spillover = rapid.SampledFrom([]*Spillover{nil, {}, {Allowed: true}, {Allowed: true, TokensPerMinute: 1}}).Draw(t, "spillover")
	return consumer
}

// drawList draws some different texts, or nil.
func drawList(t *rapid.T, label string, item *rapid.Generator[string]) []string {
	list := rapid.SliceOfNDistinct(item, 0, 3, rapid.ID[string]).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

// The text of a consumer is the same for ever: rows that were written once are
// compared with it.
func TestEncode(t *testing.T) {
	consumer := Consumer{
		Name: "team-c", Keys: []KeyHash{{31: 1}}, Models: []string{`a"${b}`}, TokenWeights: &TokenWeights{Reasoning: 1.5}, Spillover: &Spillover{},
		Quotas: []Quota{{Tokens: 5, Per: "day"}}, MayChooseBackend: true, Tags: []string{"project"},
	}
	const want = `{"name":"team-c","keys":["sha256:0000000000000000000000000000000000000000000000000000000000000001"],"models":["a\"$${b}"],` +
		`"quotas":[{"tokens":5,"per":"day"}],"tokenWeights":{"cachedInput":0,"reasoning":1.5},"spillover":false,"mayChooseBackend":true,"tags":["project"]}`
	if got := string(consumer.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
