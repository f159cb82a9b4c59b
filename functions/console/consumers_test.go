package console_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"spillway/functions/console"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/openai"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// office is a console over a table, with an admin named ops.
type office struct {
	t         *testing.T
	console   *console.Console
	directory *consumers.Directory
	table     *faultstore.Store
}

func openOffice(t *testing.T) *office {
	t.Helper()
	table, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := consumers.New(consumers.Options{
		Store:  table,
		InFile: func(name string) bool { return name == "in-file" },
		Check: func(c config.Consumer) error {
			if slices.Contains(c.Models, "gpt-5") {
				return errors.New("no pool serves the model gpt-5")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &office{t: t, directory: d, table: table, console: console.New(console.Options{
		Admin: func(r *http.Request) (string, bool) { return "ops", r.Header.Get("Key") == "admin" },
		Consumer: func(_ context.Context, r *http.Request) (string, *openai.Error) {
			if r.Header.Get("Key") == "consumer" {
				return "app", nil
			}
			return "", openai.Unauthorized()
		},
		Consumers: d,
	})}
}

// shownConsumer is a consumer in an answer.
type shownConsumer struct {
	Name, Key, Problem, ChangedBy string
	Keys                          []string
	Definition                    map[string]any
}

// reply is an answer of the console.
type reply struct {
	*httptest.ResponseRecorder
	consumer shownConsumer
	code     string // of the error
}

// send sends a request of the admin; headers are pairs.
func (o *office) send(method, path, body string, headers ...string) reply {
	o.t.Helper()
	r := httptest.NewRequest(method, "/spillway/consumers"+path, strings.NewReader(body))
	r.Header.Set("Key", "admin")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got := reply{ResponseRecorder: httptest.NewRecorder()}
	o.console.ServeHTTP(got, r)
	var failed struct{ Error struct{ Code string } }
	if got.Code >= 400 {
		_ = json.Unmarshal(got.Body.Bytes(), &failed)
	} else if got.Body.Len() > 0 {
		if err := json.Unmarshal(got.Body.Bytes(), &got.consumer); err != nil {
			o.t.Errorf("%s %s: %v: %s", method, path, err, got.Body)
		}
	}
	got.code = failed.Error.Code
	return got
}

func (o *office) want(got reply, status int, code string) reply {
	o.t.Helper()
	if got.Code != status || got.code != code {
		o.t.Errorf("status %d, code %q, want %d %q: %s", got.Code, got.code, status, code, got.Body)
	}
	return got
}

func hashOf(key string) config.KeyHash { return sha256.Sum256([]byte(key)) }

// beginning is the beginning of a key's hash, as an admin types it.
func beginning(key string) string { return hashOf(key).Reveal()[len("sha256:"):][:8] }

// A consumer is added, read, changed and removed. A new one is given a key, which is
// shown once and works; a definition without keys keeps them; what GET shows can be
// changed and put back.
func TestConsumerLife(t *testing.T) {
	o := openOffice(t)
	added := o.want(o.send("PUT", "/app", `{"tokensPerMinute": 1000, "models": ["gpt-4o"], "mayChooseBackend": true, "tags": ["project"]}`), 201, "")
	key := added.consumer.Key
	if found, err := o.directory.ByKey(t.Context(), hashOf(key)); err != nil || found == nil || found.Name != "app" {
		t.Fatalf("the key that was shown is that of %v (%v)", found, err)
	}
	got := o.want(o.send("GET", "/app", ""), 200, "")
	if got.consumer.Key != "" || got.consumer.ChangedBy != "ops" || got.consumer.Definition["tokensPerMinute"] != 1000.0 ||
		len(got.consumer.Keys) != 1 || got.consumer.Keys[0] != hashOf(key).String() {
		t.Errorf("shown as %s", got.Body)
	}
	if strings.Contains(got.Body.String(), hashOf(key).Reveal()[:20]) {
		t.Error("more than the beginning of a hash is shown")
	}
	got.consumer.Definition["tokensPerMinute"] = 2000
	back, err := json.Marshal(got.consumer.Definition)
	if err != nil {
		t.Fatal(err)
	}
	changed := o.want(o.send("PUT", "/app", string(back), "If-Match", got.Header().Get("ETag")), 200, "")
	if changed.consumer.Key != "" || len(changed.consumer.Keys) != 1 || changed.Header().Get("ETag") == got.Header().Get("ETag") {
		t.Errorf("after the change: %s, ETag %s", changed.Body, changed.Header().Get("ETag"))
	}
	found, _ := o.directory.ByKey(t.Context(), hashOf(key))
	if found == nil || found.TokensPerMinute != 2000 || !found.MayChooseBackend || !slices.Equal(found.Tags, []string{"project"}) {
		t.Errorf("after the change the key finds %+v", found)
	}
	o.want(o.send("PUT", "/app", "tokensPerMinute: 5 # YAML does too\nkeys: [another key of some length]"), 200, "")
	if found, _ := o.directory.ByKey(t.Context(), hashOf("another key of some length")); found == nil || found.TokensPerMinute != 5 {
		t.Errorf("the key of the body finds %+v", found)
	}
	o.want(o.send("DELETE", "/app", ""), 204, "")
	o.want(o.send("GET", "/app", ""), 404, "consumer_not_found")
	o.want(o.send("DELETE", "/app", ""), 404, "consumer_not_found")
	if found, _ := o.directory.ByKey(t.Context(), hashOf("another key of some length")); found != nil {
		t.Errorf("after the removal the key finds %+v", found)
	}
}

// A key is replaced by adding a second one and dropping the first. The last one
// cannot be dropped.
func TestRotateKey(t *testing.T) {
	o := openOffice(t)
	first := o.want(o.send("PUT", "/app", "{}"), 201, "").consumer.Key
	second := o.want(o.send("POST", "/app/keys", ""), 200, "").consumer.Key
	for _, key := range []string{first, second} {
		if found, _ := o.directory.ByKey(t.Context(), hashOf(key)); found == nil {
			t.Errorf("with two keys, %.6s… finds nobody", key)
		}
	}
	o.want(o.send("DELETE", "/app/keys/00000000", ""), 400, "invalid_consumer")
	o.want(o.send("DELETE", "/app/keys/"+beginning(first), ""), 200, "")
	if found, _ := o.directory.ByKey(t.Context(), hashOf(first)); found != nil {
		t.Error("the first key still works")
	}
	if found, _ := o.directory.ByKey(t.Context(), hashOf(second)); found == nil {
		t.Error("the second key does not work")
	}
	o.want(o.send("DELETE", "/app/keys/"+beginning(second), ""), 400, "invalid_consumer")
	o.want(o.send("POST", "/nobody/keys", ""), 404, "consumer_not_found")
}

// Only an admin may see or change consumers: who is unknown is asked to authenticate,
// a consumer is told that its key does not do.
func TestWhoMayManageConsumers(t *testing.T) {
	o := openOffice(t)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		for _, path := range []string{"", "/app", "/app/keys"} {
			unknown := o.send(method, path, "{}", "Key", "")
			if unknown.Code != 401 || unknown.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %q without a key: %d", method, path, unknown.Code)
			}
			if got := o.send(method, path, "{}", "Key", "consumer"); got.Code != 403 {
				t.Errorf("%s %q with a consumer's key: %d, want 403", method, path, got.Code)
			}
		}
	}
	if got := o.send("GET", "/app", ""); got.Code != 404 {
		t.Errorf("somebody who may not has added a consumer: %s", got.Body)
	}
}

// What cannot be done is refused, with its reason.
func TestConsumerRefusals(t *testing.T) {
	o := openOffice(t)
	etag := o.want(o.send("PUT", "/there", "keys: [the first key there]"), 201, "").Header().Get("ETag")
	o.want(o.send("PUT", "/there", "{}"), 200, "")
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
	}{
		{"no body", "PUT", "/app", " ", nil, 400, ""},
		{"not a mapping", "PUT", "/app", "[]", nil, 400, "invalid_consumer"},
		{"two documents", "PUT", "/app", "{}\n---\n{}", nil, 400, "invalid_consumer"},
		{"unknown key", "PUT", "/app", `{"surprise": 1}`, nil, 400, "invalid_consumer"},
		{"a variable", "PUT", "/app", `{"keys": ["${KEY_OF_APP_0123456789}"]}`, nil, 400, "invalid_consumer"},
		{"unknown model", "PUT", "/app", `{"models": ["gpt-5"]}`, nil, 400, "invalid_consumer"},
		{"no key left", "PUT", "/there", `{"keys": []}`, nil, 400, "invalid_consumer"},
		{"another name", "PUT", "/app", `{"name": "other"}`, nil, 400, "invalid_consumer"},
		{"a name that is none", "PUT", "/a%20b", "{}", nil, 400, "invalid_consumer"},
		{"a slash in the name", "PUT", "/a%2Fb", "{}", nil, 400, "invalid_consumer"},
		{"too large", "PUT", "/app", `{"models": ["` + strings.Repeat("m", 40_000) + `"]}`, nil, 413, "request_too_large"},
		{"in the file", "PUT", "/in-file", "{}", nil, 409, "consumer_in_file"},
		{"key of another", "PUT", "/app", "keys: [the first key there]", nil, 409, "credential_taken"},
		{"seen long ago", "PUT", "/there", "{}", []string{"If-Match", etag}, 412, "precondition_failed"},
		{"never seen", "PUT", "/app", "{}", []string{"If-Match", "*"}, 412, "precondition_failed"},
		{"not new", "PUT", "/there", "{}", []string{"If-None-Match", "*"}, 412, "precondition_failed"},
		{"removed as seen long ago", "DELETE", "/there", "", []string{"If-Match", etag}, 412, "precondition_failed"},
		{"list changed", "PUT", "", "{}", nil, 405, "method_not_supported"},
		{"patched", "PATCH", "/there", "{}", nil, 405, "method_not_supported"},
		{"empty name", "GET", "/", "", nil, 404, "unknown_url"},
		{"below", "GET", "/there/other", "", nil, 404, "unknown_url"},
		{"nobody", "GET", "/nobody", "", nil, 404, "consumer_not_found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := o.send(test.method, test.path, test.body, test.headers...)
			if got.Code != test.status || got.code != test.code {
				t.Errorf("status %d, code %q, want %d %q: %s", got.Code, got.code, test.status, test.code, got.Body)
			}
			if strings.Contains(got.Body.String(), "KEY_OF_APP") || strings.Contains(got.Body.String(), "first key") {
				t.Errorf("a key is told: %s", got.Body)
			}
		})
	}
	if got := o.send("GET", "/app", ""); got.Code != 404 {
		t.Errorf("a refused consumer was added: %s", got.Body)
	}
}

