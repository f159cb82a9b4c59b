package azureopenai

import (
	"net/url"
	"strings"
)

// Operation is what a request asks for; its value is the end of the path.
type Operation string

// The operations served.
const (
	ChatCompletions Operation = "chat/completions"
	Completions     Operation = "completions"
	Embeddings      Operation = "embeddings"
)

// logName is the operation's name in the text of a 429.
func (o Operation) logName() string {
	switch o {
	case Completions:
		return "Completions_Create"
	case Embeddings:
		return "Embeddings_Create"
	}
	return "ChatCompletions_Create"
}

// dialect is one of the three ways to address a model.
type dialect uint8

const (
	classic dialect = iota // /openai/deployments/{name}/…?api-version=…
	azureV1                // /openai/v1/…, deployment in the body's model
	openAI                 // /v1/…, model in the body; OpenAI's own headers and errors
)

func (d dialect) azure() bool { return d != openAI }

type route struct {
	dialect    dialect
	operation  Operation
	deployment string // classic only
	apiVersion string
}

// parseRoute reads a URL as the service does. ok is false for a path that is
// not served, or a classic path without api-version.
func parseRoute(u *url.URL) (route, bool) {
	r := route{apiVersion: u.Query().Get("api-version")}
	path := u.EscapedPath()
	switch {
	case strings.HasPrefix(path, "/openai/deployments/"):
		name, rest, found := strings.Cut(strings.TrimPrefix(path, "/openai/deployments/"), "/")
		decoded, err := url.PathUnescape(name)
		if !found || err != nil || decoded == "" || r.apiVersion == "" {
			return route{}, false
		}
		r.dialect, r.deployment, path = classic, decoded, rest
	case strings.HasPrefix(path, "/openai/v1/"):
		r.dialect, path = azureV1, strings.TrimPrefix(path, "/openai/v1/")
	case strings.HasPrefix(path, "/v1/"):
		r.dialect, path = openAI, strings.TrimPrefix(path, "/v1/")
	default:
		return route{}, false
	}
	r.operation = Operation(path)
	switch r.operation {
	case ChatCompletions, Completions, Embeddings:
		return r, true
	}
	return route{}, false
}

// before says whether an api-version is older than the given date. Names
// without a date ("", "preview", "latest") are never older.
func before(apiVersion, date string) bool {
	if len(apiVersion) < len(date) || apiVersion[4] != '-' || apiVersion[7] != '-' {
		return false
	}
	return apiVersion[:len(date)] < date
}
