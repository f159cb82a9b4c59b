package config

import (
	"strings"
	"testing"
)

// onTeamA gives the first consumer of the base more keys.
func onTeamA(more string) (from, to string) {
	return `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], ` + more
}

func teamA(name, more string, want ...string) problemCase {
	from, to := onTeamA(more)
	return problemCase{name, from, to, want}
}

const appA, appB = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"

// entra is the line that lets tokens in.
const entra = "entra: { tenant: contoso.com, audience: api://contoso }\n"

func TestAccessProblems(t *testing.T) {
	consumers := base[strings.Index(base, "consumers:"):]
	runProblemCases(t, []problemCase{
		{"keys without consumers", consumers, "",
			[]string{`gateway.yaml:1: access: nobody could call: access is by key, and there are no consumers; add consumers with keys or entra, or write access: open; with state.store: tables and admin.keys consumers may also be added at run time`}},
		{"keys with an empty list of consumers", consumers, "consumers: []\n",
			[]string{`gateway.yaml:1: access: nobody could call: access is by key, and there are no consumers; add consumers with keys or entra, or write access: open; with state.store: tables and admin.keys consumers may also be added at run time`}},
		{"consumer without keys", `, keys: ["${TEAM_A_KEY}"]`, "",
			[]string{`gateway.yaml:18: consumers[0]: has neither keys nor entra.appIds nor entra.roles: no caller could be this consumer; add one of them`}},
		{"too many consumers", "", "limits: { consumers: 1 }\n",
			[]string{`gateway.yaml:18: consumers: there are 2 consumers, more than limits.consumers; raise limits.consumers`}},
		{"two consumers of one name", "name: team-b", "name: team-a",
			[]string{`gateway.yaml:19: consumers[1].name: the consumer name "team-a" is taken by consumers[0]; give it another name`}},
		{"a consumer in the name of everybody", "name: team-b", "name: anonymous",
			[]string{`gateway.yaml:19: consumers[1].name: "anonymous" stands for callers without credentials; give it another name`}},
		{"one key of two consumers", "${TEAM_B_KEY}", "${TEAM_A_KEY}",
			[]string{`gateway.yaml:19: consumers[1].keys[0]: the same key is at consumers[0].keys[0]; give each its own key`}},
		{"one key of a consumer and the admin", "", "admin: { keys: [\"${TEAM_B_KEY}\"] }\n",
			[]string{`gateway.yaml:20: admin.keys[0]: the same key is at consumers[1].keys[0]; give each its own key`}},
		{"a key and its hash", "${TEAM_B_KEY}", `sha256:90288dda4f0403d068f8513aaba3c37b2986b6d05f61da3e67f15913aa95dace", "hush-the-same-key-twice`,
			[]string{`gateway.yaml:19: consumers[1].keys[1]: the same key is at consumers[1].keys[0]; give each its own key`}},
		teamA("applications without a tenant", "entra: { appIds: ["+appA+"] }",
			`gateway.yaml:18: consumers[0].entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`),
		{"tenant without applications", "", "entra: { tenant: contoso.com, audience: api://contoso }\n",
			[]string{`gateway.yaml:20: entra: is of no use: no consumer has entra.appIds or entra.roles; give a consumer one of them, or remove entra`}},
		{"tenant without an audience", `keys: ["${TEAM_A_KEY}"] }`, "entra: { appIds: [" + appA + "] } }\n  - { name: team-c, entra: { appIds: [" + strings.ToUpper(appA) + "] } }",
			[]string{
				`gateway.yaml:18: consumers[0].entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`,
				`gateway.yaml:19: consumers[1].entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`,
				`gateway.yaml:19: consumers[1].entra.appIds[0]: the same application id is at consumers[0].entra.appIds[0]; give it to one consumer`,
			}},
		{"one role of two consumers", consumers, "consumers:\n  - { name: team-a, entra: { roles: [Use] } }\n  - { name: team-b, entra: { roles: [use, Use] } }\n" + entra,
			[]string{`gateway.yaml:19: consumers[1].entra.roles[1]: the same role is at consumers[0].entra.roles[0]; give it to one consumer, or tell them apart by appIds`}},
		{"one role twice, beside an application", consumers, "consumers: [{ name: team-a, entra: { appIds: [" + appA + "], roles: [Use, Use] } }]\n" + entra,
			[]string{`gateway.yaml:17: consumers[0].entra.roles[1]: the role is listed twice; remove one of the two`}},
		{"two admin keys of one name", "", "admin: { keys: [{ name: ann, key: hush-first-admin }, { name: ann, key: hush-second-admin }] }\n",
			[]string{`gateway.yaml:20: admin.keys[1].name: the name "ann" is taken by admin.keys[0]; give it another name`}},
		{"one admin key twice", "", "admin: { keys: [hush-first-admin, hush-first-admin] }\n",
			[]string{`gateway.yaml:20: admin.keys[1]: the same key is at admin.keys[0]; give each its own key`}},
		{"every tenant there is", consumers, "consumers: [{ name: team-a, entra: { appIds: [" + appA + ", " + appB + "] } }]\nentra: { tenant: common, audience: api://contoso }\n",
			[]string{`gateway.yaml:18: entra.tenant: stands for many tenants, whose tokens cannot all be trusted; write the id of your tenant`}},
		{"entra without its keys", "", "entra: {}\n",
			[]string{
				`gateway.yaml:20: entra.tenant: the key is missing; add it`,
				`gateway.yaml:20: entra.audience: the key is missing; add it`,
			}},
	})
}

