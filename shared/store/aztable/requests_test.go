package aztable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"spillway/shared/store"
)

// script is a table service in memory that answers from a list and keeps what
// it was asked.
type script struct {
	mu      sync.Mutex
	answers []answer // Guarded by mu.
	asked   []string // Guarded by mu.
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(content)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := r.Method + " " + r.URL.Path
	if match, ok := r.Header["If-Match"]; ok {
		line += " if-match " + strings.Join(match, ",")
	}
	s.asked = append(s.asked, strings.TrimSpace(line+" "+body))
	if len(s.answers) == 0 {
		return nil, errors.New("the script has ended")
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	if next.header == nil {
		next.header = http.Header{}
	}
	return &http.Response{
		StatusCode: next.status, Header: next.header, Request: r,
		Body: io.NopCloser(strings.NewReader(next.body)),
	}, nil
}

func refuse(status int, code string) answer {
	return answer{status: status, header: http.Header{"X-Ms-Error-Code": {code}}}
}

func written(status int, etag string) answer {
	return answer{status: status, header: http.Header{"Etag": {etag}}, body: "{}"}
}

func play(t *testing.T, answers ...answer) (*Store, *script) {
	t.Helper()
	s := &script{answers: answers}
	opened, err := Open(context.Background(), Options{
		Connection: "UseDevelopmentStorage=true", Table: "spillway", Transport: s,
	})
	if err != nil {
		t.Fatal(err)
	}
	return opened, s
}

func (s *script) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(s.asked, "\n"), strings.Join(want, "\n"))
	}
}

const (
	tablePath  = "/devstoreaccount1/spillway"
	entityPath = "/devstoreaccount1/spillway(PartitionKey='a.2Fb',RowKey='r')"
	entityBody = `{"A":"1","A@odata.type":"Edm.Int64","PartitionKey":"a.2Fb","RowKey":"r"}`
	tableBody  = `{"TableName":"spillway"}`
)

var (
	slashKey = store.Key{Partition: "a/b", Row: "r"}
	one      = store.Columns{"A": int64(1)}
)

// Every write names the ETag it is conditional on, or is a POST, which the
// service refuses for a row that exists.
func TestWritesAreConditional(t *testing.T) {
	s, script := play(t, written(201, `W/"1"`), written(204, `W/"2"`), answer{status: 204})
	etag, err := s.Insert(context.Background(), slashKey, one)
	if err != nil || etag != `W/"1"` {
		t.Fatalf("insert: %q, want %q, %v", etag, `W/"1"`, err)
	}
	etag, err = s.Replace(context.Background(), slashKey, one, etag)
	if err != nil || etag != `W/"2"` {
		t.Fatalf("replace: %q, want %q, %v", etag, `W/"2"`, err)
	}
	if err := s.Delete(context.Background(), slashKey, etag); err != nil {
		t.Fatalf("delete: %v", err)
	}
	for _, blind := range []string{"", "*"} {
		if _, err := s.Replace(context.Background(), slashKey, one, blind); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("replace with ETag %q: %v", blind, err)
		}
		if err := s.Delete(context.Background(), slashKey, blind); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("delete with ETag %q: %v", blind, err)
		}
	}
	script.wantAsked(t,
		"POST "+tablePath+" "+entityBody,
		"PUT "+entityPath+` if-match W/"1" `+entityBody,
		"DELETE "+entityPath+` if-match W/"2"`,
	)
}

func TestAnswerWithoutETagProvesNothing(t *testing.T) {
	s, _ := play(t, answer{status: 201, body: "{}"}, answer{status: 204})
	_, err := s.Insert(context.Background(), slashKey, one)
	wantKind(t, "insert", err, store.ErrAmbiguous)
	_, err = s.Replace(context.Background(), slashKey, one, `W/"1"`)
	wantKind(t, "replace", err, store.ErrAmbiguous)
}

