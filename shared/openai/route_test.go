package openai

import (
	"net/url"
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

func TestParseRoute(t *testing.T) {
	for _, c := range []struct {
		address string
		want    Route
	}{
		{"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", Route{ChatCompletions, Azure, "gpt-4o", "2024-10-21"}},
		{"/openai/deployments/gpt-4o/completions?x=1&api-version=2024-09-01-preview", Route{Completions, Azure, "gpt-4o", "2024-09-01-preview"}},
		{"/openai/deployments/text-embedding-3-small/embeddings", Route{Embeddings, Azure, "text-embedding-3-small", ""}},
		{"/openai/deployments/v1/embeddings", Route{Embeddings, Azure, "v1", ""}},
		{"/openai/deployments/my%20model%3F/embeddings", Route{Embeddings, Azure, "my model?", ""}},
		{"/openai/deployments/%C3%A9/embeddings", Route{Embeddings, Azure, "é", ""}},
		{"/openai/deployments/" + strings.Repeat("m", 256) + "/embeddings", Route{Embeddings, Azure, strings.Repeat("m", 256), ""}},
		{"/openai/v1/chat/completions", Route{ChatCompletions, AzureV1, "", ""}},
		{"/openai/v1/chat/completions?api-version=preview", Route{ChatCompletions, AzureV1, "", "preview"}},
		{"/openai/v1/embeddings?api%2Dversion=preview&api-version=latest", Route{Embeddings, AzureV1, "", "preview"}},
		{"/v1/chat/completions", Route{ChatCompletions, OpenAI, "", ""}},
		{"/v1/completions", Route{Completions, OpenAI, "", ""}},
		{"https://contoso.com/v1/embeddings?api-version=", Route{Embeddings, OpenAI, "", ""}},
	} {
		if got, ok := ParseRoute(mustURL(t, c.address)); !ok || got != c.want {
			t.Errorf("%s: %+v, %v", c.address, got, ok)
		}
	}
}

func TestParseRouteRefuses(t *testing.T) {
	for _, address := range []string{
		"", "/", "/v1", "/v1/", "/v1/chat", "/v1/chat/completions/", "/v1//chat/completions", "//v1/chat/completions/x", "/V1/chat/completions", "/v1/chat%2Fcompletions", "/v1/./chat/completions",
		"/v1/models", "/openai/v1", "/openai/v1/", "/openai/chat/completions", "/openai/deployments/", "/openai/deployments/m", "/openai/deployments/m/", "/openai/deployments//embeddings",
		"/openai/deployments/a/b/embeddings", "/openai/deployments/a%2Fb/embeddings", "/openai/deployments/a%2fchat%2fcompletions/embeddings", "/openai/deployments/a%5Cb/embeddings",
		"/openai/deployments/../embeddings", "/openai/deployments/%2e%2E/embeddings", "/openai/deployments/./embeddings", "/openai/deployments/m/../../v1/embeddings",
		"/openai/deployments/a%00b/embeddings", "/openai/deployments/a%0Ab/embeddings", "/openai/deployments/%FF/embeddings", "/openai/deployments/%C2%85/embeddings",
		"/openai/deployments/" + strings.Repeat("m", 257) + "/embeddings", "/openai/deployments/" + strings.Repeat("m", 10<<10) + "/embeddings", "/openai/deployments/" + strings.Repeat("%6d", 257) + "/embeddings",
		"/v1/embeddings?api-version=a%0Ab", "/v1/embeddings?api-version=%zz", "/v1/embeddings?api-version=a/b", "/v1/embeddings?api-version=" + strings.Repeat("2", 65),
		"/spillway/status", "/maintenance",
	} {
		if got, ok := ParseRoute(mustURL(t, address)); ok {
			t.Errorf("%s is taken for %+v", address, got)
		}
	}
	// url.Parse refuses this one, but a URL can be made in other ways.
	if _, ok := ParseRoute(&url.URL{Path: "/openai/deployments/a\x00b/embeddings"}); ok {
		t.Error("a raw NUL is accepted")
	}
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		endpoint   string
		dialect    Dialect
		deployment string
		version    string
		want       string
	}{
		{"https://contoso.openai.azure.com", Azure, "gpt-4o", "2024-10-21", "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		{"https://contoso.openai.azure.com/", Azure, "gpt-4o", "", "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		{"https://contoso.openai.azure.com/openai/", Azure, "m", "v&x", "https://contoso.openai.azure.com/openai/deployments/m/chat/completions?api-version=v%26x"},
		{"http://127.0.0.1:8080/base%2Fx/y", Azure, "a/b ?é", "2024-10-21", "http://127.0.0.1:8080/base%2Fx/y/openai/deployments/a%2Fb%20%3F%C3%A9/chat/completions?api-version=2024-10-21"},
		{"https://contoso.openai.azure.com", AzureV1, "gpt-4o", "", "https://contoso.openai.azure.com/openai/v1/chat/completions"},
		{"https://contoso.openai.azure.com/openai/v1/", AzureV1, "gpt-4o", "preview", "https://contoso.openai.azure.com/openai/v1/chat/completions?api-version=preview"},
		{"https://contoso.openai.azure.com", AzureV1, "gpt-4o", "2024-10-21", "https://contoso.openai.azure.com/openai/v1/chat/completions"},
		{"https://contoso.com", OpenAI, "gpt-4o", "2024-10-21", "https://contoso.com/v1/chat/completions"},
		{"https://contoso.com/v1", OpenAI, "gpt-4o", "", "https://contoso.com/v1/chat/completions"},
		{"https://contoso.com/api/v1/?x=1#y", OpenAI, "gpt-4o", "", "https://contoso.com/api/v1/chat/completions"},
	} {
		endpoint := mustURL(t, c.endpoint)
		if got := URL(endpoint, c.dialect, ChatCompletions, c.deployment, c.version).String(); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.endpoint, c.dialect, got, c.want)
		}
		if endpoint.String() != c.endpoint {
			t.Errorf("endpoint became %s", endpoint)
		}
	}
}

