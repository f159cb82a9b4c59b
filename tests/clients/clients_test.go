// Package clients_test shows that official clients work with Spillway as they are:
// those of OpenAI for Go, Python and JavaScript, LangChain and the Vercel AI SDK.
//
// Each makes the same list of calls twice, against a simulated service itself and
// against the gateway before such a service, each on a fresh server. What the client
// makes of the answers must be equal, but for what differences_test.go lists.
package clients_test

import (
	"encoding/json"
	"flag"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/program"
)

// patience bounds every wait of these tests, and each script. It only turns a hang
// into a failure: nothing is expected to take that long, and nothing is asserted by it.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	// The clients wait for one another: a few more of them than there are processors.
	_ = flag.Set("test.parallel", "4") // every test has this flag
	program.Main(m)
}

// constructor is a way to make a client.
type constructor string

const (
	openAI  constructor = "openai"   // OpenAI, with a base URL that ends in /v1
	azureV1 constructor = "azure-v1" // OpenAI, with a base URL that ends in /openai/v1
	azure   constructor = "azure"    // AzureOpenAI, with an api-version
)

var constructors = []constructor{openAI, azureV1, azure}

// apiVersion is the one that clients for Azure name: it has all that they call.
const apiVersion = "2025-04-01-preview"

// service is where a client sends its calls, and how.
type service struct {
	url, key    string
	constructor constructor
	calls       []string // the names of calls, in order
}

// line is what came of a call.
type line struct {
	Call    string
	Answers []answer
	Result  any            `json:",omitempty"`
	Error   map[string]any `json:",omitempty"`
}

// answer is one to a request of the client: a call that is tried again has several.
type answer struct {
	Status int
	Header map[string]string // names in lower case
}

// client is one that is to work. run makes calls and returns what came of each that
// it could make.
type client struct {
	name string
	run  func(t testing.TB, s service) []line
}

// official are the clients of OpenAI.
var official = []client{
	{"Go", runGo},
	{"Python", func(t testing.TB, s service) []line { return runPython(t, "calls.py", s, "MODE=sync") }},
	{"Python, async", func(t testing.TB, s service) []line { return runPython(t, "calls.py", s, "MODE=async") }},
	{"JavaScript", func(t testing.TB, s service) []line { return runNode(t, "calls.mjs", s) }},
}

// call is one of the list that all official clients make, the status of its last
// answer, and something that a client finds in that: the end of a path, with […] for any
// item of an array.
type call struct {
	name   string
	status int
	finds  string
}

// list is made in this order: some calls are about what earlier ones have made.
var list = []call{
	{"chat", 200, ".choices[…].message.content"},
	{"chat, streamed", 200, "[…].choices[…].delta.content"},
	{"chat, streamed, usage not asked for", 200, "[…].choices[…].delta.content"},
	{"tools", 200, ".choices[…].message.tool_calls[…].function.arguments"},
	{"tools, streamed", 200, "[…].choices[…].delta.tool_calls[…].function.arguments"},
	{"completion", 200, ".choices[…].text"},
	{"completion, streamed", 200, "[…].choices[…].text"},
	{"embedding of a text", 200, ".data[…].embedding[…]"},
	{"embeddings of texts", 200, ".data[…].embedding[…]"},
	{"embedding of tokens", 200, ".data[…].embedding[…]"},
	{"embeddings of lists of tokens", 200, ".data[…].embedding[…]"},
	{"embedding as base64", 200, ".data[…].embedding"},
	{"response", 200, ".output[…].content[…].text"},
	{"response, streamed", 200, "[…].delta"},
	{"response, continued", 200, ".previous_response_id"},
	{"response, retrieved", 200, ".output[…].content[…].text"},
	{"response, retrieved as a stream", 200, "[…].delta"},
	{"response, its input items", 200, "[…].content[…].text"},
	{"response, deleted", 200, ""},
	{"response, retrieved in vain", 404, ".class"},
	{"response in the background", 200, ".output[…].content[…].text"},
	{"response, canceled", 200, ".status"},
	{"image", 200, ".data[…].b64_json"},
	{"image, streamed", 200, "[…].b64_json"},
	{"image, edited", 200, ".data[…].b64_json"},
	{"image, varied", 200, ".data[…].b64_json"},
	{"speech", 200, ".sha256"},
	{"transcription", 200, ".text"},
	{"transcription, streamed", 200, "[…].delta"},
	{"transcription as text", 200, ""},
	{"translation", 200, ".text"},
	{"moderation", 200, ".results[…].flagged"},
	{"file", 200, ".filename"},
	{"files", 200, "[…].filename"},
	{"file, retrieved", 200, ".filename"},
	{"file, its content", 200, ".sha256"},
	{"batch", 200, ".input_file_id"},
	{"batch, retrieved", 200, ".input_file_id"},
	{"batches", 200, "[…].input_file_id"},
	{"batch, canceled", 200, ".status"},
	{"file, deleted", 200, ".deleted"},
	{"models", 200, "[…].id"},
	{"model", 200, ".id"},
	{"unknown model", 404, ".class"},
	{"bad key", 401, ".class"},
	{"bad parameter", 400, ".class"},
	{"filtered prompt", 400, ".class"},
}