func TestTableIsMadeWithItsFirstRow(t *testing.T) {
	noTable := refuse(404, "TableNotFound")
	insert := "POST " + tablePath + " " + entityBody
	create := "POST /devstoreaccount1/Tables " + tableBody
	tests := []struct {
		name    string
		answers []answer
		want    error
		asked   []string
	}{
		{"it is missing", []answer{noTable, {status: 201, body: "{}"}, written(201, `W/"1"`)}, nil, []string{insert, create, insert}},
		{"it is missing, says another service", []answer{refuse(404, "ResourceNotFound"), {status: 201, body: "{}"}, written(201, `W/"1"`)}, nil, []string{insert, create, insert}},
		{"somebody was quicker", []answer{noTable, refuse(409, "TableAlreadyExists"), written(201, `W/"1"`)}, nil, []string{insert, create, insert}},
		{"somebody wrote the row too", []answer{noTable, {status: 201, body: "{}"}, refuse(409, "EntityAlreadyExists")}, store.ErrConflict, []string{insert, create, insert}},
		{"it cannot be made", []answer{noTable, refuse(403, "AuthorizationPermissionMismatch")}, store.ErrUnavailable, []string{insert, create}},
		{"it is being deleted", []answer{noTable, refuse(409, "TableBeingDeleted")}, store.ErrUnavailable, []string{insert, create}},
		{"nobody knows whether it was made", []answer{noTable, refuse(500, "InternalError")}, store.ErrUnavailable, []string{insert, create}},
		{"it vanishes again", []answer{noTable, {status: 201, body: "{}"}, noTable}, store.ErrUnavailable, []string{insert, create, insert}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, script := play(t, test.answers...)
			_, err := s.Insert(context.Background(), slashKey, one)
			wantKind(t, "insert", err, test.want)
			script.wantAsked(t, test.asked...)
		})
	}
}

// A reader needs no right to create tables, and a missing table holds no rows.
func TestReadersMakeNoTable(t *testing.T) {
	noTable := refuse(404, "TableNotFound")
	s, script := play(t, noTable, noTable, noTable, noTable)
	_, err := s.Get(context.Background(), slashKey)
	wantKind(t, "get", err, store.ErrNotFound)
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "a/b"}) {
		t.Errorf("query: %v, %v", row, err)
	}
	_, err = s.Replace(context.Background(), slashKey, one, `W/"1"`)
	wantKind(t, "replace", err, store.ErrNotFound)
	wantKind(t, "delete", s.Delete(context.Background(), slashKey, `W/"1"`), store.ErrNotFound)
	script.wantAsked(t,
		"GET "+entityPath,
		"GET "+tablePath+"()",
		"PUT "+entityPath+` if-match W/"1" `+entityBody,
		"DELETE "+entityPath+` if-match W/"1"`,
	)
}

