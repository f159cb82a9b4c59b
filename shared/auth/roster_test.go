package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/shared/config"
)

// book is a Directory that counts what it is asked.
type book struct {
	consumers []*config.Definition
	fail      error
	asked     []string
}

func (b *book) find(question string, has func(*config.Definition) bool) (*config.Definition, error) {
	b.asked = append(b.asked, question)
	if b.fail != nil {
		return nil, b.fail
	}
	if i := slices.IndexFunc(b.consumers, has); i >= 0 {
		return b.consumers[i], nil
	}
	return nil, nil
}

func (b *book) ByKey(_ context.Context, key config.KeyHash) (*config.Definition, error) {
	return b.find("key "+key.String(), func(c *config.Definition) bool { return slices.Contains(c.Keys, key) })
}

func (b *book) ByApp(_ context.Context, app string) (*config.Definition, error) {
	return b.find("app "+app, func(c *config.Definition) bool { return slices.Contains(c.Entra.AppIDs, app) })
}

func (b *book) ByRole(_ context.Context, role string) (*config.Definition, error) {
	return b.find("role "+role, func(c *config.Definition) bool { return slices.Contains(c.Entra.Roles, role) })
}

const (
	tableKey = "sw-table-0123456789abcdef"
	tableApp = "dddddddd-0000-4000-8000-00000000000d"
	gatedApp = "eeeeeeee-0000-4000-8000-00000000000e"
	otherApp = "ffffffff-0000-4000-8000-00000000000f"
)

// rosterConfig has a consumer of each kind. The directory of newBook has them too.
func rosterConfig() *config.Config {
	cfg := entraConfig(tenantID)
	cfg.Consumers = append(cfg.Consumers,
		config.Consumer{Name: "gated", Entra: config.ConsumerEntra{AppIDs: []string{gatedApp}, Roles: []string{"Chat.Gated", "Chat.Both"}}},
		config.Consumer{Name: "readers", Entra: config.ConsumerEntra{Roles: []string{"Chat.Read", "Chat.List"}}},
		config.Consumer{Name: "writers", Entra: config.ConsumerEntra{Roles: []string{"Chat.Write", "Chat.Both"}}},
	)
	return cfg
}

// definitions are those of consumers.
func definitions(consumers ...config.Consumer) []*config.Definition {
	var all []*config.Definition
	for i := range consumers {
		all = append(all, &config.Definition{Consumer: &consumers[i]})
	}
	return all
}

func newBook() *book {
	return &book{consumers: definitions(
		config.Consumer{Name: "table-key", Keys: []config.KeyHash{hashOf(tableKey)}},
		config.Consumer{Name: "table-app", Entra: config.ConsumerEntra{AppIDs: []string{tableApp}}},
		config.Consumer{Name: "table-role", Entra: config.ConsumerEntra{Roles: []string{"Table.Use"}}},
		config.Consumer{Name: "table-again", Entra: config.ConsumerEntra{AppIDs: []string{appID}, Roles: []string{"Chat.Read"}}, Keys: []config.KeyHash{hashOf(botKey)}},
	)}
}

// Whose a key is: the configuration's consumer first, then the directory's. It is
// not asked about what cannot be a key.
func TestKeysAreLookedUpInTheDirectory(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		want    string
		asked   int
	}{
		{"the configuration's key", []string{"api-key", searchKey}, "team-search", 0},
		{"a key that both have", []string{"api-key", botKey}, "bot", 0},
		{"the directory's key", []string{"api-key", tableKey}, "table-key", 1},
		{"as a bearer token", []string{"Authorization", "Bearer " + tableKey}, "table-key", 1},
		{"nobody's key", []string{"api-key", "sw-nobody-0123456789abcdef"}, "denied: unknown_key", 1},
		{"nothing", nil, "denied: missing", 0},
		{"two keys", []string{"api-key", tableKey, "api-key", tableKey}, "denied: malformed", 0},
		{"too short for a key", []string{"api-key", strings.Repeat("k", 15)}, "denied: unknown_key", 0},
		{"the shortest key", []string{"api-key", strings.Repeat("k", 16)}, "denied: unknown_key", 1},
		{"the longest key", []string{"api-key", strings.Repeat("k", 256)}, "denied: unknown_key", 1},
		{"too long for a key", []string{"api-key", strings.Repeat("k", 257)}, "denied: unknown_key", 0},
		{"with a space", []string{"api-key", tableKey + " " + tableKey}, "denied: unknown_key", 1},
		{"with letters that no key has", []string{"api-key", tableKey + "é"}, "denied: unknown_key", 0},
		{"a token in the header api-key", []string{"api-key", "eyJ" + strings.Repeat("x", 400) + ".eyJ.x"}, "denied: unknown_key", 0},
		{"a token that is not signed", []string{"Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJhcHBpZCI6IngifQ."}, "denied: invalid_token", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook()
			a := newAuthenticator(t, rosterConfig(), Options{Transport: newAuthority(), Directory: b})
			if got := identified(t, a, request(tt.headers...)); got != tt.want || len(b.asked) != tt.asked {
				t.Errorf("got %s after the directory was asked %q, want %s after %d questions", got, b.asked, tt.want, tt.asked)
			}
		})
	}
}