func TestNames(t *testing.T) {
	for op, want := range map[Operation][2]string{ChatCompletions: {"chat/completions", "chat"}, Completions: {"completions", "text_completion"},
		Embeddings: {"embeddings", "embeddings"}, 0: {}, 200: {}} {
		if got := [2]string{op.Path(), op.String()}; got != want {
			t.Errorf("operation %d: %q, want %q", op, got, want)
		}
	}
	for d, want := range map[Dialect]string{Azure: "azure", AzureV1: "azure-v1", OpenAI: "openai", 0: ""} {
		if d.String() != want || d.ModelInBody() != (d == AzureV1 || d == OpenAI) {
			t.Errorf("dialect %d: %q, model in body %v", d, d, d.ModelInBody())
		}
	}
}

func TestSupportsStreamOptions(t *testing.T) {
	for version, want := range map[string]bool{
		"": true, "v1": true, "preview": true, "latest": true, "2024-09-01-preview": true, "2024-09-01": true, "2024-10-21": true, "2025-03-01-preview": true, "9999-99-99": true,
		"2024-08-01-preview": false, "2024-06-01": false, "2023-05-15": false, "2024-10": false, "2024-10-210": false, "2024/10/21": false, "20241021xx": false, "newest": false, "x024-10-21": false,
	} {
		if got := SupportsStreamOptions(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	f.Fuzz(func(t *testing.T, path, query string) {
		u := &url.URL{RawQuery: query}
		if err := setPath(u, path); err != nil {
			return
		}
		route, ok := ParseRoute(u)
		if !ok {
			return
		}
		if route.Dialect == Azure != validModel(route.Model) || strings.ContainsAny(route.Model, `/\`) {
			t.Fatalf("%q: model %q", path, route.Model)
		}
		if !plausibleVersion(route.APIVersion) || route.Operation.Path() == "" {
			t.Fatalf("%q %q: %+v", path, query, route)
		}
		if IsDated(route.APIVersion) && route.Dialect == AzureV1 || route.Dialect == OpenAI {
			route.APIVersion = "" // URL does not pass it on
		}
		to := URL(&url.URL{Scheme: "https", Host: "contoso.com"}, route.Dialect, route.Operation, route.Model, route.APIVersion)
		back, ok := ParseRoute(mustURL(t, to.String()))
		if route.Dialect == Azure && route.APIVersion == "" {
			route.APIVersion = DefaultAPIVersion
		}
		if !ok || back != route {
			t.Fatalf("%q: %+v leads to %s, which is %+v", path, route, to, back)
		}
	})
}

// setPath sets a path as the client escaped it.
func setPath(u *url.URL, path string) (err error) {
	u.RawPath = path
	u.Path, err = url.PathUnescape(path)
	return err
}
