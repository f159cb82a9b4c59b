package aztable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"spillway/shared/store"
)

// The names of types, see "Payload format for Table service operations" in the
// REST documentation of Table Storage.
const (
	typeSuffix  = "@odata.type"
	edmInt64    = "Edm.Int64"
	edmDouble   = "Edm.Double"
	edmDateTime = "Edm.DateTime"
)

// timeLayout has the seven digits of an Edm.DateTime.
const timeLayout = "2006-01-02T15:04:05.0000000Z"

// entity is one row as the service sent it.
type entity struct {
	partition string // Still encoded.
	row       string // Still encoded.
	etag      string
	columns   store.Columns
}

// encodeEntity writes the body of an insert or a replace. The SDK decodes it
// into a map and encodes it again, which makes every number a float64: so an
// int64 is text of a declared type, and a float64 declares its type because a
// whole one loses its decimal point on the way.
func encodeEntity(partition, row string, columns store.Columns) ([]byte, error) {
	kept, err := columns.Copy()
	if err != nil {
		return nil, fmt.Errorf("aztable: %w", err)
	}
	fields := make(map[string]any, 2*len(kept)+2)
	fields["PartitionKey"], fields["RowKey"] = partition, row
	for name, value := range kept {
		switch v := value.(type) {
		case int64:
			fields[name], fields[name+typeSuffix] = strconv.FormatInt(v, 10), edmInt64
		case float64:
			fields[name], fields[name+typeSuffix] = v, edmDouble
		case time.Time:
			fields[name], fields[name+typeSuffix] = v.Format(timeLayout), edmDateTime
		default: // A string or a bool: the types of JSON.
			fields[name] = v
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("aztable: %w: columns cannot be encoded", store.ErrInvalid)
	}
	return body, nil
}

// decodeEntity reads one row. The body is foreign: a column it cannot read, or
// of a type that is none of store.Columns, is left out; a Guid is a string and
// an Int32 an int64. Only a body that is no JSON object is an error.
func decodeEntity(body []byte) (entity, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil || fields == nil {
		return entity{}, errMalformed
	}
	var e entity
	e.partition, _ = fields["PartitionKey"].(string)
	e.row, _ = fields["RowKey"].(string)
	e.etag, _ = fields["odata.etag"].(string)
	e.columns = make(store.Columns, len(fields))
	for name, field := range fields {
		switch {
		case name == "PartitionKey", name == "RowKey", name == "Timestamp",
			strings.HasPrefix(name, "odata."), strings.Contains(name, "@"):
			continue
		}
		declared, _ := fields[name+typeSuffix].(string)
		if value, ok := decodeValue(field, declared); ok {
			e.columns[name] = value
		}
	}
	return e, nil
}

// decodePage reads one answer to a query.
func decodePage(body []byte) ([]store.Row, error) {
	var page struct {
		Value []json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, errMalformed
	}
	rows := make([]store.Row, 0, len(page.Value))
	for _, value := range page.Value {
		e, err := decodeEntity(value)
		if err != nil {
			return nil, err
		}
		partition, ok1 := decodeKey(e.partition)
		row, ok2 := decodeKey(e.row)
		if ok1 && ok2 {
			key := store.Key{Partition: partition, Row: row}
			rows = append(rows, store.Row{Key: key, ETag: e.etag, Columns: e.columns})
		}
	}
	return rows, nil
}

func decodeValue(field any, declared string) (any, bool) {
	switch v := field.(type) {
	case bool:
		return v, true
	case json.Number:
		return decodeNumber(v.String(), declared)
	case string:
		switch declared {
		case "", "Edm.String", "Edm.Guid":
			return v, true
		case edmInt64, edmDouble, "Edm.Int32":
			return decodeNumber(v, declared)
		case edmDateTime:
			t, err := time.Parse(time.RFC3339Nano, v)
			return t.UTC().Truncate(store.TimeResolution), err == nil
		}
	}
	return nil, false
}

// decodeNumber reads a number. Without a declared type, only the decimal point
// tells a Double from an Int32.
func decodeNumber(text, declared string) (any, bool) {
	if declared != edmDouble && (declared != "" || !strings.ContainsAny(text, ".eE")) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, true
		}
		if declared != "" {
			return nil, false
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, false
	}
	return f, true
}
