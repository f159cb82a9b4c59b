package upstream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"spillway/shared/upstream"
	"spillway/tests/fakes/entra"
)

// These tests have the Azure SDK get its tokens from a fake identity service in
// memory, so that its own caches, retries and ideas of a token's end take part.

const (
	userIdentity = "11111111-aaaa-4000-8000-000000000001"
	application  = "22222222-aaaa-4000-8000-000000000002"
	clientSecret = "client-secret"
	assertion    = "federated-assertion"
)

// way is one of the ways in which a host gets tokens.
type way struct {
	name     string
	setUp    []func(*testing.T) // the environment
	clientID string             // of the configuration
	kind     entra.Kind         // who is asked
	client   string             // for whom; empty: the system-assigned identity
}

// set sets variables, in pairs of names and values.
func set(pairs ...string) func(*testing.T) {
	return func(t *testing.T) {
		for i := 0; i < len(pairs); i += 2 {
			t.Setenv(pairs[i], pairs[i+1])
		}
	}
}

// onAppService makes the process one on App Service, Functions or Container Apps.
func onAppService(t *testing.T) {
	for name, value := range entra.Environment("http://identity.test") {
		t.Setenv(name, value)
	}
}

// inKubernetes makes the process one in a pod with workload identity.
func inKubernetes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(assertion), 0o600); err != nil {
		t.Fatal(err)
	}
	set("AZURE_TENANT_ID", entra.DefaultTenant, "AZURE_CLIENT_ID", application, "AZURE_FEDERATED_TOKEN_FILE", file)(t)
}

// withCommandLine puts a program named az into the path that has the developer's
// token: one that it prints.
func withCommandLine(t *testing.T) {
	folder := t.TempDir()
	script := "#!/bin/sh\necho '{\"accessToken\": \"developer\", \"expires_on\": 4102444800}'\n"
	if err := os.WriteFile(filepath.Join(folder, "az"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":/bin:/usr/bin")
}

var (
	withSecret = set("AZURE_TENANT_ID", entra.DefaultTenant, "AZURE_CLIENT_ID", application, "AZURE_CLIENT_SECRET", clientSecret)
	withID     = set("AZURE_CLIENT_ID", userIdentity)
)

func choose(credentials string) func(*testing.T) { return set("AZURE_TOKEN_CREDENTIALS", credentials) }

type setUp = []func(*testing.T)

// hosts are the ways that differ in what they ask for.
var hosts = []way{
	{"App Service", setUp{onAppService}, "", entra.AppService, ""},
	{"App Service with a client id", setUp{onAppService}, userIdentity, entra.AppService, userIdentity},
	{"virtual machine", nil, "", entra.IMDS, ""},
	{"virtual machine with a client id", nil, userIdentity, entra.IMDS, userIdentity},
	{"client secret", setUp{withSecret}, "", entra.Token, application},
	{"workload identity", setUp{inKubernetes}, "", entra.Token, application},
}

// Which identity is used follows from the environment and the client id of the
// configuration.
func TestHostCredential(t *testing.T) {
	tests := append(slices.Clone(hosts), []way{
		{"App Service, client id in the environment", setUp{onAppService, withID}, "", entra.AppService, userIdentity},
		{"App Service, empty client id in the environment", setUp{onAppService, set("AZURE_CLIENT_ID", "")}, "", entra.AppService, ""},
		{"App Service, two client ids: the configuration's", setUp{onAppService, set("AZURE_CLIENT_ID", application)}, userIdentity, entra.AppService, userIdentity},
		{"App Service with a command line", setUp{onAppService, withCommandLine}, "", entra.AppService, ""},
		{"App Service, production", setUp{onAppService, choose("prod")}, "", entra.AppService, ""},
		{"virtual machine with a command line", setUp{withCommandLine}, "", entra.IMDS, ""},
		{"virtual machine with a command line and a client id", setUp{withCommandLine}, userIdentity, entra.IMDS, userIdentity},
		{"virtual machine with a command line, production", setUp{withCommandLine, choose("prod")}, "", entra.IMDS, ""},
		{"client secret on App Service", setUp{onAppService, withSecret}, "", entra.Token, application},
		{"client secret of the same client id", setUp{onAppService, withSecret}, strings.ToUpper(application), entra.Token, application},
		{"client secret of another client id", setUp{onAppService, withSecret}, userIdentity, entra.AppService, userIdentity},
		{"client secret, but the managed identity is chosen", setUp{onAppService, withSecret, withID, choose("ManagedIdentityCredential")}, "", entra.AppService, userIdentity},
		{"client secret is chosen", setUp{onAppService, withSecret, choose("EnvironmentCredential")}, userIdentity, entra.Token, application},
		{"client secret in Kubernetes", setUp{inKubernetes, withSecret}, "", entra.Token, application},
		{"workload identity with a client id", setUp{inKubernetes, withID}, application, entra.Token, application},
		{"workload identity is chosen", setUp{onAppService, inKubernetes, choose("workloadidentitycredential")}, "", entra.Token, application},
		{"managed identity is chosen in Kubernetes", setUp{inKubernetes, choose("ManagedIdentityCredential")}, userIdentity, entra.IMDS, userIdentity},
		{"developer", setUp{withCommandLine, onAppService, choose("dev")}, "", "", ""},
	}...)
	for _, w := range tests {
		t.Run(w.name, func(t *testing.T) {
			service, source := w.start(t)
			token, err := source.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scopeOf(t)}})
			if err != nil {
				t.Fatal(err)
			}
			if developer := token.Token == "developer"; developer != (w.kind == "") {
				t.Errorf("got the developer's token: %t, want %t", developer, w.kind == "")
			}
			for _, kind := range []entra.Kind{entra.AppService, entra.IMDS, entra.Token} {
				got := service.Requests(kind)
				switch {
				case kind != w.kind && len(got) > 0:
					t.Errorf("%s was asked: %+v", kind, got)
				case kind == w.kind && (len(got) != 1 || !strings.EqualFold(got[0].ClientID, w.client)):
					t.Errorf("%s was asked %+v, want it once for the client id %q", kind, got, w.client)
				}
			}
		})
	}
}

