package azureopenai

import (
	"net/url"
	"strings"
)

// dialect is one of the three ways to address a model.
type dialect uint8

const (
	classic dialect = iota // /openai/deployments/{name}/… or /openai/…, with ?api-version=…
	azureV1                // /openai/v1/…, deployment in the body's model
	openAI                 // /v1/…, model in the body; OpenAI's own headers and errors
)

func (d dialect) azure() bool { return d != openAI }

// route is what a URL and a method ask for.
type route struct {
	*endpoint  // nil: the path has none for this method
	dialect    dialect
	deployment string // of a path that names one
	id         string // of the stored object or model; "" where there is none
	apiVersion string
	query      url.Values
}

// parseRoute reads a URL as the service does. ok is false for a path that is
// not served with any method, or a classic path without api-version.
func parseRoute(method string, u *url.URL) (r route, ok bool) {
	r.query = u.Query()
	r.apiVersion = r.query.Get("api-version")
	path, deployed := u.EscapedPath(), false
	switch {
	case strings.HasPrefix(path, "/openai/deployments/"):
		name, rest, found := strings.Cut(strings.TrimPrefix(path, "/openai/deployments/"), "/")
		decoded, err := url.PathUnescape(name)
		if !found || err != nil || decoded == "" || r.apiVersion == "" {
			return route{}, false
		}
		r.dialect, r.deployment, path, deployed = classic, decoded, rest, true
	case strings.HasPrefix(path, "/openai/v1/"):
		r.dialect, path = azureV1, strings.TrimPrefix(path, "/openai/v1/")
	case strings.HasPrefix(path, "/v1/"):
		r.dialect, path = openAI, strings.TrimPrefix(path, "/v1/")
	case strings.HasPrefix(path, "/openai/"):
		r.dialect, path = classic, strings.TrimPrefix(path, "/openai/")
	default:
		return route{}, false
	}
	known := false
	for i := range endpoints {
		id, fits := endpoints[i].matches(path)
		if !fits || (r.dialect == classic && (endpoints[i].deployed != deployed || r.apiVersion == "")) {
			continue
		}
		known = true
		if endpoints[i].method == method {
			r.endpoint, r.id = &endpoints[i], id
			return r, true
		}
	}
	return r, known
}

// matches says whether the end of a path is the endpoint's, and the id in it.
func (p *endpoint) matches(path string) (id string, ok bool) {
	head, tail, variable := strings.Cut(p.path, "{id}")
	if !variable {
		return "", path == p.path
	}
	id, ok = strings.CutPrefix(path, head)
	if ok {
		id, ok = strings.CutSuffix(id, tail)
	}
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", false
	}
	id, err := url.PathUnescape(id)
	return id, err == nil
}

// before says whether an api-version is older than the given date. Names
// without a date ("", "preview", "latest") are never older.
func before(apiVersion, date string) bool {
	if len(apiVersion) < len("2006-01-02") || apiVersion[4] != '-' || apiVersion[7] != '-' {
		return false
	}
	return apiVersion[:len(date)] < date
}