// With tables and an administrator consumers can come at run time: a file
// without any is in order then, and so is a tenant that none of the file uses.
func TestConsumersMayComeAtRunTime(t *testing.T) {
	empty := base[:strings.Index(base, "consumers:")]
	const tables = "state: { store: tables, connection: UseDevelopmentStorage=true }\n"
	const admins = "admin: { keys: [hush-admin-key-00] }\n"
	const nobody = "nobody could call"
	for _, c := range []struct{ name, text, want string }{
		{"tables and admin keys", empty + tables + admins, ""},
		{"tables, admin keys and a tenant", empty + tables + admins + entra, ""},
		{"tables without admin keys", empty + tables, nobody},
		{"admin keys without tables", empty + admins, nobody},
		{"a tenant for consumers to come", base + tables + entra, ""},
		{"a tenant without tables", base + entra, "is of no use"},
	} {
		_, err := Parse("gateway.yaml", []byte(c.text), env)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: got %v, want no problem", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestStateProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		{"tables of no account", "", "state: { store: tables }\n",
			[]string{`gateway.yaml:20: state: store: tables needs a storage account; add connection (a connection string) or endpoint (managed identity)`}},
		{"tables of two accounts", "", "state: { store: tables, connection: \"${AzureWebJobsStorage}\", endpoint: https://contoso.table.core.windows.net }\n",
			[]string{`gateway.yaml:20: state.endpoint: connection and endpoint exclude each other; remove one of the two`}},
		{"an account that is not used", "", "state: { connection: \"${AzureWebJobsStorage}\" }\n",
			[]string{`gateway.yaml:20: state: a storage account is given, and store is memory; add store: tables`}},
		{"a connection that could not be read", "", "state: { store: tables, connection: \"${NOT_SET}\" }\n",
			[]string{`gateway.yaml:20: state.connection: the environment variable NOT_SET is not set; set it`}},
		{"a URL as the connection", "", "state: { store: tables, connection: \"https://contoso.table.core.windows.net/?sig=hush\" }\n",
			[]string{`gateway.yaml:20: state.connection: the value is not a connection string; copy it from the storage account's access keys, or write UseDevelopmentStorage=true; a URL belongs in endpoint`}},
		{"a reserved table", "", "state: { table: Tables }\n",
			[]string{`gateway.yaml:20: state.table: the name is reserved by Azure Table Storage; choose another name`}},
		{"what a limit does", "", "state: { onUnavailable: fairshare }\n",
			[]string{`gateway.yaml:20: state.onUnavailable: "fairshare" is none of allow, fairShare, deny; did you mean "fairShare"?`}},
	})
}

func TestBackendProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		{"two backends of one name", "name: payg", "name: ptu-eastus",
			[]string{
				`gateway.yaml:9: backends[1].name: the backend name "ptu-eastus" is taken by backends[0]; give it another name`,
				`gateway.yaml:14: pools[0].members[1].backend: no backend is named "payg"; define it, or write one of ptu-eastus`,
			}},
		{"two credentials", "{ apiKey: \"${PTU_KEY}\" }", "{ apiKey: \"${PTU_KEY}\", managedIdentity: {} }",
			[]string{`gateway.yaml:5: backends[0].auth: apiKey and managedIdentity exclude each other; remove one of the two`}},
		{"no scope for tokens", "name: payg", "name: payg\n    api: openai\n    auth: { managedIdentity: {} }",
			[]string{`gateway.yaml:11: backends[1].auth.managedIdentity.scope: the key is missing, and api: openai has no default; write the scope of the service`}},
		{"a token in clear text", "https://contoso.openai.azure.com", "http://contoso.openai.azure.com\n    auth: { managedIdentity: {} }",
			[]string{`gateway.yaml:10: backends[1].endpoint: would carry the token of the managed identity in clear text; write https`}},
		{"path of another API", "https://contoso.openai.azure.com", "https://contoso.openai.azure.com/openai/v1/",
			[]string{`gateway.yaml:10: backends[1].endpoint: ends with /openai/v1, the path of another API; write api: azure-v1, or remove /openai/v1 from the end`}},
		{"half of a path", "https://contoso.openai.azure.com", "https://contoso.openai.azure.com/openai\n    api: azure-v1",
			[]string{`gateway.yaml:10: backends[1].endpoint: ends with /openai, which the gateway adds itself; remove /openai from the end`}},
		{"version of openai", "name: payg", "name: payg\n    api: openai\n    apiVersion: 2024-10-21",
			[]string{`gateway.yaml:11: backends[1].apiVersion: api: openai has no API versions; remove it`}},
		{"version without a date", "name: payg", "name: payg\n    apiVersion: preview",
			[]string{`gateway.yaml:10: backends[1].apiVersion: api: azure wants a dated API version; write one such as 2024-10-21, or use api: azure-v1`}},
		{"version with a date", "name: payg", "name: payg\n    api: azure-v1\n    apiVersion: 2024-10-21",
			[]string{`gateway.yaml:11: backends[1].apiVersion: api: azure-v1 has no dated API versions; remove it, or use api: azure`}},
		{"no such day", "name: payg", "name: payg\n    apiVersion: 2024-13-21-preview",
			[]string{`gateway.yaml:10: backends[1].apiVersion: "2024-13-21-preview" is not a date; write an API version such as 2024-10-21`}},
		{"a model twice", "model: gpt-4o-mini }\n  - name: payg", "model: gpt-4o-mini }\n      - { model: gpt-4o }\n  - name: payg",
			[]string{`gateway.yaml:9: backends[0].deployments[2].model: the model "gpt-4o" is in deployments[0] already; remove one of the two`}},
		{"one deployment, two limits", "{ model: gpt-4o-mini }\n  -", "{ model: gpt-4o-mini, deployment: gpt-4o, tokensPerMinute: 5 }\n  -",
			[]string{`gateway.yaml:8: backends[0].deployments[1]: is the same deployment as deployments[0], with other limits; give both the same limits and accounting`}},
		{"never below", "tokensPerMinute: 10000", "tokensPerMinute: 10000, spillBelow: 10000",
			[]string{`gateway.yaml:7: backends[0].deployments[0].spillBelow: is not below tokensPerMinute: no request would ever be sent here; lower it`}},
		{"below no limit", "tokensPerMinute: 10000", "spillBelow: 600",
			[]string{`gateway.yaml:7: backends[0].deployments[0].spillBelow: is of no use without tokensPerMinute; add tokensPerMinute, or remove spillBelow`}},
	})
}

