package store_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
)

func TestCopyKeepsWhatAStoreKeeps(t *testing.T) {
	zone := time.FixedZone("", -3600)
	columns := store.Columns{
		"A": int64(1), "b_2": 0.5, "C": true, "D": "grüße",
		"T": time.Date(2026, 8, 1, 11, 0, 0, 123456789, zone),
		"N": time.Now(),
	}
	kept, err := columns.Copy()
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 8, 1, 12, 0, 0, 123456700, time.UTC); kept["T"] != want {
		t.Errorf("time is %v, want %v", kept["T"], want)
	}
	again, err := kept.Copy()
	if err != nil || !maps.Equal(again, kept) {
		t.Errorf("a copy of the copy is %v, %v", again, err)
	}
	kept["A"] = int64(2)
	if columns["A"] != int64(1) {
		t.Error("the copy is no copy")
	}
	if none, err := store.Columns(nil).Copy(); err != nil || len(none) != 0 || none == nil {
		t.Errorf("copy of nothing: %v, %v", none, err)
	}
}

// The limits, to the unit.
func TestCopyLimits(t *testing.T) {
	wide := func(n int) store.Columns {
		columns := make(store.Columns)
		for i := range n {
			columns["C"+strings.Repeat("x", i)] = true
		}
		return columns
	}
	full := func(bytes int) store.Columns {
		columns := make(store.Columns)
		for name := 'a'; bytes > 0; name++ {
			units := min(bytes/2-5, store.MaxString) // Name 2, value 8, and the text.
			columns[string(name)] = strings.Repeat("x", units)
			bytes -= 2 + 8 + 2*units
		}
		return columns
	}
	tests := []struct {
		name    string
		columns store.Columns
		ok      bool
	}{
		{"longest string", store.Columns{"A": strings.Repeat("é", store.MaxString)}, true},
		{"string one longer", store.Columns{"A": strings.Repeat("é", store.MaxString+1)}, false},
		{"longest string of pairs", store.Columns{"A": strings.Repeat("🌊", store.MaxString/2)}, true},
		{"string of pairs one longer", store.Columns{"A": strings.Repeat("🌊", store.MaxString/2) + "x"}, false},
		{"longest name", store.Columns{strings.Repeat("a", store.MaxColumnName): true}, true},
		{"name one longer", store.Columns{strings.Repeat("a", store.MaxColumnName+1): true}, false},
		{"most columns", wide(store.MaxColumns), true},
		{"one column more", wide(store.MaxColumns + 1), false},
		{"biggest row", full(store.MaxRow), true},
		{"row two bytes bigger", full(store.MaxRow + 2), false},
		{"earliest time", store.Columns{"A": time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)}, true},
		{"time before", store.Columns{"A": time.Date(1600, 12, 31, 23, 59, 59, 0, time.UTC)}, false},
		{"latest time", store.Columns{"A": time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}, true},
		{"time after", store.Columns{"A": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, false},
	}
	for _, test := range tests {
		_, err := test.columns.Copy()
		if ok := err == nil; ok != test.ok || !ok && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
}

func TestColumnNames(t *testing.T) {
	for name, want := range map[string]bool{
		"Granted": true, "a": true, "Z9_": true, "NextGranted": true, "Ident": true,
		"": false, "9": false, "_ts": false, "a-b": false, "a b": false, "a.b": false, "odata.etag": false, "A@odata.type": false,
		"é": false, "a\x00": false, "[": false, "PartitionKey": false, "rowKey": false, "TIMESTAMP": false,
		"ID": false, "rid": false, "ETag": false, "ResourceId": false,
	} {
		_, err := store.Columns{name: true}.Copy()
		if got := err == nil; got != want {
			t.Errorf("column %q: error %v", name, err)
		}
	}
}
