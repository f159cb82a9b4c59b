package openai

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// mustURL parses an address that is sound.
func mustURL(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// What a client may write around the path that names the operation.
func TestParseRoute(t *testing.T) {
	long := strings.Repeat("m", 256)
	for _, c := range []struct {
		method, address string
		want            Route
	}{
		{"POST", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", Route{Operation: ChatCompletions, Dialect: Azure, Model: "gpt-4o", APIVersion: "2024-10-21"}},
		{"POST", "/openai/deployments/v1/embeddings", Route{Operation: Embeddings, Dialect: Azure, Model: "v1"}},
		{"POST", "/openai/deployments/deployments/embeddings", Route{Operation: Embeddings, Dialect: Azure, Model: "deployments"}},
		{"POST", "/openai/deployments/my%20model%3F/embeddings", Route{Operation: Embeddings, Dialect: Azure, Model: "my model?"}},
		{"POST", "/openai/deployments/%C3%A9/embeddings", Route{Operation: Embeddings, Dialect: Azure, Model: "é"}},
		{"POST", "/openai/deployments/" + long + "/embeddings", Route{Operation: Embeddings, Dialect: Azure, Model: long}},
		{"POST", "/openai/v1/chat/completions?api-version=preview", Route{Operation: ChatCompletions, Dialect: AzureV1, APIVersion: "preview"}},
		{"POST", "https://contoso.com/v1/embeddings?api-version=", Route{Operation: Embeddings, Dialect: OpenAI}},
		{"GET", "/openai/responses/v1?api-version=2025-04-01-preview", Route{Operation: GetResponse, Dialect: Azure, ID: "v1", APIVersion: "2025-04-01-preview"}},
		{"GET", "/v1/responses/resp_aZ09.-", Route{Operation: GetResponse, Dialect: OpenAI, ID: "resp_aZ09.-"}},
		{"GET", "/v1/files/" + long + "/content", Route{Operation: FileContent, Dialect: OpenAI, ID: long}},
		{"GET", "/v1/files/content/content", Route{Operation: FileContent, Dialect: OpenAI, ID: "content"}},
		{"GET", "/v1/files/...", Route{Operation: GetFile, Dialect: OpenAI, ID: "..."}},
		{"GET", "/v1/models/ft%3Agpt-4o:contoso::a%20b", Route{Operation: GetModel, Dialect: OpenAI, Model: "ft:gpt-4o:contoso::a b"}},
		{"GET", "/openai/models/m", Route{Operation: GetModel, Dialect: Azure, Model: "m"}},
		{"GET", "/v1/files?limit=2&after=file-1&purpose=batch", Route{Operation: ListFiles, Dialect: OpenAI, Query: "limit=2&after=file-1&purpose=batch"}},
		{"GET", "/openai/files?limit=2&api-version=2024-10-21&&after=a%26b", Route{Operation: ListFiles, Dialect: Azure, APIVersion: "2024-10-21", Query: "limit=2&after=a%26b"}},
		{"GET", "/v1/files?api%2Dversion=preview&api-version=a%0Ab&API-Version=latest&x", Route{Operation: ListFiles, Dialect: OpenAI, APIVersion: "preview", Query: "x"}},
		{"GET", "/v1/files?code=secret&x=code&Code=secret&c%6fde=secret&%zz=1", Route{Operation: ListFiles, Dialect: OpenAI, Query: "x=code&%zz=1"}},
	} {
		got, err := ParseRoute(c.method, mustURL(t, c.address))
		if err != nil || got != c.want {
			t.Errorf("%s %s:\n got %+v, %v\nwant %+v", c.method, c.address, got, err, c.want)
		}
	}
}

func TestParseRouteRefuses(t *testing.T) {
	for _, address := range []string{
		"", "/", "/v1", "/v1/", "/v1/chat", "/v1/chat/completions/", "/v1//chat/completions", "//v1/chat/completions/x", "/V1/chat/completions", "/v1/chat%2Fcompletions", "/v1/./chat/completions",
		"/openai", "/openai/", "/openai/v1", "/openai/v1/", "/openai/deployments", "/openai/deployments/", "/openai/deployments/m", "/openai/deployments/m/", "/openai/deployments//embeddings",
		"/openai/deployments/a/b/embeddings", "/openai/deployments/a%2Fb/embeddings", "/openai/deployments/a%2fchat%2fcompletions/embeddings", "/openai/deployments/a%5Cb/embeddings",
		"/openai/deployments/../embeddings", "/openai/deployments/%2e%2E/embeddings", "/openai/deployments/./embeddings", "/openai/deployments/m/../../v1/embeddings",
		"/openai/deployments/a%00b/embeddings", "/openai/deployments/a%0Ab/embeddings", "/openai/deployments/%FF/embeddings", "/openai/deployments/%C2%85/embeddings",
		"/openai/deployments/" + strings.Repeat("m", 257) + "/embeddings", "/openai/deployments/" + strings.Repeat("m", 10<<10) + "/embeddings", "/openai/deployments/" + strings.Repeat("%6d", 257) + "/embeddings",
		"/v1/embeddings?api-version=a%0Ab", "/v1/embeddings?api-version=%zz", "/v1/embeddings?api-version=a/b", "/v1/embeddings?api-version=" + strings.Repeat("2", 65),
		// What Azure has in a deployment is nowhere else, and the other way round.
		"/openai/chat/completions", "/openai/embeddings", "/openai/images/generations", "/openai/audio/speech",
		"/openai/deployments/m/responses", "/openai/deployments/m/models", "/openai/deployments/m/files/f", "/openai/deployments/m/realtime",
		// Ids.
		"/v1/responses/", "/v1/responses//cancel", "/v1/responses/.", "/v1/responses/..", "/v1/responses/../cancel", "/v1/responses/%2e%2e/cancel", "/v1/responses/a%2Fb", "/v1/responses/a%5Fb", "/v1/responses/a b",
		"/v1/responses/a/b", "/v1/responses/a/b/cancel", "/v1/responses/é", "/v1/responses/a:b", "/v1/responses/a~", "/v1/responses/a@b", "/v1/responses/" + strings.Repeat("a", 257), "/v1/files/a/", "/v1/files/a/contents",
		"/v1/files//content", "/v1/files/a/content/", "/v1/batches/a/b/cancel", "/v1/models/", "/v1/models/a/b", "/v1/models/a%2Fb", "/v1/models/..", "/v1/models/a%0Ab",
		"/spillway/status", "/maintenance", "/v1/realtimes", "/realtime",
	} {
		for _, method := range []string{"POST", "GET", "DELETE", "BREW"} {
			got, err := ParseRoute(method, mustURL(t, address))
			if err == nil || err.Status != 404 || err.Code != "unknown_url" || got != (Route{}) {
				t.Errorf("%s %s: %+v, %v, want an unknown URL", method, address, got, err)
			}
		}
	}
	// url.Parse refuses these, but a URL can be made in other ways.
	for _, u := range []*url.URL{
		{Path: "/openai/deployments/a\x00b/embeddings"}, {Path: "/v1/responses/a\x00b"},
		{Path: "/v1/files", RawQuery: "a b"}, {Path: "/v1/files", RawQuery: "a#b"}, {Path: "/v1/files", RawQuery: "a=\r\nb"}, {Path: "/v1/files", RawQuery: "\x7f"},
	} {
		if got, err := ParseRoute("GET", u); err == nil {
			t.Errorf("%q is taken for %+v", u.Path+"?"+u.RawQuery, got)
		}
	}
}

// A path that is there tells which methods it has.
func TestWrongMethods(t *testing.T) {
	for _, c := range []struct{ methods, path, allow string }{
		{"GET DELETE PUT HEAD post", "/v1/chat/completions", "POST"},
		{"GET", "/openai/deployments/m/images/edits", "POST"},
		{"GET DELETE", "/openai/responses", "POST"},
		{"POST PUT HEAD", "/v1/responses/resp_1", "GET, DELETE"},
		{"GET DELETE", "/v1/responses/resp_1/cancel", "POST"},
		{"POST", "/v1/responses/resp_1/input_items", "GET"},
		{"POST DELETE", "/openai/v1/models", "GET"},
		{"DELETE", "/v1/models/m", "GET"},
		{"DELETE PATCH", "/openai/files", "POST, GET"},
		{"POST", "/v1/files/file-1", "GET, DELETE"},
		{"PUT", "/v1/files/file-1/content", "GET"},
		{"DELETE", "/v1/batches", "POST, GET"},
		{"DELETE", "/v1/batches/batch_1", "GET"},
		{"GET", "/v1/batches/batch_1/cancel", "POST"},
	} {
		for method := range strings.FieldsSeq(c.methods) {
			got, err := ParseRoute(method, mustURL(t, c.path))
			if err == nil || err.Status != 405 || err.Allow != c.allow || got != (Route{}) {
				t.Errorf("%s %s: %+v, %+v, want 405 with Allow: %s", method, c.path, got, err, c.allow)
			}
		}
	}
}

// The realtime API needs websockets, which are not here; a client is told so rather than sent looking for a typo.
func TestRealtimeIsNotImplemented(t *testing.T) {
	for _, path := range []string{"/openai/realtime", "/openai/v1/realtime", "/v1/realtime", "/v1/realtime/sessions", "/openai/realtime/x/y", "/v1/realtime?model=m&api-version=%zz"} {
		_, err := ParseRoute("GET", mustURL(t, path))
		if err == nil || err.Status != 501 || err.Code != "not_implemented" || err.Type != "invalid_request_error" || !err.NoRetry || !strings.Contains(err.Message, "websockets") {
			t.Errorf("%s: %+v, want 501", path, err)
		}
	}
}

func TestRouteStreams(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "stream=true": true, "starting_after=4&stream=true": true, "stream=false": false, "stream": false, "stream=True": false,
		"stream=false&stream=true": false, "xstream=true": false, "stream=truer": false,
	} {
		if got := (Route{Operation: GetResponse, Query: query}).Streams(); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

func TestSupportsStreamOptions(t *testing.T) {
	for version, want := range map[string]bool{
		"": true, "v1": true, "preview": true, "latest": true, "2024-09-01-preview": true, "2024-09-01": true, "2024-10-21": true, "2025-03-01-preview": true, "9999-99-99": true,
		"2024-08-01-preview": false, "2024-06-01": false, "2023-05-15": false, "2024-10": false, "2024-10-210": false, "2024/10/21": false, "20241021xx": false, "newest": false, "x024-10-21": false,
	} {
		if got := SupportsStreamOptions(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	methods := []string{"POST", "GET", "DELETE", "HEAD"}
	f.Add(byte(1), "/v1/responses/resp_1", "stream=true")
	f.Add(byte(0), "/openai/v1/batches/batch_1/cancel", "api-version=preview&code=secret")
	f.Add(byte(2), "/openai/files/file-1", "API-version=2024-10-21&a=%zz&&")
	f.Add(byte(1), "/v1/models/ft%3Agpt:contoso", "")
	f.Fuzz(func(t *testing.T, method byte, path, query string) {
		u := &url.URL{RawQuery: query}
		if err := setPath(u, path); err != nil {
			return
		}
		name := methods[int(method)%len(methods)]
		route, err := ParseRoute(name, u)
		if err != nil {
			if route != (Route{}) || !slices.Contains([]int{404, 405, 501}, err.Status) || (err.Status == 405) != (err.Allow != "") {
				t.Fatalf("%s %q: %+v, %+v", name, path, route, err)
			}
			return
		}
		op := route.Operation
		if named := op == GetModel || route.Dialect == Azure && strings.HasPrefix(path, deploymentPrefix); named != validModel(route.Model) || strings.ContainsAny(route.Model, `/\`) {
			t.Fatalf("%q: model %q", path, route.Model)
		}
		if withID := strings.Contains(op.Path(), "{id}") && op != GetModel; withID != validID(route.ID) || !withID && route.ID != "" {
			t.Fatalf("%q: id %q", path, route.ID)
		}
		if !plausibleVersion(route.APIVersion) || op.Path() == "" || op.Method() != name {
			t.Fatalf("%s %q %q: %+v", name, path, query, route)
		}
		if values, err := url.ParseQuery(route.Query); err == nil && (values.Has("code") || values.Has("api-version")) {
			t.Fatalf("%q: passes on %q", query, route.Query)
		}
		if IsDated(route.APIVersion) && route.Dialect == AzureV1 || route.Dialect == OpenAI {
			route.APIVersion = "" // URL does not pass it on
		}
		to := URL(&url.URL{Scheme: "https", Host: "contoso.com"}, route.Dialect, Target{op, route.Model, route.ID, route.APIVersion, route.Query})
		if route.Dialect == Azure && route.APIVersion == "" {
			route.APIVersion = op.DefaultAPIVersion()
		}
		if back, err := ParseRoute(name, mustURL(t, to.String())); err != nil || back != route {
			t.Fatalf("%q: %+v leads to %s, which is %+v, %v", path, route, to, back, err)
		}
	})
}

// setPath sets a path as the client escaped it.
func setPath(u *url.URL, path string) (err error) {
	u.RawPath = path
	u.Path, err = url.PathUnescape(path)
	return err
}
