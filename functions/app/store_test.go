package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/rs/zerolog"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azurite"
)

func tables(connection, table string) config.State {
	return config.State{Store: "tables", Connection: config.Secret(connection), Table: table}
}

// An instance starts although nobody answers at its store; what is wrong is for
// the log.
func TestStoreDownAtStart(t *testing.T) {
	nobody := httptest.NewServer(nil)
	nobody.Close()
	connection := "AccountName=contoso;AccountKey=c2VjcmV0;TableEndpoint=" + nobody.URL
	s, err := openStore(t.Context(), tables(connection, "spillway"), Options{Clock: new(clock.Clock)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	err = checkStore(t.Context(), s)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "check state.connection") {
		t.Errorf("check: %v", err)
	}
}

// What cannot be read is an error at the start, which shows no secret.
func TestConnectionThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"AccountName=contoso;AccountKye=c2VjcmV0":  "state.connection: part 2 has an unknown name; did you mean AccountKey?",
		"AccountName=contoso;AccountKey=c2VjcmV0=": "state.connection: AccountKey is not base64",
	} {
		_, err := openStore(t.Context(), tables(text, "spillway"), Options{Clock: new(clock.Clock)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestMemoryNeedsNoCheck(t *testing.T) {
	if err := checkStore(t.Context(), memory.New()); err != nil {
		t.Error(err)
	}
}

// The check makes the table and says so in the log, once.
func TestCheckMakesTheTable(t *testing.T) {
	connection := azurite.Start(t)
	var log bytes.Buffer
	s, err := openStore(t.Context(), tables(connection, "checked"), Options{Clock: new(clock.Clock), Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := checkStore(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "state_created"); n != 1 || strings.Contains(log.String(), "state_lost") {
		t.Errorf("%d tables made: %s", n, log.String())
	}
	// It leaves no row behind.
	for row, err := range s.Query(t.Context(), store.Filter{Partition: "check"}) {
		t.Errorf("row %v, error %v", row, err)
	}
}

func TestWrongKey(t *testing.T) {
	connection := azurite.Start(t)
	var wrong []string
	for part := range strings.SplitSeq(connection, ";") {
		if strings.HasPrefix(part, "AccountKey=") {
			part = "AccountKey=c2VjcmV0"
		}
		wrong = append(wrong, part)
	}
	s, err := openStore(t.Context(), tables(strings.Join(wrong, ";"), "wrongkey"), Options{Clock: new(clock.Clock)})
	if err != nil {
		t.Fatal(err)
	}
	err = checkStore(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), `the AccountKey in state.connection is not a key of the account "devstoreaccount1"`) ||
		strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("check: %v", err)
	}
}

// On App Service and Functions the identity is a local endpoint that two
// variables name; a user-assigned one is asked for by its client id.
func TestManagedIdentityOfTheHost(t *testing.T) {
	asked := make(chan *http.Request, 1)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"access_token": "token", "token_type": "Bearer", "resource": "https://storage.azure.com",
			"expires_on": fmt.Sprint(time.Now().Add(time.Hour).Unix()),
		})
	}))
	defer host.Close()
	t.Setenv("IDENTITY_ENDPOINT", host.URL)
	t.Setenv("IDENTITY_HEADER", "header")
	for _, clientID := range []string{"00000000-0000-0000-0000-000000000001", ""} {
		credential, err := azureCredential(clientID)
		if err != nil {
			t.Fatal(err)
		}
		token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
		if err != nil || token.Token != "token" {
			t.Fatalf("client id %q: %v", clientID, err)
		}
		r := <-asked
		if got := r.URL.Query(); got.Get("resource") != "https://storage.azure.com" || got.Get("client_id") != clientID {
			t.Errorf("client id %q: asked for %v", clientID, got)
		}
		if got := r.Header.Get("X-IDENTITY-HEADER"); got != "header" {
			t.Errorf("identity header %q, want %q", got, "header")
		}
	}
}

// An endpoint uses the credential of the host, and no token leaves over http.
func TestEndpointWithIdentity(t *testing.T) {
	var authorization string
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
	}))
	service.Config.ErrorLog = stdlog.New(io.Discard, "", 0) // It hears of the refused certificate.
	service.StartTLS()
	defer service.Close()
	endpoint, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Clock: new(clock.Clock), Credential: func(string) (azcore.TokenCredential, error) { return fixedToken{}, nil }}
	s, err := openStore(t.Context(), config.State{Store: "tables", Endpoint: endpoint, Table: "spillway"}, o)
	if err != nil {
		t.Fatal(err)
	}
	err = checkStore(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "check state.endpoint: the certificate of 127.0.0.1 is not trusted") || authorization != "" {
		t.Errorf("check: %v, authorization %q", err, authorization)
	}
	endpoint.Scheme = "http"
	if _, err = openStore(t.Context(), config.State{Store: "tables", Endpoint: endpoint, Table: "spillway"}, o); err == nil {
		t.Error("a token over http")
	}
}

type fixedToken struct{}

func (fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
