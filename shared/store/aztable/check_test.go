package aztable

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/shared/clock"
	"spillway/shared/store"
)

const probePath = "/devstoreaccount1/spillway(PartitionKey='check',RowKey='probe')"

// A check inserts, reads, replaces and deletes a row of its own, and makes the
// table for it.
func TestCheck(t *testing.T) {
	const probeBody = `{"PartitionKey":"check","RowKey":"probe"}`
	var (
		noTable  = refuse(404, "TableNotFound")
		noRow    = refuse(404, "ResourceNotFound")
		there    = refuse(409, "EntityAlreadyExists")
		changed  = refuse(412, "UpdateConditionNotSatisfied")
		denied   = refuse(403, "AuthorizationPermissionMismatch")
		made     = answer{status: 201, body: "{}"}
		inserted = written(201, `W/"1"`)
		read     = written(200, `W/"1"`)
		replaced = written(204, `W/"2"`)
		deleted  = answer{status: 204}

		insert   = "POST " + tablePath + " " + probeBody
		create   = "POST /devstoreaccount1/Tables " + tableBody
		get      = "GET " + probePath
		replace  = "PUT " + probePath + ` if-match W/"1" ` + probeBody
		deletion = "DELETE " + probePath + ` if-match W/"2"`
	)
	tests := []struct {
		name    string
		answers []answer
		want    string // Of the error, "" for none.
		asked   []string
	}{
		{"all is well", []answer{inserted, read, replaced, deleted}, "", []string{insert, get, replace, deletion}},
		{"the table is missing", []answer{noTable, made, inserted, read, replaced, deleted}, "", []string{insert, create, insert, get, replace, deletion}},
		{"another instance checks", []answer{there, read, changed}, "", []string{insert, get, replace}},
		{"another instance has checked", []answer{there, noRow}, "", []string{insert, get}},
		{"the table cannot be made", []answer{noTable, denied}, "cannot be written: aztable: create table: ", []string{insert, create}},
		{"the table is being deleted", []answer{refuse(409, "TableBeingDeleted")}, "somebody deleted the table", []string{insert}},
		{"no right to insert", []answer{denied}, "cannot be written: aztable: insert: ", []string{insert}},
		{"no right to read", []answer{inserted, denied}, "cannot be read: aztable: get: ", []string{insert, get}},
		{"no right to replace", []answer{inserted, read, denied}, "cannot be written: aztable: replace: ", []string{insert, get, replace}},
		{"no right to delete", []answer{inserted, read, replaced, denied}, "cannot be written: aztable: delete: ", []string{insert, get, replace, deletion}},
		{"the service fails", []answer{refuse(500, "InternalError")}, "status 500 InternalError", []string{insert}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, script := play(t, test.answers...)
			err := s.Check(context.Background())
			switch {
			case test.want == "":
				wantKind(t, "check", err, nil)
			case err == nil || !strings.Contains(err.Error(), test.want):
				t.Errorf("got %v, want %q", err, test.want)
			}
			script.wantAsked(t, test.asked...)
		})
	}
}