func TestPoolProblems(t *testing.T) {
	pool := func(name, more string, want ...string) problemCase {
		return problemCase{name, "model: gpt-4o-mini\n    members: [{ backend: ptu-eastus }]\n", "model: gpt-4o-mini\n" + more, want}
	}
	runProblemCases(t, []problemCase{
		pool("no members", "    name: x\n",
			`gateway.yaml:15: pools[1].members: the key is missing; add it`),
		pool("empty members", "    members: []\n",
			`gateway.yaml:16: pools[1].members: is an empty list; list at least one`),
		pool("unknown backend", "    members: [{ backend: ptu-eatus }]\n",
			`gateway.yaml:16: pools[1].members[0].backend: no backend is named "ptu-eatus"; did you mean "ptu-eastus"?`),
		pool("unknown backend of a variable", "    members: [{ backend: \"${BACKEND}\" }]\n",
			`gateway.yaml:16: pools[1].members[0].backend: no backend is named "${BACKEND}"; define it, or write one of ptu-eastus, payg`),
		pool("a member twice", "    members: [{ backend: ptu-eastus }, { backend: ptu-eastus, priority: 2 }]\n",
			`gateway.yaml:16: pools[1].members[1].backend: the backend "ptu-eastus" is members[0] already; remove one of the two`),
		pool("a backend without the model", "    members: [{ backend: payg }]\n",
			`gateway.yaml:16: pools[1].members[0].backend: the backend "payg" has no deployment of the model "gpt-4o-mini"; add the model to its deployments; it has gpt-4o`),
		{"a backend with a similar model", "- model: gpt-4o-mini\n    members", "- model: gpt-4o-mini1\n    members",
			[]string{`gateway.yaml:16: pools[1].members[0].backend: the backend "ptu-eastus" has no deployment of the model "gpt-4o-mini1"; did you mean "gpt-4o-mini"?`}},
		{"two pools of one model without names", "- model: gpt-4o-mini\n    members", "- model: gpt-4o\n    members",
			[]string{`gateway.yaml:15: pools[1].model: the pool name "gpt-4o" is taken by pools[0]; give the pool a name of its own`}},
		pool("two pools of one name", "    name: gpt-4o\n    members: [{ backend: ptu-eastus }]\n",
			`gateway.yaml:16: pools[1].name: the pool name "gpt-4o" is taken by pools[0]; give it another name`),
		pool("fallback to nothing", "    members: [{ backend: ptu-eastus }]\n    fallbackModels: [gpt4o]\n",
			`gateway.yaml:17: pools[1].fallbackModels[0]: no pool serves the model "gpt4o"; did you mean "gpt-4o"?`),
		pool("fallback to itself", "    members: [{ backend: ptu-eastus }]\n    fallbackModels: [gpt-4o-mini]\n",
			`gateway.yaml:17: pools[1].fallbackModels[0]: the pool serves this model itself; remove it`),
		pool("fallback twice", "    members: [{ backend: ptu-eastus }]\n    fallbackModels: [gpt-4o, gpt-4o]\n",
			`gateway.yaml:17: pools[1].fallbackModels[1]: the model is listed twice; remove one of the two`),
		pool("waits longer than a request may take", "    members: [{ backend: ptu-eastus }]\n    maxWait: 5m\n",
			`gateway.yaml:17: pools[1].maxWait: is longer than timeouts.total, which is 3m45s; lower it, or raise total`),
		{"price of an unknown model", "", "prices: [{ model: gpt-5, inputPerMillion: 1 }]\n",
			[]string{`gateway.yaml:20: prices[0].model: no pool serves the model "gpt-5"; define it, or write one of gpt-4o, gpt-4o-mini`}},
		{"two prices", "", "prices: [{ model: gpt-4o, inputPerMillion: 1 }, { model: gpt-4o, inputPerMillion: 1 }]\n",
			[]string{`gateway.yaml:20: prices[1].model: the model "gpt-4o" has a price in prices[0] already; remove one of the two`}},
	})
}

func TestConsumerProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		teamA("unknown model", "models: [gpt-4]",
			`gateway.yaml:18: consumers[0].models[0]: no pool serves the model "gpt-4"; did you mean "gpt-4o"?`),
		teamA("a model twice", "models: [gpt-4o, gpt-4o]",
			`gateway.yaml:18: consumers[0].models[1]: the model is listed twice; remove one of the two`),
		teamA("unknown pool", "pools: [production]",
			`gateway.yaml:18: consumers[0].pools[0]: no pool is named "production"; define it, or write one of gpt-4o, gpt-4o-mini`),
		{"two pools of one model", "consumers:\n", "  - { model: gpt-4o, name: second, members: [{ backend: payg }] }\nconsumers:\n  - { name: team-c, keys: [hush-team-c-key-0], pools: [gpt-4o, second] }\n",
			[]string{`gateway.yaml:19: consumers[0].pools[1]: serves the same model as pools[0]; keep one pool for each model`}},
		teamA("a pool of a model it may not use", "models: [gpt-4o], pools: [gpt-4o-mini]",
			`gateway.yaml:18: consumers[0].pools[0]: serves a model that is not among the consumer's models; add the model, or remove the pool`),
		teamA("limits for an unknown model", "modelLimits: [{ model: gpt-4, tokensPerMinute: 1 }]",
			`gateway.yaml:18: consumers[0].modelLimits[0].model: no pool serves the model "gpt-4"; did you mean "gpt-4o"?`),
		teamA("limits for a model it may not use", "models: [gpt-4o], modelLimits: [{ model: gpt-4o-mini, requestsPerMinute: 1 }]",
			`gateway.yaml:18: consumers[0].modelLimits[0].model: is not among the consumer's models; add the model, or remove its limits`),
		teamA("limits for a model twice", "modelLimits: [{ model: gpt-4o, requestsPerMinute: 1 }, { model: gpt-4o, tokensPerMinute: 1 }]",
			`gateway.yaml:18: consumers[0].modelLimits[1].model: the model has limits in modelLimits[0] already; keep one entry for each model`),
		teamA("limits for a model that are none", "modelLimits: [{ model: gpt-4o, quotas: [] }]",
			`gateway.yaml:18: consumers[0].modelLimits[0]: has no limit; add tokensPerMinute, requestsPerMinute or quotas, or remove the entry`),
		teamA("two quotas of one period for a model", "modelLimits: [{ model: gpt-4o, quotas: [{ tokens: 5, per: day }, { tokens: 7, per: day }] }]",
			`gateway.yaml:18: consumers[0].modelLimits[0].quotas[1].per: quotas[0] is per "day" already; keep one quota for each period`),
		teamA("weights out of range", "tokenWeights: { cachedInput: 1.5, reasoning: -1 }",
			`gateway.yaml:18: consumers[0].tokenWeights.cachedInput: 1.5 is more than 1; write at most 1`,
			`gateway.yaml:18: consumers[0].tokenWeights.reasoning: -1 is less than 0; write at least 0`),
		teamA("two quotas of one period", "quotas: [{ tokens: 5, per: day }, { tokens: 6, per: month }, { tokens: 7, per: day }]",
			`gateway.yaml:18: consumers[0].quotas[2].per: quotas[0] is per "day" already; keep one quota for each period`),
		teamA("a spillover limit that is never reached", "tokensPerMinute: 100, spillover: { tokensPerMinute: 101 }",
			`gateway.yaml:18: consumers[0].spillover.tokensPerMinute: is more than the consumer's tokensPerMinute and never reached; lower it, or write spillover: true`),
	})
}

func TestTimeProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		{"open longer than the longest", "", "breaker: { openFor: 400s }\n",
			[]string{`gateway.yaml:20: breaker.openFor: is longer than maxOpenFor, which is 5m0s; lower openFor, or raise maxOpenFor`}},
		{"parts longer than the whole", "", "timeouts: { total: 1s, connect: 2s, responseHeaders: 3s, streamIdle: 4s }\n",
			[]string{
				`gateway.yaml:20: timeouts.connect: is longer than timeouts.total, which is "1s"; lower it, or raise total`,
				`gateway.yaml:20: timeouts.responseHeaders: is longer than timeouts.total, which is "1s"; lower it, or raise total`,
				`gateway.yaml:20: timeouts.streamIdle: is longer than timeouts.total, which is "1s"; lower it, or raise total`,
			}},
		{"a total that could not be read", "", "timeouts: { total: 1, connect: 300s }\n",
			[]string{`gateway.yaml:20: timeouts.total: 1 has no unit; write it as 10s, 500ms or 2m`}},
	})
}

// What follows from a problem that is told is not told as well.
func TestProblemsAreNotToldTwice(t *testing.T) {
	runProblemCases(t, []problemCase{
		teamA("limits for a model that could not be read", "modelLimits: [{ model: gpt-4o, tokensPerMinute: many }]",
			`gateway.yaml:18: consumers[0].modelLimits[0].tokensPerMinute: wants a whole number, has a text; write it without quotes, as a whole number`),
		{"admin keys of mappings that could not be read", "", "admin: { keys: [{ name: ann, key: short }, { name: bob, key: short }, { name: cid }] }\n",
			[]string{
				`gateway.yaml:20: admin.keys[0].key: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`,
				`gateway.yaml:20: admin.keys[1].key: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`,
				`gateway.yaml:20: admin.keys[2].key: the key is missing; add it`,
			}},
		{"admin keys that could not be read", "", "admin: { keys: [short, { name: ann, key: short }] }\n",
			[]string{
				`gateway.yaml:20: admin.keys[0]: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`,
				`gateway.yaml:20: admin.keys[1].key: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`,
			}},
		{"a backend without a name", "name: payg", "nmae: payg",
			[]string{
				`gateway.yaml:9: backends[1].nmae: there is no such key here; did you mean "name"?`,
				`gateway.yaml:9: backends[1].name: the key is missing; add it`,
			}},
		{"a deployment without a model", "[{ model: gpt-4o }]", "[{ modell: gpt-4o }]",
			[]string{
				`gateway.yaml:11: backends[1].deployments[0].model: the key is missing; add it`,
				`gateway.yaml:11: backends[1].deployments[0].modell: there is no such key here; did you mean "model"?`,
			}},
		{"deployments that are no list", "deployments: [{ model: gpt-4o }]", "deployments: gpt-4o",
			[]string{`gateway.yaml:11: backends[1].deployments: wants a list, has a text; write [ ] around it, or - before each item`}},
		{"a limit that could not be read", "tokensPerMinute: 10000", "tokensPerMinute: many, spillBelow: 600",
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: wants a whole number, has a text; write it without quotes, as a whole number`}},
		{"consumers that are no list", base[strings.Index(base, "consumers:"):], "consumers: everybody\n",
			[]string{`gateway.yaml:17: consumers: wants a list, has a text; write [ ] around it, or - before each item`}},
		{"a breaker without a value", "", "breaker:\n",
			[]string{`gateway.yaml:20: breaker: has no value; give it one, or remove the key`}},
		{"a model of an unset variable", "model: gpt-4o-mini\n", "model: ${NOT_SET}\n    fallbackModels: [x]\n",
			[]string{`gateway.yaml:15: pools[1].model: the environment variable NOT_SET is not set; set it`}},
	})
}