var tokenOwners = []struct {
	name   string
	claims claims
	want   string
	down   string // while the directory is down; empty: want
}{
	{"application of the configuration", claims{"azp": appID}, "team-search", ""},
	{"application of the configuration, with somebody's role", claims{"azp": appID, "roles": []string{"Chat.Read"}}, "team-search", ""},
	{"application of the directory", claims{"azp": tableApp}, "table-app", "denied: directory_unavailable"},
	{"application of the directory, with a role of the configuration", claims{"azp": tableApp, "roles": []string{"Chat.Read"}}, "table-app", "readers"},
	{"nobody's application", claims{"azp": otherApp}, "denied: unknown_app", "denied: directory_unavailable"},
	{"nobody's application, nobody's role", claims{"azp": otherApp, "roles": []string{"X"}}, "denied: unknown_app", "denied: directory_unavailable"},
	{"application and role", claims{"azp": gatedApp, "roles": []string{"X", "Chat.Gated"}}, "gated", ""},
	{"application without its role", claims{"azp": gatedApp}, "denied: missing_role", "denied: missing_role"},
	{"application with the role in another case", claims{"azp": gatedApp, "roles": []string{"chat.gated"}}, "denied: missing_role", "denied: directory_unavailable"},
	{"application without its role, but with another's", claims{"azp": gatedApp, "roles": []string{"Chat.Read"}}, "readers", ""},
	{"role that counts for another application only", claims{"azp": otherApp, "roles": []string{"Chat.Gated"}}, "denied: unknown_app", "denied: directory_unavailable"},
	{"role of two consumers, of which one counts", claims{"azp": otherApp, "roles": []string{"Chat.Both"}}, "writers", ""},
	{"role of the configuration", claims{"azp": otherApp, "roles": []string{"Chat.Read"}}, "readers", ""},
	{"two roles of one consumer", claims{"azp": otherApp, "roles": []string{"Chat.Read", "Chat.List", "Chat.Read"}}, "readers", ""},
	{"role of the directory", claims{"azp": otherApp, "roles": []string{"Table.Use"}}, "table-role", "denied: directory_unavailable"},
	{"roles of two consumers", claims{"azp": otherApp, "roles": []string{"Chat.Read", "Chat.Write"}}, "denied: ambiguous_roles", "denied: ambiguous_roles"},
	{"roles of the configuration and the directory", claims{"azp": otherApp, "roles": []string{"Table.Use", "Chat.Read"}}, "denied: ambiguous_roles", "readers"},
	{"role without an application", claims{"azp": nil, "roles": []string{"Chat.Read"}}, "denied: unknown_app", "denied: unknown_app"},
	{"no roles", claims{"azp": appID, "roles": nil}, "team-search", ""},
	{"an empty list of roles", claims{"azp": appID, "roles": []string{}}, "team-search", ""},
	{"roles are null", claims{"azp": otherApp, "roles": []any{nil, "Chat.Read"}}, "readers", ""},
	{"roles are a text", claims{"azp": appID, "roles": "Chat.Read"}, "denied: invalid_token", ""},
	{"roles are a number", claims{"azp": appID, "roles": 1}, "denied: invalid_token", ""},
	{"roles are a mapping", claims{"azp": appID, "roles": claims{"0": "Chat.Read"}}, "denied: invalid_token", ""},
	{"a role is a number", claims{"azp": appID, "roles": []any{"Chat.Read", 1}}, "denied: invalid_token", ""},
	{"a role is a list", claims{"azp": appID, "roles": []any{[]string{"Chat.Read"}}}, "denied: invalid_token", ""},
	{"roles in another case are another claim", claims{"azp": otherApp, "Roles": []string{"Chat.Read"}}, "denied: unknown_app", "denied: directory_unavailable"},
	{"the last role that is looked at", claims{"azp": otherApp, "roles": append(roles(maxRoles-1), "Chat.Read")}, "readers", ""},
	{"the first role that is not", claims{"azp": otherApp, "roles": append(roles(maxRoles), "Chat.Read")}, "denied: unknown_app", "denied: directory_unavailable"},
}

