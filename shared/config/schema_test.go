package config

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// committed is the schema as editors get it.
const committed = "gateway.schema.json"

func TestCommittedSchemaIsInStep(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the Go types say; regenerate it with: spillway schema > shared/config/%s", committed, committed)
	}
}

// resolved is the committed schema, ready to validate.
func resolved(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	text, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	schema := new(jsonschema.Schema)
	if err := json.Unmarshal(text, schema); err != nil {
		t.Fatal(err)
	}
	ready, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

func TestSchemaAccepts(t *testing.T) {
	schema := resolved(t)
	for name, text := range map[string]string{
		"the example":          string(readExample(t)),
		"the minimum":          minimal,
		"the base of problems": base,
		"variables": minimal + `
state: { store: "${EMPTY}", table: "t${X}" }
timeouts: { connect: "${WAIT}", total: "${N}s" }
limits: { requestBody: 1000, consumers: "${TPM}" }
consumers: [{ name: "${X}-team", keys: ["${K}"], spillover: "${NO}" }, { name: a, keys: ["0123456789abcdef"], spillover: true, entra: { appIds: ["${ID}"] } }]
breaker: { statusCodes: [503, "500-502", "${CODES}"] }
admin: { keys: [0123456789abcdefg, "${K}", { name: "${X}", key: "${K}" }] }
`,
	} {
		if err := schema.Validate(plain(t, []byte(text))); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
}

// What the schema can tell, it tells as Parse does.
func TestSchemaRefuses(t *testing.T) {
	schema := resolved(t)
	for name, extra := range map[string]string{
		"an unknown key":            `colour: red`,
		"an unknown nested key":     `retry: { maxAttempt: 1 }`,
		"a wrong word":              `state: { store: disk }`,
		"a number for a text":       `state: { table: 5 }`,
		"a text for a number":       `retry: { maxAttempts: "5" }`,
		"a number below":            `breaker: { failures: 0 }`,
		"a number above":            `retry: { budget: 2 }`,
		"a duration without a unit": `timeouts: { connect: 10 }`,
		"a negative duration":       `timeouts: { connect: "-10s" }`,
		"a size":                    `limits: { requestBody: 5 TB }`,
		"a status code":             `breaker: { statusCodes: [200] }`,
		"an empty list":             `breaker: { statusCodes: [] }`,
		"a key too short":           `admin: { keys: [short] }`,
		"a hash too short":          `admin: { keys: ["sha256:0123456789abcdef"] }`,
		"an admin key without name": `admin: { keys: [{ key: 0123456789abcdefg }] }`,
		"an admin key without key":  `admin: { keys: [{ name: ann }] }`,
		"an admin key with more":    `admin: { keys: [{ name: ann, key: 0123456789abcdefg, role: all }] }`,
		"limits without a model":    `consumers: [{ name: a, keys: [0123456789abcdefg], modelLimits: [{ tokensPerMinute: 1 }] }]`,
		"a weight above":            `consumers: [{ name: a, keys: [0123456789abcdefg], tokenWeights: { cachedInput: 2 } }]`,
		"a missing key":             `entra: { tenant: contoso.com }`,
		"spillover in words":        `consumers: [{ name: a, keys: [0123456789abcdefg], spillover: never }]`,
		"spillover without a limit": `consumers: [{ name: a, keys: [0123456789abcdefg], spillover: {} }]`,
		"nine tags":                 `consumers: [{ name: a, keys: [0123456789abcdefg], tags: [a, b, c, d, e, f, g, h, i] }]`,
		"a tag in upper case":       `consumers: [{ name: a, keys: [0123456789abcdefg], tags: [Project] }]`,
		"an empty name":             `consumers: [{ name: "", keys: [0123456789abcdefg] }]`,
		"an endpoint":               `state: { store: tables, endpoint: "contoso.table.core.windows.net" }`,
		"null":                      `retry: null`,
	} {
		text := minimal + extra
		if err := schema.Validate(plain(t, []byte(text))); err == nil {
			t.Errorf("the schema accepts %s: %s", name, extra)
		}
		if _, err := Parse("gateway.yaml", []byte(text), env); err == nil {
			t.Errorf("Parse accepts %s: %s", name, extra)
		}
	}
}
