package entra

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// patience bounds the wait for a process; nothing is expected to take that long.
const patience = 30 * time.Second

// asProcess says that this program is to get a token as any program does, and to
// print it.
const asProcess = "ENTRA_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	source, err := azidentity.NewDefaultAzureCredential(nil)
	if err == nil {
		token, failed := source.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{vault + "/.default"}})
		fmt.Println(token.Token)
		err = failed
	}
	if err == nil {
		var response *http.Response
		if response, err = http.Get(Authority + "/" + DefaultTenant + "/discovery/v2.0/keys"); err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("keys: %s", response.Status)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A program that knows nothing of the fake takes it for the real services, by
// variables of its environment alone.
func TestProgramsTakeItForTheRealOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "assertion")
	if err := os.WriteFile(file, []byte("assertion"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := map[string]string{"AZURE_TENANT_ID": DefaultTenant, "AZURE_CLIENT_ID": app, "AZURE_CLIENT_SECRET": "secret"}
	tests := []struct {
		name   string
		env    func(*Listener) map[string]string
		kind   Kind
		client string
	}{
		{"App Service", (*Listener).Environment, AppService, SystemIdentity},
		{"virtual machine", func(*Listener) map[string]string { return nil }, IMDS, SystemIdentity},
		{"client secret", func(*Listener) map[string]string { return secret }, Token, app},
		{"workload identity", func(l *Listener) map[string]string { return l.Workload(app, file) }, Token, app},
		{"authority of its own", func(l *Listener) map[string]string {
			env := maps.Clone(secret)
			env["AZURE_AUTHORITY_HOST"] = l.AuthorityHost()
			return env
		}, Token, app},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			l, err := s.Listen(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			program := exec.CommandContext(ctx, os.Args[0])
			program.Env = []string{asProcess + "=1"}
			env := l.Network()
			maps.Copy(env, tt.env(l))
			for name, value := range env {
				program.Env = append(program.Env, name+"="+value)
			}
			var stderr strings.Builder
			program.Stderr = &stderr
			out, err := program.Output()
			if err != nil {
				t.Fatalf("the program: %v: %s", err, stderr.String())
			}
			claims, err := verified(t, s, strings.TrimSpace(string(out)))
			if err != nil || claims["appid"] != tt.client || claims["aud"] != vault {
				t.Errorf("the token's claims are %v, %v, want one for %s", claims, err, tt.client)
			}
			if got := s.Count(tt.kind); got != 1 {
				t.Errorf("%d requests for a token, want 1", got)
			}
			if got := s.Count(Keys); got != 2 { // the program's and verified's
				t.Errorf("%d requests for keys, want 2", got)
			}
		})
	}
}

// The proxy leads nowhere but to the fake.
func TestProxyLetsNothingOut(t *testing.T) {
	l, err := newServer().Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"example.com:443", "login.microsoftonline.com:80", "127.0.0.1:22", "login.microsoftonline.com"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "http://"+l.endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %s, want 403", host, response.Status)
		}
	}
}
