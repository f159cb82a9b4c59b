package config

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// base is a configuration in order. The cases below change one thing in it;
// the lines they expect are counted here.
const base = `access: keys
backends:
  - name: ptu-eastus
    endpoint: https://contoso-ptu.openai.azure.com
    auth: { apiKey: "${PTU_KEY}" }
    deployments:
      - { model: gpt-4o, tokensPerMinute: 10000 }
      - { model: gpt-4o-mini }
  - name: payg
    endpoint: https://contoso.openai.azure.com
    deployments: [{ model: gpt-4o }]
pools:
  - model: gpt-4o
    members: [{ backend: ptu-eastus }, { backend: payg, priority: 2 }]
  - model: gpt-4o-mini
    members: [{ backend: ptu-eastus }]
consumers:
  - { name: team-a, keys: ["${TEAM_A_KEY}"] }
  - { name: team-b, keys: ["${TEAM_B_KEY}"] }
`

// problemCase changes base and expects these lines of error, all of them. An
// empty from adds to to the end, which is line 20.
type problemCase struct {
	name, from, to string
	want           []string
}

func (c problemCase) text(t *testing.T) string {
	t.Helper()
	if c.from == "" {
		return base + c.to
	}
	if strings.Count(base, c.from) != 1 {
		t.Fatalf("%q is not once in the base", c.from)
	}
	return strings.Replace(base, c.from, c.to, 1)
}

func runProblemCases(t *testing.T, cases []problemCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config, err := Parse("gateway.yaml", []byte(c.text(t)), env)
			checkRefusal(t, config, err)
			if want := strings.Join(c.want, "\n"); err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Error("a value of the environment, or a secret, is in the error")
			}
		})
	}
}

func TestBaseIsInOrder(t *testing.T) {
	parse(t, base)
}

func TestTextProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "gateway.yaml: the text is empty; write at least access, backends and pools"},
		{"comments only", "# nothing\n", "gateway.yaml: the text is empty; write at least access, backends and pools"},
		{"null", "---\nnull\n", "gateway.yaml: the text is empty; write at least access, backends and pools"},
		{"a list", "- access: open\n", "gateway.yaml:1: wants keys and values, has a list"},
		{"a word", "open", "gateway.yaml:1: wants keys and values, has a text"},
		{"two documents", minimal + "---\naccess: open\n", `gateway.yaml:5: a second document begins here; remove the "---": one file holds one configuration`},
		{"too large", strings.Repeat("#", maxText+1), "gateway.yaml: the text is larger than 32 MiB"},
		{"tab", "access: open\nstate:\n\tstore: memory\n", "gateway.yaml:3: found character that cannot start any token; indent with spaces, not tabs, and quote a text that begins with @, % or `"},
		{"indentation", "access: open\nstate:\n  store: memory\n table: x\nretry: {}\n", "gateway.yaml:4: did not find expected key; check the indentation and the quotes here and on the line above"},
		{"indented item", "pools:\n  - model: x\n - model: y\naccess: open\n", "gateway.yaml:3: did not find expected key; check the indentation and the quotes here and on the line above"},
		{"text after a quote", "access: open\nstate: 'x' y\nretry: {}\n", "gateway.yaml:2: did not find expected key; check the indentation and the quotes here and on the line above"},
		{"key in a list", "pools:\n  - model: x\n  model: y\naccess: open\n", "gateway.yaml:3: did not find expected '-' indicator; check the indentation and the quotes here and on the line above"},
		{"unquoted variable in braces", "access: open\nstate: { connection: ${A}, store: tables }\nretry: {}\n", `gateway.yaml:2: did not find expected ',' or '}'; in the braces or brackets that open here; inside them write "${NAME}" in quotes`},
		{"unquoted variable in braces on the first line", "state: { connection: ${A}, store: tables }\nretry: {}\n", `gateway.yaml:1: did not find expected ',' or '}'; in the braces or brackets that open here; inside them write "${NAME}" in quotes`},
		{"open bracket", "access: open\npools: [x, y\nretry: 1\nlimits: 1\n", `gateway.yaml:2: did not find expected ',' or ']'; in the braces or brackets that open here; inside them write "${NAME}" in quotes`},
		{"open quote", "access: open\nstate: \"x\nretry: 1\n", "gateway.yaml:2: found unexpected end of stream; mend the YAML here"},
		{"colon in a value", "access: open\nstate: a: b\n", `gateway.yaml:2: mapping values are not allowed in this context; check the indentation, and quote a text that contains ": "`},
		{"no colon", "access: open\nstate\nretry: 1\n", `gateway.yaml:2: could not find expected ':'; write "key: value", with a space after the colon`},
		{"unknown alias", "access: open\nstate: *hush\nretry: 1\n", "gateway.yaml:2: an alias refers to an anchor that is not defined before it; define the anchor, or put the value in quotes if it begins with *"},
		{"not UTF-8", "access: open\nstate: \xff\n", "gateway.yaml:2: invalid leading UTF-8 octet; mend the YAML here"},
		{"control character", "access: open\nstate: \x01\n", "gateway.yaml:2: control characters are not allowed; mend the YAML here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := Parse("gateway.yaml", []byte(c.text), env)
			checkRefusal(t, config, err)
			if got, _, _ := strings.Cut(err.Error(), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Error("a piece of the file that may be a secret is in the error")
			}
		})
	}
}

