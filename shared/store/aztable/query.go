package aztable

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"spillway/shared/store"
)

// Query implements store.Store. Each page of at most 1,000 rows is one request
// with its own try timeout. A row whose key this package could not have written
// is skipped. A query by prefix may come in many pages, some of them empty: the
// service ends a page at each of its own partition ranges.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if err := filter.Validate(); err != nil {
			yield(store.Row{}, fmt.Errorf("aztable: query: %w", err))
			return
		}
		if filter.RowTo != "" && filter.RowFrom >= filter.RowTo {
			return
		}
		text := filterText(filter)
		pages := s.table.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &text})
		for pages.More() {
			rows, err := s.nextPage(ctx, pages)
			if isMissing(err) {
				return // No table yet is a table without rows.
			}
			if err != nil {
				yield(store.Row{}, readError(err))
				return
			}
			for _, row := range rows {
				if filter.Selects(row.Key) && !yield(row, nil) {
					return
				}
			}
		}
	}
}

// filterText writes a filter for the service. The encoding of keys keeps their
// order, so a range of keys, and with it a prefix, is a range of encoded keys.
func filterText(f store.Filter) string {
	var terms []string
	bound := func(property, comparison, key string) {
		terms = append(terms, property+" "+comparison+" '"+encodeKey(key)+"'")
	}
	if f.Prefix == "" {
		bound("PartitionKey", "eq", f.Partition)
	} else {
		from, to := f.Partitions()
		bound("PartitionKey", "ge", from)
		if to != "" {
			bound("PartitionKey", "lt", to)
		}
	}
	if f.RowFrom != "" {
		bound("RowKey", "ge", f.RowFrom)
	}
	if f.RowTo != "" {
		bound("RowKey", "lt", f.RowTo)
	}
	return strings.Join(terms, " and ")
}

func (s *Store) nextPage(ctx context.Context, pages *runtime.Pager[aztables.ListEntitiesResponse]) ([]store.Row, error) {
	var rows []store.Row
	err := s.try(ctx, "query", func(ctx context.Context) error {
		var answer *http.Response
		if _, err := pages.NextPage(policy.WithCaptureResponse(ctx, &answer)); err != nil {
			return err
		}
		body, err := runtime.Payload(answer)
		if err != nil {
			return err
		}
		rows, err = decodePage(body)
		return err
	})
	return rows, err
}
