package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestValueProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		{"unknown key with a neighbour", "tokensPerMinute", "tokens_per_minute",
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokens_per_minute: there is no such key here; did you mean "tokensPerMinute"?`}},
		{"unknown key without one", "", "colour: red\n",
			[]string{`gateway.yaml:20: colour: there is no such key here; the keys here are access, state, backends, pools, consumers, breaker, retry, timeouts, limits, admin, prices, entra`}},
		{"a secret in the place of a key", `auth: { apiKey: "${PTU_KEY}" }`, `auth: { hush-0123456789abcdef0123456789abcdef: x }`,
			[]string{`gateway.yaml:5: backends[0].auth.…: there is no such key here; the keys here are apiKey, managedIdentity`}},
		{"duplicate key", "    endpoint: https://contoso-ptu", "    name: ptu-eastus\n    endpoint: https://contoso-ptu",
			[]string{`gateway.yaml:4: backends[0].name: the key is written twice, first on line 3; remove one of the two`}},
		{"a mapping as a key", "", "retry: { {a: b}: 1 }\n",
			[]string{`gateway.yaml:20: retry: a key must be a plain word`}},
		{"missing key", "access: keys\n", "",
			[]string{`gateway.yaml:1: access: the key is missing; write access: keys or open`}},
		{"missing key in an item", "- name: ptu-eastus\n    endpoint", "- endpoint",
			[]string{`gateway.yaml:3: backends[0].name: the key is missing; add it`}},
		{"no value", "access: keys", "access:",
			[]string{`gateway.yaml:1: access: has no value; give it one, or remove the key`}},
		{"null", "", "retry: null\n",
			[]string{`gateway.yaml:20: retry: has no value; give it one, or remove the key`}},
		{"empty required text", "model: gpt-4o-mini }", `model: "" }`,
			[]string{`gateway.yaml:8: backends[0].deployments[1].model: is empty; add it`}},
		{"wrong word", "access: keys", "access: key",
			[]string{`gateway.yaml:1: access: "key" is none of keys, open; did you mean "keys"?`}},
		{"wrong word of a variable", "access: keys", "access: ${WORD}",
			[]string{`gateway.yaml:1: access: "${WORD}" is none of keys, open; write one of them`}},
		{"list for a text", "name: payg", "name: [payg]",
			[]string{`gateway.yaml:9: backends[1].name: wants a text, has a list`}},
		{"number for a text", "name: payg", "name: 5",
			[]string{`gateway.yaml:9: backends[1].name: wants a text, has a whole number; put it in quotes`}},
		{"truth for a text", "name: payg", "name: true",
			[]string{`gateway.yaml:9: backends[1].name: wants a text, has true or false; put it in quotes`}},
		{"tagged value", "name: payg", "name: !hush payg",
			[]string{`gateway.yaml:9: backends[1].name: wants a text, has a value with a tag; put it in quotes`}},
		{"text for a mapping", "", "retry: often\n",
			[]string{`gateway.yaml:20: retry: wants keys and values, has a text`}},
		{"mapping for a list", "", "prices: { model: gpt-4o }\n",
			[]string{`gateway.yaml:20: prices: wants a list, has keys and values; write [ ] around it, or - before each item`}},
		{"empty list", "deployments: [{ model: gpt-4o }]", "deployments: []",
			[]string{`gateway.yaml:11: backends[1].deployments: is an empty list; list at least one`}},
		{"empty list that would mean all", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], models: []`,
			[]string{`gateway.yaml:18: consumers[0].models: is an empty list; remove the key, or list at least one`}},
		{"empty text in a list", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], models: [""]`,
			[]string{`gateway.yaml:18: consumers[0].models[0]: "" is empty; give it a value, or remove the key`}},
		{"text for a number", "tokensPerMinute: 10000", `tokensPerMinute: "10000"`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: wants a whole number, has a text; write it without quotes, as a whole number`}},
		{"fraction", "tokensPerMinute: 10000", `tokensPerMinute: 1e4`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: wants a whole number, has a number; write it in decimal digits, as 10000`}},
		{"octal number", "tokensPerMinute: 10000", `tokensPerMinute: 010`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: 010 is not a whole number; write it in decimal digits, as 10000`}},
		{"number out of range", "tokensPerMinute: 10000", `tokensPerMinute: 99999999999999999999`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: wants a whole number, has a number; write it in decimal digits, as 10000`}},
		{"huge limit", "tokensPerMinute: 10000", `tokensPerMinute: 1000000000001`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: 1000000000001 is more than 1000000000000; write at most 1000000000000`}},
		{"limit of nothing", "tokensPerMinute: 10000", `tokensPerMinute: 0`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: 0 is no limit that can be met; remove the key for no limit`}},
		{"negative number", "tokensPerMinute: 10000", `requestsPerMinute: -5`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].requestsPerMinute: -5 is less than 1; write at least 1`}},
		{"number of a variable", "tokensPerMinute: 10000", `tokensPerMinute: "${WORD}"`,
			[]string{`gateway.yaml:7: backends[0].deployments[0].tokensPerMinute: "${WORD}" is not a whole number; write it in decimal digits, as 10000`}},
		{"negative priority", "priority: 2", "priority: -1",
			[]string{`gateway.yaml:14: pools[0].members[1].priority: -1 is less than 0; write at least 0`}},
		{"weight of nothing", "priority: 2", "weight: 0",
			[]string{`gateway.yaml:14: pools[0].members[1].weight: 0 is less than 1; write at least 1`}},
		{"budget", "", "retry: { budget: 1.5 }\n",
			[]string{`gateway.yaml:20: retry.budget: 1.5 is more than 1; write at most 1`}},
		{"not a number", "", "retry: { budget: .nan }\n",
			[]string{`gateway.yaml:20: retry.budget: .nan is not a number; write it as 2.5`}},
		{"negative price", "", "prices: [{ model: gpt-4o, inputPerMillion: -1 }]\n",
			[]string{`gateway.yaml:20: prices[0].inputPerMillion: -1 is less than 0; write at least 0`}},
		{"quota of nothing", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], quotas: [{ tokens: 0, per: month }]`,
			[]string{`gateway.yaml:18: consumers[0].quotas[0].tokens: 0 is less than 1; write at least 1`}},
		{"quota per year", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], quotas: [{ tokens: 5, per: year }]`,
			[]string{`gateway.yaml:18: consumers[0].quotas[0].per: "year" is none of hour, day, week, month; write one of them`}},
		{"spillover of text", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], spillover: never`,
			[]string{`gateway.yaml:18: consumers[0].spillover: wants true or false, has a text; write it without quotes, as true or false`}},
		{"spillover of a variable", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], spillover: "${WORD}"`,
			[]string{`gateway.yaml:18: consumers[0].spillover: "${WORD}" is neither true nor false; write true or false`}},
		{"admin key without a name", "", "admin: { keys: [{ key: hush-0123456789abcdef }] }\n",
			[]string{`gateway.yaml:20: admin.keys[0].name: the key is missing; add it`}},
		{"admin key in a list", "", "admin: { keys: [[hush-0123456789abcdef]] }\n",
			[]string{`gateway.yaml:20: admin.keys[0]: wants keys and values, has a list`}},
		{"digits for an admin key", "", "admin: { keys: [0123456789012345678] }\n",
			[]string{`gateway.yaml:20: admin.keys[0]: wants a text, has a number; put it in quotes`}},
		{"spillover without a limit", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], spillover: {}`,
			[]string{`gateway.yaml:18: consumers[0].spillover.tokensPerMinute: the key is missing; add it`}},
	})
}

func TestShapeProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		{"duration without a unit", "", "timeouts: { connect: 10 }\n",
			[]string{`gateway.yaml:20: timeouts.connect: 10 has no unit; write it as 10s, 500ms or 2m`}},
		{"zero without a unit", "", "timeouts: { connect: \"0\" }\n",
			[]string{`gateway.yaml:20: timeouts.connect: "0" has no unit; write it as 10s, 500ms or 2m`}},
		{"duration in words", "", "timeouts: { connect: ten seconds }\n",
			[]string{`gateway.yaml:20: timeouts.connect: "ten seconds" is not a duration; write it as 10s, 500ms or 2m`}},
		{"negative duration", "", "timeouts: { connect: -5s }\n",
			[]string{`gateway.yaml:20: timeouts.connect: "-5s" is not a duration; write it as 10s, 500ms or 2m`}},
		{"no time at all", "", "breaker: { interval: 0s }\n",
			[]string{`gateway.yaml:20: breaker.interval: "0s" is less than 1ms; write at least 1ms`}},
		{"size", "", "limits: { requestBody: 32 MB/s }\n",
			[]string{`gateway.yaml:20: limits.requestBody: "32 MB/s" is not a size; write it in bytes, or as 32MiB`}},
		{"size too large", "", "limits: { requestBody: 99999999999GiB }\n",
			[]string{`gateway.yaml:20: limits.requestBody: "99999999999GiB" is not a size; write it in bytes, or as 32MiB`}},
		{"size beyond the limit", "", "limits: { requestBody: 2GiB }\n",
			[]string{`gateway.yaml:20: limits.requestBody: "2GiB" is more than 2147483647; write at most 2147483647`}},
		{"status code", "", "breaker: { statusCodes: [200] }\n",
			[]string{`gateway.yaml:20: breaker.statusCodes[0]: 200 is not a status code from 400 to 599, nor a range of them; write it as 503 or "500-599"`}},
		{"status range backwards", "", "breaker: { statusCodes: [599-500] }\n",
			[]string{`gateway.yaml:20: breaker.statusCodes[0]: "599-500" is a range that ends before it begins; swap the two codes`}},
		{"throttles as failures", "", "breaker: { statusCodes: [400-599] }\n",
			[]string{`gateway.yaml:20: breaker.statusCodes[0]: "400-599" includes 429, which is a throttle and not a failure; leave 429 out: it is always respected`}},
		{"no failures", "", "breaker: { failures: 0 }\n",
			[]string{`gateway.yaml:20: breaker.failures: 0 is less than 1; write at least 1`}},
		{"name", "name: payg", `name: "pay g"`,
			[]string{`gateway.yaml:9: backends[1].name: "pay g" is not 1 to 64 letters, digits and . _ -; correct it`,
				`gateway.yaml:14: pools[0].members[1].backend: no backend is named "payg"; did you mean "pay g"?`}},
		{"hash too short", "${TEAM_A_KEY}", "sha256:hush",
			[]string{`gateway.yaml:18: consumers[0].keys[0]: the value is not "sha256:" and 64 hex digits; "spillway keys new" makes a key and its hash`}},
		{"key too short", "${TEAM_A_KEY}", "hush-fifteen-ch",
			[]string{`gateway.yaml:18: consumers[0].keys[0]: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`}},
		{"key of a variable too short", "${TEAM_A_KEY}", "${SHORT_KEY}",
			[]string{`gateway.yaml:18: consumers[0].keys[0]: the value is shorter than 16 characters and could be guessed; "spillway keys new" makes a key`}},
		{"key with a line break", "${TEAM_A_KEY}", "${LINES}",
			[]string{`gateway.yaml:18: consumers[0].keys[0]: the value holds a line break or another character that cannot be printed; remove it`}},
		{"key with a space", "${TEAM_A_KEY}", "hush-0123456789abcdef ",
			[]string{`gateway.yaml:18: consumers[0].keys[0]: the value begins or ends with a space; remove it`}},
		{"empty key", "${PTU_KEY}", "${EMPTY}",
			[]string{`gateway.yaml:5: backends[0].auth.apiKey: the value is empty; give it a value, or remove the key`}},
		{"unset variable", "${PTU_KEY}", "${NOT_SET}",
			[]string{`gateway.yaml:5: backends[0].auth.apiKey: the environment variable NOT_SET is not set; set it`}},
		{"unset variables", "${PTU_KEY}", "${NOT_SET}${WORD}${NEITHER}",
			[]string{`gateway.yaml:5: backends[0].auth.apiKey: the environment variables NOT_SET, NEITHER are not set; set them`}},
		{"open variable", "${PTU_KEY}", "${PTU_KEY",
			[]string{`gateway.yaml:5: backends[0].auth.apiKey: "${" is not followed by the name of a variable and "}"; write ${NAME} with letters, digits and _, or $${ for the characters themselves`}},
		{"variable with a default", "${PTU_KEY}", "${PTU_KEY:-hush}",
			[]string{`gateway.yaml:5: backends[0].auth.apiKey: "${" is not followed by the name of a variable and "}"; write ${NAME} with letters, digits and _, or $${ for the characters themselves`}},
		{"relative URL", "https://contoso.openai", "contoso.openai",
			[]string{`gateway.yaml:10: backends[1].endpoint: the value is not an absolute URL; write it as https://contoso.openai.azure.com`}},
		{"another scheme", "https://contoso.openai", "ftp://contoso.openai",
			[]string{`gateway.yaml:10: backends[1].endpoint: the value is not an absolute URL; write it as https://contoso.openai.azure.com`}},
		{"URL with credentials", "https://contoso.openai", "https://hush:hush@contoso.openai",
			[]string{`gateway.yaml:10: backends[1].endpoint: the value holds a user name or a password; remove them; credentials have keys of their own`}},
		{"URL with a query", "https://contoso.openai.azure.com", "https://contoso.openai.azure.com?sig=hush",
			[]string{`gateway.yaml:10: backends[1].endpoint: the value holds a query or a fragment; remove what follows "?" or "#"`}},
		{"API version", "name: payg", "name: payg\n    apiVersion: 2024",
			[]string{`gateway.yaml:10: backends[1].apiVersion: wants a text, has a whole number; put it in quotes`}},
		{"API version in words", "name: payg", "name: payg\n    apiVersion: newest",
			[]string{`gateway.yaml:10: backends[1].apiVersion: "newest" is not an API version such as 2024-10-21 or 2025-03-01-preview; correct it`}},
		{"application id", `keys: ["${TEAM_A_KEY}"]`, `entra: { appIds: [team-a] }`,
			[]string{`gateway.yaml:18: consumers[0].entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`,
				`gateway.yaml:18: consumers[0].entra.appIds[0]: "team-a" is not an id such as 00000000-0000-0000-0000-000000000000; correct it`}},
		{"role", `keys: ["${TEAM_A_KEY}"]`, `keys: ["${TEAM_A_KEY}"], entra: { roles: [may use] }`,
			[]string{`gateway.yaml:18: consumers[0].entra: needs the tenant and audience of tokens; add entra: { tenant: …, audience: … } to the configuration, at its top level`,
				`gateway.yaml:18: consumers[0].entra.roles[0]: "may use" is not an app role: 1 to 120 letters, digits and signs, without spaces; correct it`}},
		{"region", "name: payg", "name: payg\n    region: east/us",
			[]string{`gateway.yaml:10: backends[1].region: "east/us" is not a region: 1 to 64 letters, digits, spaces and . _ -; correct it`}},
		{"table", "", "state: { table: my-table }\n",
			[]string{`gateway.yaml:20: state.table: "my-table" is not the name of a table: 3 to 63 letters and digits, the first a letter; correct it`}},
	})
}

// The lists of many consumers share memory, and yet are lists of their own: each has its
// items, and what is appended to one changes no other.
func TestListsAreTheirOwn(t *testing.T) {
	tags := func(i int) (names []string) {
		for j := range 1 + i%8 {
			names = append(names, fmt.Sprintf("tag-%d-%d", i, j))
		}
		return names
	}
	var text strings.Builder
	text.WriteString(minimal + "consumers:\n")
	const many = 2000
	for i := range many {
		fmt.Fprintf(&text, "- { name: c%d, keys: [key-number-%08d], tags: [%s] }\n", i, i, strings.Join(tags(i), ", "))
	}
	consumers := parse(t, text.String()).Consumers
	for i := range consumers {
		_ = append(consumers[i].Tags, "one more")
	}
	for i := range many {
		if got := consumers[i].Tags; !slices.Equal(got, tags(i)) {
			t.Fatalf("consumer %d has the tags %v, want %v", i, got, tags(i))
		}
	}
}
