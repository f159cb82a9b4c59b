package contract

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
)

// Columns, keys and queries.

func testTypedColumns(t *testing.T, s store.Store) {
	values := map[string]any{
		"int64 zero":             int64(0),
		"int64 small":            int64(5),
		"int64 32 bits":          int64(math.MaxInt32) + 1,
		"int64 beyond a double":  int64(1<<53 + 1),
		"int64 greatest":         int64(math.MaxInt64),
		"int64 least":            int64(math.MinInt64),
		"float64 zero":           0.0,
		"float64 whole":          5.0,
		"float64 whole and big":  float64(1 << 60),
		"float64 fraction":       0.1,
		"float64 negative":       -2.5e-3,
		"float64 greatest":       math.MaxFloat64,
		"float64 least":          math.SmallestNonzeroFloat64,
		"bool true":              true,
		"bool false":             false,
		"string empty":           "",
		"string digits":          "123",
		"string date":            "2026-08-01T00:00:00Z",
		"string quotes":          `it's "quoted" \ <&>`,
		"string lines":           "a\r\nb\tc",
		"string unicode":         "grüße 世界 🌊 \u2028",
		"string longest":         strings.Repeat("x", store.MaxString),
		"string many surrogates": strings.Repeat("🌊", 500),
		"time whole second":      time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC),
		"time finest":            time.Date(2026, 8, 1, 12, 0, 0, 123456700, time.UTC),
		"time earliest":          time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC),
		"time latest":            time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC),
	}
	all := make(store.Columns)
	for name, value := range values {
		columns := store.Columns{"Value": value}
		etag := insert(t, s, key("single", name), columns)
		wantRow(t, s, key("single", name), columns, etag)
		all[strings.ReplaceAll(name, " ", "_")] = value
	}
	etag := insert(t, s, key("all", "r"), all)
	wantRow(t, s, key("all", "r"), all, etag)

	// A time keeps the moment, in UTC and as fine as TimeResolution.
	zone := time.FixedZone("", 2*3600)
	local := time.Date(2026, 8, 1, 14, 0, 0, 123456789, zone)
	etag = insert(t, s, key("time", "r"), store.Columns{"T": local})
	wantRow(t, s, key("time", "r"), store.Columns{"T": values["time finest"]}, etag)
	now := time.Now()
	etag = insert(t, s, key("time", "now"), store.Columns{"T": now})
	wantRow(t, s, key("time", "now"), store.Columns{"T": now.UTC().Truncate(store.TimeResolution)}, etag)
}

func testInvalidColumns(t *testing.T, s store.Store) {
	tooMany := make(store.Columns)
	for i := range store.MaxColumns + 1 {
		tooMany[fmt.Sprintf("C%d", i)] = true
	}
	tooBig := make(store.Columns)
	for i := range 40 {
		tooBig[fmt.Sprintf("C%d", i)] = strings.Repeat("x", store.MaxString)
	}
	invalid := map[string]store.Columns{
		"nil":              {"A": nil},
		"int":              {"A": 1},
		"int32":            {"A": int32(1)},
		"uint64":           {"A": uint64(1)},
		"bytes":            {"A": []byte("x")},
		"nested":           {"A": store.Columns{}},
		"not a number":     {"A": math.NaN()},
		"infinite":         {"A": math.Inf(-1)},
		"not UTF-8":        {"A": "\xff"},
		"long string":      {"A": strings.Repeat("x", store.MaxString+1)},
		"long surrogates":  {"A": strings.Repeat("🌊", store.MaxString/2) + "x"},
		"zero time":        {"A": time.Time{}},
		"late time":        {"A": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"empty name":       {"": true},
		"digit first":      {"1a": true},
		"underscore first": {"_ts": true},
		"annotation":       {"A@odata.type": "Edm.Int64"},
		"space":            {"a b": true},
		"letter":           {"Größe": true},
		"long name":        {strings.Repeat("a", store.MaxColumnName+1): true},
		"PartitionKey":     {"PartitionKey": "x"},
		"rowkey":           {"rowkey": "x"},
		"Timestamp":        {"Timestamp": "x"},
		"etag":             {"etag": "x"},
		"too many":         tooMany,
		"too big":          tooBig,
	}
	present := key("p", "present")
	etag := insert(t, s, present, store.Columns{"A": int64(1)})
	for name, columns := range invalid {
		_, err := s.Insert(context.Background(), key("p", "absent"), columns)
		wantError(t, "insert "+name, err, store.ErrInvalid)
		_, err = s.Replace(context.Background(), present, columns, etag)
		wantError(t, "replace "+name, err, store.ErrInvalid)
	}
	wantNoRow(t, s, key("p", "absent"))
	wantRow(t, s, present, store.Columns{"A": int64(1)}, etag)
}

func testCopies(t *testing.T, s store.Store) {
	k := key("p", "r")
	columns := store.Columns{"A": int64(1)}
	want := maps.Clone(columns)
	etag := insert(t, s, k, columns)
	columns["A"] = int64(2)
	wantRow(t, s, k, want, etag)
	row, err := s.Get(context.Background(), k)
	wantError(t, "get", err, nil)
	row.Columns["A"] = int64(3)
	wantRow(t, s, k, want, etag)
	for row := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
		row.Columns["A"] = int64(4)
	}
	wantRow(t, s, k, want, etag)
}

