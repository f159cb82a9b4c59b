package e2e_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// table reaches a table past the gateways, as another program does that uses
// the same account.
func table(t testing.TB, connection, name string) *aztables.Client {
	t.Helper()
	service, err := aztables.NewServiceClientFromConnectionString(connection, &aztables.ClientOptions{
		ClientOptions: policy.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return service.NewClient(name)
}

// table is that of the fleet.
func (f *fleet) table(t testing.TB) *aztables.Client {
	return table(t, f.env["STORAGE"], f.env["TABLE"])
}

// rows are the entities of a table, as JSON, whose keys have all these parts; of
// a table that is missing there are none.
func rows(t testing.TB, table *aztables.Client, parts ...string) []map[string]any {
	t.Helper()
	var found []map[string]any
	pages := table.NewListEntitiesPager(nil)
	for pages.More() {
		page, err := pages.NextPage(t.Context())
		var missing *azcore.ResponseError
		if errors.As(err, &missing) && missing.ErrorCode == string(aztables.TableNotFound) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
	next:
		for _, text := range page.Entities {
			var entity map[string]any
			if err := json.Unmarshal(text, &entity); err != nil {
				t.Fatal(err)
			}
			key := entity["PartitionKey"].(string) + " " + entity["RowKey"].(string)
			for _, part := range parts {
				if !strings.Contains(key, part) {
					continue next
				}
			}
			found = append(found, entity)
		}
	}
	return found
}
