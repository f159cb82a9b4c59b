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
	base := func(path string) string { return strings.TrimSuffix(strings.TrimRight(path, "/"), own) }
	plain, escaped := t.path(d)
	u.Path = base(endpoint.Path) + prefix + plain
	if endpoint.RawPath != "" || escaped != plain { // else the path's usual escapes are right
		u.RawPath = base(endpoint.EscapedPath()) + prefix + escaped
	}
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
		same := plain == escaped
		plain = "deployments/" + t.Deployment + "/" + plain
		if name := url.PathEscape(t.Deployment); same && name == t.Deployment {
			escaped = plain
		} else {
			escaped = "deployments/" + name + "/" + escaped
		}
	}
	return plain, escaped
}