// What a service and a network answer to each kind of bad input, and what is
// said about it.
func TestHints(t *testing.T) {
	const (
		key      = "AccountName=contoso;AccountKey=" + longSecret
		sas      = "TableEndpoint=https://contoso.table.core.windows.net;SharedAccessSignature=sv=2019-02-02&ss=t&srt=o&sp=raud&sig=" + longSecret
		identity = "https://contoso.table.core.windows.net"
		cosmos   = "https://contoso.table.cosmos.azure.com"
	)
	noHost := &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true, Name: "x"}}
	tests := []struct {
		name   string
		access string // A connection string, or an endpoint.
		do     func(*http.Request) (*http.Response, error)
		want   string
	}{
		{"wrong key", key, refuses(403, "AuthenticationFailed", 0), `the AccountKey in state.connection is not a key of the account "contoso"`},
		{"wrong key of Cosmos DB", "AccountName=contoso;AccountKey=" + longSecret + ";TableEndpoint=" + cosmos, refuses(401, "Unauthorized", 0), "the AccountKey in state.connection is not a key"},
		{"clock behind", key, refuses(403, "AuthenticationFailed", 20*time.Minute), "set this machine's clock: it is 20m0s behind the service's, and Azure refuses more than 15m0s"},
		{"clock ahead", key, refuses(403, "AuthenticationFailed", -3*time.Hour), "set this machine's clock: it is 3h0m0s ahead of the service's"},
		{"wrong key, and a clock that is a little off", key, refuses(403, "AuthenticationFailed", 10*time.Minute), "also, this machine's clock is 10m0s behind the service's"},
		{"keys switched off", key, refuses(403, "KeyBasedAuthenticationNotPermitted", 0), "set state.endpoint instead of state.connection, and give this app's identity the role Storage Table Data Contributor"},
		{"firewall, with a key", key, refuses(403, "AuthorizationFailure", 0), "the account's firewall (Networking) does not admit this machine"},
		{"http", "DefaultEndpointsProtocol=http;" + key, refuses(400, "AccountRequiresHttps", 0), "write DefaultEndpointsProtocol=https, or an https URL, into state.connection"},
		{"account disabled", key, refuses(403, "AccountIsDisabled", 0), "the storage account is disabled"},

		{"wrong SAS", sas, refuses(403, "AuthenticationFailed", 0), "the SharedAccessSignature in state.connection is wrong, or its key was rotated"},
		{"expired SAS", sas + "&se=2020-01-01T00:00:00Z", refuses(403, "AuthenticationFailed", 0), "expired at 2020-01-01T00:00:00Z"},
		{"expired SAS, to the day", sas + "&se=2020-01-01", refuses(403, "AuthenticationFailed", 0), "expired at 2020-01-01T00:00:00Z"},
		{"SAS of tomorrow", sas + "&st=2120-01-01T00%3A00Z&se=2121-01-01", refuses(403, "AuthenticationFailed", 0), "is valid from 2120-01-01T00:00:00Z"},
		{"SAS without a signature", "TableEndpoint=" + identity + ";SharedAccessSignature=sv=2019-02-02&se=2120-01-01", refuses(403, "AuthenticationFailed", 0), "is not complete"},
		{"SAS without the rights", sas, refuses(403, "AuthorizationPermissionMismatch", 0), "needs the table service (ss=t), resource type o and the permissions r, a, u, d"},
		{"SAS of another service", sas, refuses(403, "AuthorizationServiceMismatch", 0), "needs the table service (ss=t)"},
		{"SAS and no table", sas, noTableMayBeMade, "create it, or allow resource types c and o with permissions r, a, u, d, c"},
		{"SAS for another address", sas, refuses(403, "AuthorizationSourceIPMismatch", 0), "does not admit this machine"},

		{"identity without the role", identity, refuses(403, "AuthorizationPermissionMismatch", 0), "give this app's identity the role Storage Table Data Contributor on the account of state.endpoint"},
		{"identity, firewall", identity, refuses(403, "AuthorizationFailure", 0), "admit this machine in the account's firewall (Networking), and give this app's identity the role Storage Table Data Contributor"},
		{"identity of another tenant", identity, refuses(401, "InvalidAuthenticationInfo", 0), "of the same tenant as the account of state.endpoint?"},
		{"identity without the role, Cosmos DB", cosmos, refuses(403, "Forbidden", 0), "the role Cosmos DB Built-in Data Contributor"},

		{"no such host", key, fails(noHost), "check state.connection: there is no host contoso.table.core.windows.net"},
		{"no such endpoint", identity, fails(noHost), "check state.endpoint: there is no host contoso.table.core.windows.net"},
		{"refused", identity, fails(&net.OpError{Op: "dial", Err: errors.New("refused")}), "check state.endpoint and whether a firewall stands before contoso.table.core.windows.net"},
		{"no emulator", "UseDevelopmentStorage=true", fails(&net.OpError{Op: "dial", Err: errors.New("refused")}), "the storage emulator does not run (make azurite starts it)"},
		{"another's certificate", identity, fails(&tls.CertificateVerificationError{Err: errors.New("x509")}), "the certificate of contoso.table.core.windows.net is not trusted"},
		{"another service", identity, refuses(404, "", 0), "check state.endpoint: contoso.table.core.windows.net does not answer like a table service"},
		{"another service's verbs", key, refuses(405, "UnsupportedHttpVerb", 0), "does not answer like a table service"},
		{"a login page", key, refuses(302, "", 0), "does not answer like a table service"},
		{"a page", key, refuses(200, "", 0), "does not answer like a table service"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := Options{Connection: test.access, Table: "spillway", Transport: transportFunc(test.do)}
			if strings.HasPrefix(test.access, "https:") {
				o.Connection, o.Endpoint, o.Credential = "", test.access, &scopes{}
			}
			s, err := Open(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Check(context.Background())
			wantSilent(t, err, longSecret)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// refuses answers every request with a status; the service's clock is ahead of
// the local one.
func refuses(status int, code string, ahead time.Duration) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		a := refuse(status, code)
		a.body = "<html>" + r.URL.String()
		a.header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		if 300 <= status && status < 400 {
			a.header.Set("Location", "https://login.example/")
		}
		return (&script{answers: []answer{a}}).RoundTrip(r)
	}
}

func noTableMayBeMade(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/Tables") {
		return refuses(403, "AuthorizationResourceTypeMismatch", 0)(r)
	}
	return refuses(404, "TableNotFound", 0)(r)
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return nil, err }
}

