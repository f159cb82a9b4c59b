package aztable

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"spillway/shared/store"
)

func TestEncodeEntity(t *testing.T) {
	body, err := encodeEntity("p", "r", store.Columns{
		"I": int64(1<<53 + 1), "F": 5.0, "S": "it's", "B": true,
		"T": time.Date(2026, 8, 1, 12, 0, 0, 1234567, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"B":true,"F":5,"F@odata.type":"Edm.Double","I":"9007199254740993","I@odata.type":"Edm.Int64",` +
		`"PartitionKey":"p","RowKey":"r","S":"it's",` +
		`"T":"2026-08-01T12:00:00.0012345Z","T@odata.type":"Edm.DateTime"}`
	if string(body) != want {
		t.Errorf("got\n%s, want\n%s", body, want)
	}
	if _, err := encodeEntity("p", "r", store.Columns{"A": 1}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an int: error %v", err)
	}
}

// Rows of other tools and later versions: what can be understood is kept.
func TestDecodeEntity(t *testing.T) {
	const body = `{"odata.metadata":"m","odata.etag":"W/\"1\"","PartitionKey":"p","RowKey":"r","Timestamp":"2026-08-01T00:00:00Z",
		"Int32":5,"Int64@odata.type":"Edm.Int64","Int64":"9007199254740993","Int64Number@odata.type":"Edm.Int64","Int64Number":7,
		"Double":5.0,"Exponent":1e3,"Typed@odata.type":"Edm.Double","Typed":5,"TypedText@odata.type":"Edm.Double","TypedText":"2.5",
		"TooBig":123456789012345678901234567890,
		"Bool":false,"String":"s","Typed.String@odata.type":"Edm.String","Guid@odata.type":"Edm.Guid","Guid":"c9da6455",
		"Time@odata.type":"Edm.DateTime","Time":"2026-08-01T12:00:00.1234567Z","Zone@odata.type":"Edm.DateTime","Zone":"2026-08-01T14:00:00+02:00",
		"NotANumber@odata.type":"Edm.Double","NotANumber":"NaN","Infinite@odata.type":"Edm.Double","Infinite":"Infinity",
		"BadInt@odata.type":"Edm.Int64","BadInt":"12x","BadFraction@odata.type":"Edm.Int64","BadFraction":"1.5",
		"BadTime@odata.type":"Edm.DateTime","BadTime":"yesterday","Binary@odata.type":"Edm.Binary","Binary":"AQID",
		"Null":null,"List":[1],"Object":{"a":1},"OddType@odata.type":5,"OddType":"kept"}`
	e, err := decodeEntity([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := store.Columns{
		"Int32": int64(5), "Int64": int64(9007199254740993), "Int64Number": int64(7),
		"Double": 5.0, "Exponent": 1000.0, "Typed": 5.0, "TypedText": 2.5, "TooBig": 123456789012345678901234567890.0,
		"Bool": false, "String": "s", "Guid": "c9da6455", "OddType": "kept",
		"Time": time.Date(2026, 8, 1, 12, 0, 0, 123456700, time.UTC),
		"Zone": time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC),
	}
	if e.partition != "p" || e.row != "r" || e.etag != `W/"1"` || !maps.Equal(e.columns, want) {
		t.Errorf("got %+v", e)
	}
	for _, body := range []string{"", "null", "[]", `"x"`, "{", "<html>"} {
		if _, err := decodeEntity([]byte(body)); err == nil {
			t.Errorf("decodeEntity(%q): no error", body)
		}
	}
}

func TestDecodePageSkipsForeignKeys(t *testing.T) {
	rows, err := decodePage([]byte(`{"value":[{"PartitionKey":"p","RowKey":"a.2Fb"},{"PartitionKey":"p","RowKey":"a/b"},
		{"PartitionKey":"p","RowKey":""},{"PartitionKey":"p"},{"PartitionKey":1,"RowKey":"c"}]}`))
	if err != nil || len(rows) != 1 || rows[0].Row != "a/b" {
		t.Errorf("got %+v, %v", rows, err)
	}
	for _, body := range []string{"", "[]", "{", `{"value":5}`, `{"value":[5]}`, `{"value":[null]}`} {
		if _, err := decodePage([]byte(body)); err == nil {
			t.Errorf("decodePage(%q): no error", body)
		}
	}
}

// FuzzDecodeEntity feeds any bytes, and demands that what comes out can be
// written and read again, as far as the names are ours.
func FuzzDecodeEntity(f *testing.F) {
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","A":1,"B@odata.type":"Edm.Int64","B":"2"}`))
	f.Add([]byte(`{"T@odata.type":"Edm.DateTime","T":"0001-01-01T00:00:00Z","F":-0.0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := decodeEntity(body)
		if err != nil {
			return
		}
		ours := make(store.Columns)
		for name, value := range e.columns {
			if _, err := (store.Columns{name: value}).Copy(); err == nil {
				ours[name] = value
			}
		}
		written, err := encodeEntity("p", "r", ours)
		if errors.Is(err, store.ErrInvalid) && (len(ours) > store.MaxColumns || len(body) > store.MaxRow/16) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeEntity(throughSDK(t, written))
		if err != nil || !maps.Equal(again.columns, ours) {
			t.Fatalf("%v became %v, error %v", ours, again.columns, err)
		}
	})
}

// throughSDK decodes and encodes a body as the SDK does before it sends it.
func throughSDK(t *testing.T, body []byte) []byte {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestCleanCode(t *testing.T) {
	for code, want := range map[string]string{
		"UpdateConditionNotSatisfied": "UpdateConditionNotSatisfied",
		"":                            "",
		"sig=secret":                  "",
		"two words":                   "",
		strings.Repeat("a", 100):      "",
	} {
		if got := cleanCode(code); got != want {
			t.Errorf("cleanCode(%q) = %q, want %q", code, got, want)
		}
	}
}