// A text of a few kilobytes must not become a configuration of gigabytes, nor
// keep the reader busy for ever.
func TestAliasBombs(t *testing.T) {
	quotas := strings.Repeat("{ tokens: 1, per: day }, ", 400)
	for name, c := range map[string]struct{ text, want string }{
		"aliases of aliases": {
			base + "  - &bomb { name: c, keys: [\"${SHORT_KEY}-and-more\"], quotas: [" + quotas + "] }\n" + strings.Repeat("  - *bomb\n", 400),
			"aliases repeat more than 100000 values; write the values out",
		},
		"a list in itself": {
			"access: open\npools: &p\n  - members: *p\n",
			"gateway.yaml:3: pools[0].members[0].members: there is no such key here; the keys here are backend, priority, weight",
		},
		"a mapping merged into itself": {
			"access: open\nstate: &s\n  store: memory\n  <<: *s\n",
			"gateway.yaml:4: state.<<: merge keys lead too deep, or in a circle; write the keys out",
		},
		"merges of merges": {
			"access: open\nstate:\n" + bombOfMerges(7, 60),
			"gateway.yaml:3: state.a0: there is no such key here",
		},
		"many mappings merged many times": {
			"access: open\nstate: { a: [&many { <<: [" + strings.Repeat("{}, ", 1000) + "] }] }\nconsumers:\n" + strings.Repeat("  - <<: *many\n", 200),
			"aliases repeat more than 100000 values",
		},
		"a merge of a text": {
			"access: open\nstate:\n  <<: memory\n",
			"gateway.yaml:3: state.<<: a merge key wants an alias of a mapping",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := Parse("gateway.yaml", []byte(c.text), env)
			checkRefusal(t, config, err)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%.2000s\nwant\n%s", err, c.want)
			}
		})
	}
}

// bombOfMerges has mappings that each merge the one before many times.
func bombOfMerges(depth, width int) string {
	var b strings.Builder
	b.WriteString("  a0: &a0 { table: x }\n")
	for i := range depth {
		fmt.Fprintf(&b, "  a%d: &a%d { <<: [%s] }\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), width))
	}
	fmt.Fprintf(&b, "  <<: [%s]\n", strings.Repeat(fmt.Sprintf("*a%d, ", depth), width))
	return b.String()
}

func TestManyProblems(t *testing.T) {
	config, err := Parse("gateway.yaml", []byte(base+strings.Repeat("  - { name: \"*\", keys: [] }\n", 2000)), env)
	checkRefusal(t, config, err)
	problems := err.(Problems)
	if len(problems) != wholeFile.problems+1 {
		t.Fatalf("%d problems are listed, want %d", len(problems), wholeFile.problems+1)
	}
	if got, want := problems[wholeFile.problems].String(), "gateway.yaml: there are 3000 more problems; mend these first"; got != want {
		t.Errorf("the last is %q, want %q", got, want)
	}
}

// Everything wrong in a file is told at once, in the order of the file.
func TestAllProblemsAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/broken.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/broken.txt")
	if err != nil {
		t.Fatal(err)
	}
	config, err := Parse("broken.yaml", text, env)
	checkRefusal(t, config, err)
	if got := err.Error() + "\n"; got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Wherever a variable stands in a file, and whatever is wrong with its value,
// the value is not told. Nor are the keys and URLs a file holds itself.
func TestValuesOfVariablesAreNotTold(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(readExample(t), &doc); err != nil {
		t.Fatal(err)
	}
	var scalars []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 1; i < len(n.Content); i += 2 {
				walk(n.Content[i])
			}
		case yaml.ScalarNode:
			scalars = append(scalars, n)
		default:
			for _, child := range n.Content {
				walk(child)
			}
		}
	}
	walk(&doc)
	refused := 0
	for _, hush := range []string{"hush-value", "hush", "12hush", "-77", "hush value\n", "https://hush:hush@hush?hush", strings.Repeat("hush", 100)} {
		for _, n := range scalars {
			before := *n
			n.SetString("${HUSH}")
			var text bytes.Buffer
			if err := yaml.NewEncoder(&text).Encode(&doc); err != nil {
				t.Fatal(err)
			}
			_, err := Parse("gateway.yaml", text.Bytes(), func(name string) (string, bool) {
				if name == "HUSH" {
					return hush, true
				}
				return env(name)
			})
			if err != nil {
				refused++
				if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "-77") {
					t.Errorf("the value is told:\n%v", err)
				}
			}
			*n = before
		}
	}
	if refused < 100 {
		t.Fatalf("only %d files were refused, want at least 100: the test tells nothing", refused)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"tokensPerMinute", "requestsPerMinute", "name", "gpt-4o", "gpt-4o-mini"}
	for word, want := range map[string]string{
		"tokens_per_minute":  "tokensPerMinute",
		"TokensPerMinutes":   "tokensPerMinute",
		"requestPerMinute":   "requestsPerMinute",
		"naem":               "name",
		"nam":                "name",
		"gpt4o":              "gpt-4o",
		"gpt-4o-mimi":        "gpt-4o-mini",
		"colour":             "",
		"x":                  "",
		"":                   "",
		"completelyelse":     "",
		"tokensPerMinuteMax": "tokensPerMinute",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func ExampleProblems() {
	text := strings.Replace(base, "backend: payg", "backend: pyag", 1)
	_, err := Parse("gateway.yaml", []byte(text), env)
	fmt.Println(err)
	// Output: gateway.yaml:14: pools[0].members[1].backend: no backend is named "pyag"; did you mean "payg"?
}
