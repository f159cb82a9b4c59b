package openai

import (
	"net/url"
	"strings"
)

// Target is what a request asks of a backend, as far as its URL says it.
type Target struct {
	Operation  Operation
	Deployment string // the model's name there; used where the path names it (see ModelInBody), and for GetModel
	ID         string // of a response, a file or a batch; used where the operation's path has one
	APIVersion string // "" is the operation's default
	Query      string // raw, to be passed on as Route has it; "" for none
}

// URL is where a request goes at endpoint: scheme, host and path of endpoint are kept (its query is not), the
// dialect's prefix is added unless the path ends with it already (https://api.openai.com and https://api.openai.com/v1
// mean the same), and the deployment and the id are escaped as one path segment each. Azure without an APIVersion gets
// the operation's DefaultAPIVersion; AzureV1 passes on only the versions it knows (see IsDated); OpenAI has none.
func URL(endpoint *url.URL, d Dialect, t Target) *url.URL {
	path := strings.TrimRight(endpoint.Path, "/")
	escaped := strings.TrimRight(endpoint.EscapedPath(), "/")
	u := &url.URL{Scheme: endpoint.Scheme, User: endpoint.User, Host: endpoint.Host}
	var prefix, version string
	switch d {
	case Azure:
		prefix, version = azurePrefix, t.APIVersion
		if version == "" {
			version = t.Operation.DefaultAPIVersion()
		}
	case AzureV1:
		prefix = azureV1Prefix
		if !IsDated(t.APIVersion) {
			version = t.APIVersion
		}
	case OpenAI:
		prefix = openAIPrefix
	default:
		return u
	}
	own := strings.TrimSuffix(prefix, "/")
	plain, quoted := t.path(d)
	u.Path = strings.TrimSuffix(path, own) + prefix + plain
	u.RawPath = strings.TrimSuffix(escaped, own) + prefix + quoted
	u.RawQuery = t.Query
	if version != "" {
		u.RawQuery = "api-version=" + url.QueryEscape(version)
		if t.Query != "" {
			u.RawQuery += "&" + t.Query
		}
	}
	return u
}

// path is the target's path behind the dialect's prefix, plain and escaped.
func (t Target) path(d Dialect) (plain, escaped string) {
	plain = t.Operation.Path()
	before, after, hasID := strings.Cut(plain, "{id}")
	escaped = plain
	if hasID {
		id := t.ID
		if t.Operation == GetModel {
			id = t.Deployment
		}
		plain, escaped = before+id+after, before+url.PathEscape(id)+after
	}
	if d == Azure && t.Operation.known() && operations[t.Operation].model == inDeployment {
		plain, escaped = "deployments/"+t.Deployment+"/"+plain, "deployments/"+url.PathEscape(t.Deployment)+"/"+escaped
	}
	return plain, escaped
}