// What cannot work is told when the process starts.
func TestHostCredentialThatCannotWork(t *testing.T) {
	tests := []struct {
		name  string
		setUp setUp
		want  string
	}{
		{"no tenant", setUp{inKubernetes, set("AZURE_TENANT_ID", "")}, "tenant"},
		{"a chain that is not there", setUp{choose("nobody")}, "AZURE_TOKEN_CREDENTIALS"},
		{"a secret of nobody", setUp{set("AZURE_CLIENT_SECRET", clientSecret)}, "AZURE_TENANT_ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnvironment(t)
			for _, setUp := range tt.setUp {
				setUp(t)
			}
			_, err := upstream.HostCredential("", azcore.ClientOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), clientSecret) {
				t.Errorf("got %v, want an error that names %s", err, tt.want)
			}
		})
	}
}

// clearEnvironment removes what this machine may say about Azure.
func clearEnvironment(t *testing.T) {
	t.Setenv("PATH", "")
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") {
			t.Setenv(name, "") // has it restored
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// start makes the process one on that host.
func (w way) start(t *testing.T) (*entra.Server, azcore.TokenCredential) {
	t.Helper()
	clearEnvironment(t)
	for _, setUp := range w.setUp {
		setUp(t)
	}
	service := entra.New(entra.Options{
		Identities:   []string{userIdentity},
		Applications: map[string]entra.Application{application: {Secret: clientSecret, Assertion: assertion}},
	})
	source, err := upstream.HostCredential(w.clientID, azcore.ClientOptions{Transport: service})
	if err != nil {
		t.Fatal(err)
	}
	return service, source
}

// scopes counts the scopes that tests were given.
var scopes atomic.Int64

// scopeOf is a scope of each run's own of each test: the SDK keeps the tokens of
// managed identities for the whole process.
func scopeOf(t *testing.T) string {
	name := strings.NewReplacer("/", ".", " ", "-", "_", "-", ",", "").Replace(t.Name())
	return fmt.Sprintf("https://%s.%d/.default", name, scopes.Add(1))
}
