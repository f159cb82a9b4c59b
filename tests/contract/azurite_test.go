package contract

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/tests/fakes/azurite"
)

// What only happens to a store behind a service with accounts and tables.

func service(t *testing.T, connection string) *aztables.ServiceClient {
	t.Helper()
	client, err := aztables.NewServiceClientFromConnectionString(connection, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A table that is deleted under its users holds no rows any more; the next
// insert makes it anew and tells that the rows of the old one are lost.
func TestAzuriteTableDeleted(t *testing.T) {
	ctx := context.Background()
	connection := azurite.Start(t)
	var lost []bool
	s, err := aztable.Open(ctx, aztable.Options{
		Connection: connection, Table: "deleted", OnTableCreated: func(l bool) { lost = append(lost, l) },
	})
	if err != nil {
		t.Fatal(err)
	}
	k := key("p", "r")
	etag := insert(t, s, k, store.Columns{"A": int64(1)})
	if _, err := service(t, connection).DeleteTable(ctx, "deleted", nil); err != nil {
		t.Fatal(err)
	}
	wantNoRow(t, s, k)
	_, err = s.Replace(ctx, k, store.Columns{"A": int64(2)}, etag)
	wantError(t, "replace", err, store.ErrNotFound)
	wantError(t, "delete", s.Delete(ctx, k, etag), store.ErrNotFound)
	etag = insert(t, s, k, store.Columns{"A": int64(3)})
	wantRow(t, s, k, store.Columns{"A": int64(3)}, etag)
	if fmt.Sprint(lost) != "[false true]" {
		t.Errorf("tables made: %v, want one new and one lost", lost)
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// A shared access signature serves as a connection string; what it does not
// allow, Check tells.
func TestAzuriteSharedAccessSignature(t *testing.T) {
	ctx := context.Background()
	connection := azurite.Start(t)
	signed := func(permissions aztables.SASPermissions, table string) *aztable.Store {
		start, expiry := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		signature, err := service(t, connection).NewClient(table).GetTableSASURL(permissions, start, expiry)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signature)
		if err != nil {
			t.Fatal(err)
		}
		endpoint := connection[strings.Index(connection, "TableEndpoint="):]
		s, err := aztable.Open(ctx, aztable.Options{Connection: endpoint + "SharedAccessSignature=" + u.RawQuery, Table: table})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := aztables.SASPermissions{Read: true, Add: true, Update: true, Delete: true}
	if _, err := service(t, connection).CreateTable(ctx, "signed", nil); err != nil {
		t.Fatal(err)
	}
	if err := signed(all, "signed").Check(ctx); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	tests := []struct {
		name  string
		store *aztable.Store
		want  string
	}{
		{"reading alone", signed(aztables.SASPermissions{Read: true}, "signed"), "the permissions r, a, u, d"},
		{"writing alone", signed(aztables.SASPermissions{Add: true, Update: true, Delete: true}, "signed"), "cannot be read"},
		{"no table", signed(all, "absent"), "the table is missing and the SharedAccessSignature may not create it"},
	}
	for _, test := range tests {
		err := test.store.Check(ctx)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "sig=") {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}