func TestNoTokenHint(t *testing.T) {
	s, err := Open(context.Background(), Options{
		Endpoint: "https://contoso.table.core.windows.net", Table: "spillway",
		Credential: tokenFunc(func() (azcore.AccessToken, error) {
			return azcore.AccessToken{}, fmt.Errorf("DefaultAzureCredential: failed to acquire a token.\n%s", longSecret)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Check(context.Background())
	wantSilent(t, err, longSecret)
	if !strings.Contains(err.Error(), "managed identity") || !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// A table that vanishes while it is used: unavailable as long as the service
// deletes it, then made anew by the next insert, which tells of the loss.
func TestTableDeletedWhileRunning(t *testing.T) {
	var lost []bool
	deleting, noTable := refuse(409, "TableBeingDeleted"), refuse(404, "TableNotFound")
	made := answer{status: 201, body: "{}"}
	script := &script{answers: []answer{
		noTable, made, written(201, `W/"1"`), // The first start.
		deleting, deleting, // A read, a replace.
		noTable, deleting, // An insert: the table is gone, its name is not free yet.
		noTable,                              // A read of a row that is gone.
		noTable, made, written(201, `W/"2"`), // The insert that follows.
	}}
	s, err := Open(context.Background(), Options{
		Connection: "UseDevelopmentStorage=true", Table: "spillway", Transport: script,
		OnTableCreated: func(l bool) { lost = append(lost, l) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err = s.Insert(ctx, slashKey, one)
	wantKind(t, "insert", err, nil)
	_, err = s.Get(ctx, slashKey)
	wantKind(t, "get while it is deleted", err, store.ErrUnavailable)
	_, err = s.Replace(ctx, slashKey, one, `W/"1"`)
	wantKind(t, "replace while it is deleted", err, store.ErrUnavailable)
	_, err = s.Insert(ctx, slashKey, one)
	wantKind(t, "insert while it is deleted", err, store.ErrUnavailable)
	_, err = s.Get(ctx, slashKey)
	wantKind(t, "get afterwards", err, store.ErrNotFound)
	etag, err := s.Insert(ctx, slashKey, one)
	if err != nil || etag != `W/"2"` {
		t.Fatalf("insert afterwards: %q, want %q, %v", etag, `W/"2"`, err)
	}
	if fmt.Sprint(lost) != "[false true]" {
		t.Errorf("tables made: %v, want one new and one lost", lost)
	}
}

// A table that was there at the start and has been written counts as used, too.
func TestUsedTableDeleted(t *testing.T) {
	noTable, made := refuse(404, "TableNotFound"), answer{status: 201, body: "{}"}
	for name, first := range map[string]func(*Store) error{
		"insert":  attempt("insert"),
		"replace": attempt("replace"),
		"get":     attempt("get"),
	} {
		var lost []bool
		s, err := Open(context.Background(), Options{
			Connection: "UseDevelopmentStorage=true", Table: "spillway",
			OnTableCreated: func(l bool) { lost = append(lost, l) },
			Transport: &script{answers: []answer{
				written(map[string]int{"insert": 201, "replace": 204, "get": 200}[name], `W/"1"`), noTable, made, written(201, `W/"2"`),
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, name, first(s), nil)
		wantKind(t, "insert", attempt("insert")(s), nil)
		if fmt.Sprint(lost) != "[true]" {
			t.Errorf("after a %s: tables made %v, want one lost", name, lost)
		}
	}
}

// The table was made, but the answer that says so was lost, or somebody else was
// quicker: that it was lost with its rows is told all the same, once.
func TestLostTableIsToldWhoeverMakesIt(t *testing.T) {
	noTable, gone := refuse(404, "TableNotFound"), refuse(500, "OperationTimedOut")
	for name, answers := range map[string][]answer{
		"answer lost":               {noTable, gone, written(204, `W/"2"`)},
		"somebody else was quicker": {noTable, refuse(409, "TableAlreadyExists"), written(201, `W/"2"`)},
	} {
		var lost []bool
		s, err := Open(context.Background(), Options{
			Connection: "UseDevelopmentStorage=true", Table: "spillway",
			OnTableCreated: func(l bool) { lost = append(lost, l) },
			Transport:      &script{answers: append(append([]answer{written(201, `W/"1"`)}, answers...), written(204, `W/"3"`))},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		_, err = s.Insert(ctx, slashKey, one)
		wantKind(t, name, err, nil)
		if _, err = s.Insert(ctx, slashKey, one); err != nil {
			_, err = s.Replace(ctx, slashKey, one, `W/"1"`)
		}
		wantKind(t, name, err, nil)
		_, err = s.Replace(ctx, slashKey, one, `W/"2"`)
		wantKind(t, name, err, nil)
		if fmt.Sprint(lost) != "[true]" {
			t.Errorf("%s: tables made %v, want one lost", name, lost)
		}
	}
}

// Two calls of one process find at its start that there is no table, and one of them makes
// it before the other tries to. Nobody has lost anything.
func TestTableThatIsNewIsNotLost(t *testing.T) {
	noTable := refuse(404, "TableNotFound")
	answers := &script{answers: []answer{
		noTable, {status: 201, body: "{}"}, written(201, `W/"1"`), // The quicker call.
		noTable, refuse(409, "TableAlreadyExists"), written(201, `W/"2"`), // The other one, which was asked first.
	}}
	var lost []bool
	var quicker func() error
	s, err := Open(context.Background(), Options{
		Connection: "UseDevelopmentStorage=true", Table: "spillway",
		OnTableCreated: func(l bool) { lost = append(lost, l) },
		Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if first := quicker; first != nil {
				quicker = nil
				wantKind(t, "quicker insert", first(), nil)
			}
			return answers.RoundTrip(r)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	quicker = func() error { return attempt("insert")(s) }
	wantKind(t, "insert", attempt("insert")(s), nil)
	if fmt.Sprint(lost) != "[false]" {
		t.Errorf("tables made: %v, want one new one", lost)
	}
}

func attempt(operation string) func(*Store) error {
	return func(s *Store) error { return attempts[operation](context.Background(), s) }
}

// A clock that is two minutes off is corrected by the Date headers of the
// answers, to within the second that such a header is exact to.
func TestClockTwoMinutesOff(t *testing.T) {
	for _, ahead := range []time.Duration{2 * time.Minute, -2 * time.Minute} {
		agreed := new(clock.Clock)
		s, err := Open(context.Background(), Options{
			Connection: "UseDevelopmentStorage=true", Table: "spillway", OnServerDate: agreed.Observe,
			Transport: transportFunc(refuses(404, "ResourceNotFound", ahead)),
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 3 {
			_, err := s.Get(context.Background(), slashKey)
			wantKind(t, "get", err, store.ErrNotFound)
		}
		slack := time.Second + time.Since(start)
		if off := agreed.Offset() - ahead; off.Abs() > slack {
			t.Errorf("a service %v ahead: offset %v, want %v within %v", ahead, agreed.Offset(), ahead, slack)
		}
	}
}