// roles returns n roles of nobody.
func roles(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Nobody.%d", i)
	}
	return list
}

// Whose a token is, while the directory answers and while it does not.
func TestOwnerOfAToken(t *testing.T) {
	for _, tt := range tokenOwners {
		t.Run(tt.name, func(t *testing.T) {
			token := withToken(sign(t, firstKey(), "k1", good(tt.claims)))
			b := newBook()
			a := newAuthenticator(t, rosterConfig(), Options{Transport: newAuthority(), Directory: b})
			if got := identified(t, a, token); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if most := 1 + maxRoles; len(b.asked) > most {
				t.Errorf("the directory was asked %d times, want at most %d", len(b.asked), most)
			}
			b.fail = errors.New("table is gone")
			want := tt.down
			if want == "" {
				want = tt.want
			}
			if got := identified(t, a, token); got != want {
				t.Errorf("while the directory is down: got %s, want %s", got, want)
			}
		})
	}
}

// A consumer that the directory has changed or removed is seen at the next
// request, though the token is remembered.
func TestRememberedTokensFollowTheDirectory(t *testing.T) {
	b := newBook()
	d := newAuthority()
	a := newAuthenticator(t, rosterConfig(), Options{Transport: d, Directory: b})
	token := withToken(sign(t, firstKey(), "k1", good(claims{"azp": tableApp, "roles": []string{"Chat.New"}})))
	steps := []struct {
		consumers []*config.Definition
		want      string
	}{
		{newBook().consumers, "table-app"},
		{definitions(config.Consumer{Name: "renamed", Entra: config.ConsumerEntra{AppIDs: []string{tableApp}}}), "renamed"},
		{definitions(config.Consumer{Name: "gated", Entra: config.ConsumerEntra{AppIDs: []string{tableApp}, Roles: []string{"Chat.Old"}}}), "denied: missing_role"},
		{nil, "denied: unknown_app"},
		{definitions(config.Consumer{Name: "by-role", Entra: config.ConsumerEntra{Roles: []string{"Chat.New"}}}), "by-role"},
	}
	for i, step := range steps {
		b.consumers = step.consumers
		if got := identified(t, a, token); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
	if len(a.entra.cache.entries) != 1 || d.count() != 1 {
		t.Errorf("%d tokens remembered, want 1", len(a.entra.cache.entries))
	}
}

// While the directory is down nobody is told that his key is wrong.
func TestDirectoryIsDown(t *testing.T) {
	a := newAuthenticator(t, rosterConfig(), Options{Transport: newAuthority(), Directory: &book{fail: errors.New("table is gone: secret")}})
	if got := identified(t, a, request("api-key", searchKey)); got != "team-search" {
		t.Errorf("a key of the configuration: %s, want team-search", got)
	}
	_, err := a.Authenticate(t.Context(), request("api-key", tableKey))
	var denied *Denied
	if !errors.As(err, &denied) || denied.Reason != DirectoryUnavailable || denied.Status != http.StatusServiceUnavailable ||
		denied.RetryAfter != time.Second || denied.Challenge != "" || strings.Contains(denied.Message, "secret") {
		t.Errorf("got %+v, want 503 after 1 s without the cause", denied)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = a.Authenticate(gone, request("api-key", tableKey)); !errors.As(err, &denied) || denied.Reason != Canceled {
		t.Errorf("a client that has left: got %+v, want %s", denied, Canceled)
	}
	cfg := rosterConfig()
	cfg.Access = "open"
	open := newAuthenticator(t, cfg, Options{Transport: newAuthority(), Directory: &book{fail: errors.New("table is gone")}})
	if got := identified(t, open, request("api-key", tableKey)); got != "anonymous" {
		t.Errorf("open access: got %s, want anonymous", got)
	}
}