// Every official client, made in each of the ways that its documentation tells, gets
// the same from the gateway as from the service.
func TestOfficialClients(t *testing.T) {
	skipIfShort(t)
	used := new(rowsUsed)
	t.Run("clients", func(t *testing.T) {
		for _, client := range official {
			for _, how := range constructors {
				t.Run(client.name+", "+string(how), func(t *testing.T) {
					t.Parallel()
					direct := client.directly(t, how, names())
					checkOutcomes(t, "the service itself", direct)
					checkEqual(t, used, direct, client.throughGateway(t, how, names()))
				})
			}
		}
	})
	if !t.Failed() {
		used.check(t)
	}
}

// What kind of backends there are, and that there are several, makes no difference to
// whether a call works: what one of them keeps is found there.
func TestBackendsOfOtherKinds(t *testing.T) {
	another := func(o *azureopenai.Options) { o.Seed = 2 } // with ids of its own
	for _, how := range constructors {
		for _, api := range constructors {
			t.Run(string(how)+" client, "+string(api)+" backends", func(t *testing.T) {
				t.Parallel()
				backends := []*azureopenai.Server{newBackend(backendKey), newBackend(backendKey, another)}
				g := startGateway(t, api, "", serve(t, backends[0]), serve(t, backends[1]))
				checkOutcomes(t, "the gateway", runGo(t, service{url: g.url(""), key: callerKey, constructor: how, calls: names()}))
				for i, b := range backends {
					if len(b.Requests()) == 0 {
						t.Errorf("backend %d was never asked: the run shows nothing", i+1)
					}
				}
			})
		}
	}
}

// names are those of the calls of the list.
func names() []string {
	var all []string
	for _, c := range list {
		all = append(all, c.name)
	}
	return all
}

// directly is what comes of the calls to a fresh simulated service.
func (c client) directly(t testing.TB, how constructor, calls []string) []line {
	t.Helper()
	return c.run(t, service{url: serve(t, newBackend(callerKey)), key: callerKey, constructor: how, calls: calls})
}

// throughGateway is what comes of them to a fresh gateway before such a service.
func (c client) throughGateway(t testing.TB, how constructor, calls []string) []line {
	t.Helper()
	g := startGateway(t, how, "", serve(t, newBackend(backendKey)))
	return c.run(t, service{url: g.url(""), key: callerKey, constructor: how, calls: calls})
}

// checkOutcomes checks that each call of the list was made and came to what it must:
// two transcripts of nothing would be equal, too.
func checkOutcomes(t *testing.T, from string, got []line) {
	t.Helper()
	if len(got) != len(list) {
		t.Fatalf("%s: %d calls were made, want the %d of the list", from, len(got), len(list))
	}
	for i, want := range list {
		status := 0
		if n := len(got[i].Answers); n > 0 {
			status = got[i].Answers[n-1].Status
		}
		if got[i].Call != want.name || status != want.status || (got[i].Error != nil) != (want.status >= 400) {
			t.Errorf("%s: call %q comes to status %d and error %v, want %q, %d", from, got[i].Call, status, got[i].Error, want.name, want.status)
			continue
		}
		if found := facts(t, got[i]); !slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(path string) bool {
			return anyIndex.ReplaceAllString(path, "[…]") == came(got[i])+want.finds
		}) {
			t.Errorf("%s: call %q finds no %s in %v", from, want.name, want.finds, found)
		}
	}
}

// checkEqual compares two transcripts, call by call.
func checkEqual(t *testing.T, used *rowsUsed, direct, through []line) {
	t.Helper()
	if len(direct) != len(through) {
		t.Fatalf("%d calls through the gateway, %d without it", len(through), len(direct))
	}
	for i := range direct {
		name, without, with := direct[i].Call, facts(t, direct[i]), facts(t, through[i])
		places := make(map[string]int) // of a difference, which items of an array may share
		for _, path := range slices.Sorted(maps.Keys(union(without, with))) {
			d, g := without[path], with[path]
			if d == g || used.allows(name, path) {
				continue
			}
			kind := anyIndex.ReplaceAllString(path, "[…]")
			if places[kind]++; places[kind] == 1 {
				t.Errorf("%s: %s is %s through the gateway, %s without it", name, path, shown(g), shown(d))
			}
		}
		for kind, n := range places {
			if n > 1 {
				t.Errorf("%s: %s differs in %d places, want at most 1", name, kind, n)
			}
		}
	}
}

var anyIndex = regexp.MustCompile(`\[\d+\]`)

func union(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// parse reads the lines that a script has printed.
func parse(t testing.TB, printed []string) []line {
	t.Helper()
	var lines []line
	for _, text := range printed {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("a script printed %q: %v", text, err)
			continue
		}
		lines = append(lines, l)
	}
	return lines
}