// The service may end a page anywhere, and send an empty one with a
// continuation.
func TestQueryFollowsContinuations(t *testing.T) {
	page := func(rows, next string) answer {
		a := answer{status: 200, header: http.Header{}, body: `{"value":[` + rows + `]}`}
		if next != "" {
			a.header.Set("x-ms-continuation-NextPartitionKey", "p")
			a.header.Set("x-ms-continuation-NextRowKey", next)
		}
		return a
	}
	row := func(key string) string {
		return fmt.Sprintf(`{"odata.etag":"W/\"%s\"","PartitionKey":"p","RowKey":"%s"}`, key, key)
	}
	s, script := play(t, page(row("a")+","+row("b"), "c"), page("", "c"), page(row("c"), ""))
	var got []string
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Row+" "+row.ETag)
	}
	if want := []string{`a W/"a"`, `b W/"b"`, `c W/"c"`}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(script.asked) != 3 {
		t.Errorf("%d requests, want 3", len(script.asked))
	}
	// A page that fails ends the sequence after the rows before it.
	s, _ = play(t, page(row("a"), "b"), refuse(500, "InternalError"))
	got = nil
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
		if err != nil {
			wantKind(t, "query", err, store.ErrUnavailable)
		}
		got = append(got, row.Row)
	}
	if want := []string{"a", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The service selects the rows, not this package: no filter asks for more than
// its range.
func TestFilterText(t *testing.T) {
	tests := []struct {
		filter store.Filter
		want   string
	}{
		{store.Filter{Partition: "a/b"}, "PartitionKey eq 'a.2Fb'"},
		{store.Filter{Partition: "a", RowFrom: "1"}, "PartitionKey eq 'a' and RowKey ge '1'"},
		{store.Filter{Partition: "a", RowFrom: "1", RowTo: "it's"}, "PartitionKey eq 'a' and RowKey ge '1' and RowKey lt 'it!27s'"},
		{store.Filter{Prefix: "quota!"}, "PartitionKey ge 'quota!21' and PartitionKey lt 'quota!22'"},
		{store.Filter{Prefix: "quota", RowTo: "9"}, "PartitionKey ge 'quota' and PartitionKey lt 'quotb' and RowKey lt '9'"},
		{store.Filter{Prefix: "a/"}, "PartitionKey ge 'a.2F' and PartitionKey lt 'a0'"},
		{store.Filter{Prefix: "\xff"}, "PartitionKey ge '~FF'"},
	}
	for _, test := range tests {
		var asked []string
		s, err := Open(context.Background(), Options{
			Connection: "UseDevelopmentStorage=true", Table: "spillway",
			Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.Query().Get("$filter"))
				return (&script{answers: []answer{{status: 200, body: `{"value":[]}`}}}).RoundTrip(r)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range s.Query(context.Background(), test.filter) {
			t.Errorf("%+v: row %v, error %v", test.filter, row, err)
		}
		if !slices.Equal(asked, []string{test.want}) {
			t.Errorf("%+v:\n got %q\nwant %q", test.filter, asked, test.want)
		}
	}
	// What cannot select anything, or is no filter, asks nothing.
	s, script := play(t)
	for _, filter := range []store.Filter{{}, {Prefix: "a", Partition: "a"}, {Partition: "a", RowFrom: "2", RowTo: "1"}} {
		for _, err := range s.Query(context.Background(), filter) {
			wantKind(t, "query", err, store.ErrInvalid)
		}
	}
	script.wantAsked(t)
}

func TestServerDate(t *testing.T) {
	type observation struct{ date, sent, received time.Time }
	var seen []observation
	dates := []string{"Sat, 01 Aug 2026 12:00:00 GMT", "", "yesterday", "Sat, 01 Aug 2026 12:00:09 GMT"}
	script := &script{}
	for _, date := range dates {
		a := refuse(404, "ResourceNotFound")
		a.header.Set("Date", date)
		script.answers = append(script.answers, a)
	}
	s, err := Open(context.Background(), Options{
		Connection: "UseDevelopmentStorage=true", Table: "spillway", Transport: script,
		OnServerDate: func(date, sent, received time.Time) {
			seen = append(seen, observation{date, sent, received})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	for range dates {
		_, err := s.Get(context.Background(), slashKey)
		wantKind(t, "get", err, store.ErrNotFound)
	}
	if len(seen) != 2 || seen[0].date.Second() != 0 || seen[1].date.Second() != 9 {
		t.Fatalf("observed %v", seen)
	}
	for _, o := range seen {
		if o.sent.Before(before) || o.received.Before(o.sent) || time.Now().Before(o.received) {
			t.Errorf("sent %v, received %v", o.sent, o.received)
		}
	}
}

func TestManagedIdentity(t *testing.T) {
	asked := make(chan string, 1)
	backend := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
		w.Header().Set("x-ms-error-code", "ResourceNotFound")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer backend.Close()
	credential := &scopes{}
	s, err := Open(context.Background(), Options{
		Endpoint: backend.URL, Credential: credential, Table: "spillway", Transport: backend.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(context.Background(), slashKey)
	wantKind(t, "get", err, store.ErrNotFound)
	if got := <-asked; got != "Bearer "+secret {
		t.Errorf("Authorization: %q, want %q", got, "Bearer "+secret)
	}
	if want := []string{"https://storage.azure.com/.default"}; !slices.Equal(credential.asked, want) {
		t.Errorf("scopes %v, want %v", credential.asked, want)
	}
}

// scopes is a credential that keeps what it was asked for.
type scopes struct{ asked []string }

func (s *scopes) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s.asked = append(s.asked, o.Scopes...)
	return azcore.AccessToken{Token: secret, ExpiresOn: time.Now().Add(time.Hour)}, nil
}