// strangeKeys are parts of keys that some service, proxy or encoding stumbles
// over; many of them differ only where one of those sees no difference.
func strangeKeys() []string {
	keys := []string{
		"", " ", "  ", "a", "A", "a ", " a", "a+b", "a b", "a%20b", "a%2Fb", "a/b", `a\b`, "a#b", "a?b", "a&b", "a=b",
		"a=2Fb", "a.2Fb", "a'b", "a''b", `a"b`, "a;b", "a:b", "a,b", "a(b)", "a|b", "a~b", "a!b", "a^b", "a`b", "a{b}", "a[b]", "a<b>",
		"a$b", "a@b", "a*b", ".", "..", "../a", "/", "//", "%", "%%", "%00", "%ZZ", "!", "!!", "!21", "=", "~", "null", "\x00", "a\x00", "a\nb",
		"a\tb", "\x7f", "\u0080", "\u009f", "é", "e\u0301", "世界", "🌊", "\xff", "\xc3\x28", "ptu-eastus/gpt-4.1", "https://contoso.example/a?b=c#d",
		"quota!team!tpm!0", "2026-08-01T00", "<script>", "' or 1 eq 1", "RowKey eq 'a'",
	}
	for b := range 256 {
		keys = append(keys, "byte-"+string([]byte{byte(b)}))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func testKeys(t *testing.T, s store.Store) {
	const partition = "it's/a #strange? part%tion\x01"
	etags := make(map[string]string)
	for i, name := range strangeKeys() {
		etags[name] = insert(t, s, key(partition, name), store.Columns{"N": int64(i)})
	}
	// Nothing was overwritten, and everything is found under its own name.
	for i, name := range strangeKeys() {
		row, err := s.Get(context.Background(), key(partition, name))
		wantError(t, fmt.Sprintf("get %q", name), err, nil)
		compareRow(t, "get", row, key(partition, name), store.Columns{"N": int64(i)}, etags[name])
	}
	seen := 0
	for row, err := range s.Query(context.Background(), store.Filter{Partition: partition}) {
		wantError(t, "query", err, nil)
		if row.ETag != etags[row.Row] {
			t.Fatalf("query finds %q with ETag %q, want %q", row.Row, row.ETag, etags[row.Row])
		}
		seen++
	}
	if seen != len(etags) {
		t.Fatalf("query finds %d of %d rows", seen, len(etags))
	}
	// A partition without a name has rows, though no query finds them.
	nameless := insert(t, s, key("", ""), store.Columns{"A": int64(1)})
	if row, err := s.Get(context.Background(), key("", "")); err != nil || row.ETag != nameless {
		t.Fatalf("get of a row without a name: %v, %v", row, err)
	}
	for _, name := range []string{"a/b", "%2F", "' or 1 eq 1", "世界", "\x00"} {
		k := key(name, name)
		etag := insert(t, s, k, store.Columns{"A": int64(1)})
		etag = replace(t, s, k, store.Columns{"A": int64(2)}, etag)
		wantRow(t, s, k, store.Columns{"A": int64(2)}, etag)
		wantError(t, "delete", s.Delete(context.Background(), k, etag), nil)
		wantNoRow(t, s, k)
	}
}

func testLongKeys(t *testing.T, s store.Store) {
	fits := strings.Repeat("k", 255)
	etag := insert(t, s, key(fits, fits), store.Columns{"A": int64(1)})
	wantRow(t, s, key(fits, fits), store.Columns{"A": int64(1)}, etag)
	for _, long := range []store.Key{key("p", strings.Repeat("k", 2000)), key(strings.Repeat("k", 2000), "r")} {
		_, err := s.Insert(context.Background(), long, nil)
		wantError(t, "insert", err, store.ErrInvalid)
		_, err = s.Replace(context.Background(), long, nil, etag)
		wantError(t, "replace", err, store.ErrInvalid)
		if _, err = s.Get(context.Background(), long); err == nil {
			t.Error("get finds a row under a key that cannot exist")
		}
	}
}

func testQueryRange(t *testing.T, s store.Store) {
	names := strangeKeys()
	for _, name := range names {
		insert(t, s, key("p", name), nil)
		if len(name) == 1 {
			insert(t, s, key("p2", name), nil)
		}
	}
	filters := []store.Filter{
		{Partition: "p"},
		{Partition: "p", RowFrom: "a"},
		{Partition: "p", RowTo: "a"},
		{Partition: "p", RowFrom: "a", RowTo: "b"},
		{Partition: "p", RowFrom: "a", RowTo: "a\x00"},
		{Partition: "p", RowFrom: "a/b", RowTo: "a0"},
		{Partition: "p", RowFrom: "byte-", RowTo: "byte."},
		{Partition: "p", RowFrom: "byte-#", RowTo: "byte-~"},
		{Partition: "p", RowFrom: "byte-\x80"},
		{Partition: "p", RowFrom: "' or 1 eq 1", RowTo: "世"},
		{Partition: "p", RowFrom: "b", RowTo: "a"},
		{Partition: "p", RowFrom: "a", RowTo: "a"},
		{Partition: "p2"},
		{Partition: "p3"},
	}
	for _, filter := range filters {
		var want []string
		for _, name := range names {
			inRange := name >= filter.RowFrom && (filter.RowTo == "" || name < filter.RowTo)
			if inRange && (filter.Partition == "p" || filter.Partition != "p3" && len(name) == 1) {
				want = append(want, name)
			}
		}
		var got []string
		for row, err := range s.Query(context.Background(), filter) {
			wantError(t, "query", err, nil)
			if row.Partition != filter.Partition {
				t.Fatalf("%+v: row of partition %q", filter, row.Partition)
			}
			got = append(got, row.Row)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%+v:\n got %q\nwant %q", filter, got, want)
		}
	}
}

// testQueryPrefix has partitions around the edges of prefixes, in the order of
// bytes and in that of the encodings.
func testQueryPrefix(t *testing.T, s store.Store) {
	partitions := []string{
		"quota", "quota!", "quota!a", "quota!a/b", "quota!a.2Fb", "quota!\xff", "quota\x20", "quota\"", "quota.", "quotb",
		"Quota!a", "breaker", "breaker/a", "a", "a\x00", "a\xff", "a\xff\xff", "b", "\xff", "\xff\xff", "\x00", "!", "~", "~a", "é", "éa", "世", "世界",
	}
	rows := []string{"", "1", "2/", "3"}
	for _, partition := range partitions {
		for _, row := range rows {
			insert(t, s, key(partition, row), store.Columns{"P": partition == "a"})
		}
	}
	prefixes := append([]string{"q", "quota!a/", "quota!a/b/", "\xc3", "世\xe7", "x", "b", "break", "a\xff\xff\xff"}, partitions...)
	for _, prefix := range prefixes {
		for _, filter := range []store.Filter{{Prefix: prefix}, {Prefix: prefix, RowFrom: "1", RowTo: "3"}} {
			want := make(map[store.Key]bool)
			for _, partition := range partitions {
				for _, row := range rows {
					if strings.HasPrefix(partition, prefix) && (filter.RowTo == "" || row != "" && row != "3") {
						want[key(partition, row)] = true
					}
				}
			}
			for row, err := range s.Query(context.Background(), filter) {
				wantError(t, "query", err, nil)
				if !want[row.Key] {
					t.Errorf("%+v: row %q is not selected, or comes twice", filter, row.Key)
				}
				if row.Columns["P"] != (row.Partition == "a") || !store.ValidETag(row.ETag) {
					t.Errorf("%+v: row %q: columns %v, ETag %q", filter, row.Key, row.Columns, row.ETag)
				}
				delete(want, row.Key)
			}
			if len(want) > 0 {
				t.Errorf("%+v: %d rows are missing, such as %v", filter, len(want), want)
			}
		}
	}
}

func testQueryFilter(t *testing.T, s store.Store) {
	insert(t, s, key("p", "r"), nil)
	for _, filter := range []store.Filter{{}, {RowFrom: "a", RowTo: "b"}, {Partition: "p", Prefix: "p"}} {
		asked := false
		for row, err := range s.Query(context.Background(), filter) {
			wantError(t, fmt.Sprintf("query %+v: row %v", filter, row), err, store.ErrInvalid)
			asked = true
		}
		if !asked {
			t.Errorf("query %+v: no error", filter)
		}
	}
}

func testQueryPages(t *testing.T, s store.Store) {
	const rows, partitions = 1250, 5 // A page of Table Storage has at most 1,000.
	spread := func(i int) store.Key {
		return key(fmt.Sprintf("spread/%d", i%partitions), fmt.Sprintf("%04d", i))
	}
	parallel(rows, func(i int) {
		if _, err := s.Insert(context.Background(), spread(i), store.Columns{"N": int64(i)}); err != nil {
			t.Errorf("insert: %v", err)
		}
	})
	insert(t, s, key("spread", "r"), nil)
	insert(t, s, key("spread0", "r"), nil)
	found := make(map[int64]bool)
	for row, err := range s.Query(context.Background(), store.Filter{Prefix: "spread/"}) {
		wantError(t, "query", err, nil)
		n, _ := row.Columns["N"].(int64)
		if found[n] || row.Key != spread(int(n)) {
			t.Fatalf("row %q comes twice, or has the columns of another: %v", row.Key, row.Columns)
		}
		found[n] = true
	}
	if len(found) != rows {
		t.Fatalf("%d rows, want %d", len(found), rows)
	}

	parallel(rows, func(i int) {
		columns := store.Columns{"N": int64(i)}
		if _, err := s.Insert(context.Background(), key("p", fmt.Sprintf("%04d", i)), columns); err != nil {
			t.Errorf("insert: %v", err)
		}
	})
	seen := make(map[string]int64)
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
		wantError(t, "query", err, nil)
		if _, twice := seen[row.Row]; twice {
			t.Fatalf("row %q comes twice", row.Row)
		}
		seen[row.Row], _ = row.Columns["N"].(int64)
	}
	for i := range rows {
		if n, ok := seen[fmt.Sprintf("%04d", i)]; !ok || n != int64(i) {
			t.Fatalf("row %04d: %v, %v", i, n, ok)
		}
	}
	if len(seen) != rows {
		t.Fatalf("%d rows, want %d", len(seen), rows)
	}
	// Whoever has seen enough may stop, and start again.
	for _, enough := range []int{1, 1000, 1001} {
		taken := 0
		for range s.Query(context.Background(), store.Filter{Partition: "p"}) {
			if taken++; taken == enough {
				break
			}
		}
		if taken != enough {
			t.Errorf("%d rows before the break, want %d", taken, enough)
		}
	}
}

func testQueryNothing(t *testing.T, s store.Store) {
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
		t.Errorf("query of an empty store: row %v, error %v", row, err)
	}
	insert(t, s, key("p", "r"), nil)
	for row, err := range s.Query(context.Background(), store.Filter{Partition: "p", RowFrom: "s"}) {
		t.Errorf("query of an empty range: row %v, error %v", row, err)
	}
}
