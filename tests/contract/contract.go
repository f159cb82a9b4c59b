// Package contract is the specification of store.Store as tests: one suite that
// every implementation passes, and histories of concurrent clients whose
// linearizability is checked.
package contract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"spillway/shared/store"
)

// Run tests one implementation. newStore returns a store without rows (other
// stores of the same test may exist) and is called once for each test.
func Run(t *testing.T, newStore func(t testing.TB) store.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"a row is read as it was written", testReadBack},
		{"an insert does not overwrite", testInsertTwice},
		{"a replace needs the present ETag", testReplace},
		{"a replace leaves no column behind", testReplaceDropsColumns},
		{"a delete needs the present ETag", testDelete},
		{"a row that was made anew has another ETag", testRecreated},
		{"there are no blind writes", testNoBlindWrites},
		{"columns come back with type and value", testTypedColumns},
		{"columns that no store keeps are refused", testInvalidColumns},
		{"columns are copied in and out", testCopies},
		{"any text is a key", testKeys},
		{"long keys are kept or refused, never cut", testLongKeys},
		{"a query selects a range of one partition", testQueryRange},
		{"a query selects partitions by a prefix", testQueryPrefix},
		{"a query has a partition or a prefix", testQueryFilter},
		{"a query sees every page", testQueryPages},
		{"a query of nothing is empty", testQueryNothing},
		{"an ended context asks nothing", testEndedContext},
		{"one of many inserts wins", testInsertRace},
		{"no increment is lost", testIncrements},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newStore(t)) })
	}
}

// kinds are the errors that a caller tells apart.
var kinds = []error{
	store.ErrNotFound, store.ErrConflict, store.ErrAmbiguous, store.ErrUnavailable, store.ErrInvalid,
}

// wantError demands that err is want and no other kind of error.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return
	}
	for _, kind := range kinds {
		if is := errors.Is(err, kind); is != (kind == want) {
			t.Fatalf("%s: got error %v, want %v alone", what, err, want)
		}
	}
}

func key(partition, row string) store.Key {
	return store.Key{Partition: partition, Row: row}
}

func insert(t testing.TB, s store.Store, k store.Key, columns store.Columns) string {
	t.Helper()
	etag, err := s.Insert(context.Background(), k, columns)
	wantError(t, fmt.Sprintf("insert %q", k), err, nil)
	if !store.ValidETag(etag) {
		t.Fatalf("insert %q: ETag %q", k, etag)
	}
	return etag
}

func replace(t testing.TB, s store.Store, k store.Key, columns store.Columns, etag string) string {
	t.Helper()
	newETag, err := s.Replace(context.Background(), k, columns, etag)
	wantError(t, fmt.Sprintf("replace %q", k), err, nil)
	if newETag == etag || !store.ValidETag(newETag) {
		t.Fatalf("replace %q: ETag %q after %q", k, newETag, etag)
	}
	return newETag
}

// wantRow demands that the row exists with exactly these columns and ETag, for
// Get and for Query.
func wantRow(t testing.TB, s store.Store, k store.Key, columns store.Columns, etag string) {
	t.Helper()
	row, err := s.Get(context.Background(), k)
	wantError(t, fmt.Sprintf("get %q", k), err, nil)
	compareRow(t, "get", row, k, columns, etag)
	for row, err := range s.Query(context.Background(), store.Filter{Partition: k.Partition, RowFrom: k.Row}) {
		wantError(t, fmt.Sprintf("query %q", k), err, nil)
		if row.Key == k {
			compareRow(t, "query", row, k, columns, etag)
			return
		}
	}
	t.Fatalf("query does not find %q", k)
}

func compareRow(t testing.TB, how string, row store.Row, k store.Key, columns store.Columns, etag string) {
	t.Helper()
	if row.Key != k {
		t.Fatalf("%s: key %q, want %q", how, row.Key, k)
	}
	if row.ETag != etag {
		t.Fatalf("%s %q: ETag %q, want %q", how, k, row.ETag, etag)
	}
	if !maps.Equal(row.Columns, columns) {
		t.Fatalf("%s %q: columns\n%.500s, want\n%.500s", how, k, fmt.Sprintf("%#v", row.Columns), fmt.Sprintf("%#v", columns))
	}
}

func wantNoRow(t testing.TB, s store.Store, k store.Key) {
	t.Helper()
	_, err := s.Get(context.Background(), k)
	wantError(t, fmt.Sprintf("get %q", k), err, store.ErrNotFound)
	for row, err := range s.Query(context.Background(), store.Filter{Partition: k.Partition}) {
		wantError(t, fmt.Sprintf("query %q", k), err, nil)
		if row.Key == k {
			t.Fatalf("query finds %q, which does not exist", k)
		}
	}
}