// All problems of a definition are told at once.
func TestAllProblemsOfAConsumer(t *testing.T) {
	got := openOffice(t).send("PUT", "/app", "tokensPerMinute: many\nrequestsPerMinute: -1\nsurprise: 1")
	for _, want := range []string{"tokensPerMinute", "requestsPerMinute", "surprise"} {
		if !strings.Contains(got.Body.String(), want) {
			t.Errorf("the answer does not tell of %s: %s", want, got.Body)
		}
	}
}

// The list has every consumer, also one that cannot be used.
func TestListConsumers(t *testing.T) {
	o := openOffice(t)
	if got := o.send("GET", "", ""); strings.TrimSpace(got.Body.String()) != `{"consumers":[]}` {
		t.Errorf("nobody is there, and the list is %s", got.Body)
	}
	for i := range 30 {
		o.want(o.send("PUT", fmt.Sprintf("/app-%d", i), "{}"), 201, "")
	}
	var list struct{ Consumers []shownConsumer }
	got := o.send("GET", "", "")
	if err := json.Unmarshal(got.Body.Bytes(), &list); err != nil || len(list.Consumers) != 30 {
		t.Errorf("%d consumers, %v, want 30: %s", len(list.Consumers), err, got.Body)
	}
	if head := o.send("HEAD", "", ""); head.Code != 200 || head.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes, want 200, 0", head.Code, head.Body.Len())
	}
}

// While the table is out of reach nothing is changed, and the client is told when to
// come back.
func TestConsumersInAnOutage(t *testing.T) {
	o := openOffice(t)
	o.want(o.send("PUT", "/app", "{}"), 201, "")
	o.table.SetOutage(true)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		got := o.want(o.send(method, "/app", "{}"), 503, "state_unavailable")
		if got.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	o.want(o.send("GET", "", ""), 503, "state_unavailable")
	o.table.SetOutage(false)
	o.want(o.send("GET", "/app", ""), 200, "")
}
