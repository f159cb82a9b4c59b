package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
)

// cosmos is a table service in memory that is as Azure Cosmos DB for Table is
// where that differs from Table Storage, and refuses loudly what it lacks. It is
// a fake: of the real service it has what its documentation says, no more.
type cosmos struct {
	t testing.TB

	mu       sync.Mutex
	tables   map[string]map[cosmosKey]*cosmosRow // Guarded by mu.
	writes   int                                 // Guarded by mu.
	throttle int                                 // Requests left to refuse. Guarded by mu.
	asked    []string                            // Guarded by mu.
}

type cosmosKey struct{ partition, row string }

type cosmosRow struct {
	etag   string
	fields map[string]any
}

// cosmosAnswer is a status with a body; an error has its code in the body alone.
type cosmosAnswer struct {
	status int
	header http.Header
	body   any
}

func cosmosError(status int, code string) cosmosAnswer {
	message := map[string]string{"lang": "en-us", "value": code + "\nRequestID:0\n"}
	return cosmosAnswer{status: status, body: map[string]any{"odata.error": map[string]any{"code": code, "message": message}}}
}

// cosmosPage is the size of a page. It is small, and every other page is empty.
const cosmosPage = 100

var (
	cosmosEntity  = regexp.MustCompile(`^/(\w+)\(PartitionKey='(.*)',RowKey='(.*)'\)$`)
	cosmosCompare = regexp.MustCompile(`^(PartitionKey|RowKey) (eq|ge|lt) '([^']*)'$`)
)

// RoundTrip implements http.RoundTripper.
func (c *cosmos) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	a := c.answer(r, body)
	c.asked = append(c.asked, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, a.status))
	c.mu.Unlock()
	content, err := json.Marshal(a.body)
	if err != nil || a.body == nil {
		content = nil
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Content-Type", "application/json;odata=minimalmetadata")
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(content)), Request: r}, err
}

func (c *cosmos) answer(r *http.Request, body []byte) cosmosAnswer {
	if c.throttle > 0 {
		c.throttle--
		return cosmosError(http.StatusTooManyRequests, "TooManyRequests")
	}
	entity := cosmosEntity.FindStringSubmatch(r.URL.Path)
	table := strings.Trim(strings.TrimSuffix(r.URL.Path, "()"), "/")
	rows, exists := c.tables[table]
	if entity != nil {
		rows, exists = c.tables[entity[1]]
	}
	switch {
	case r.Method == http.MethodPost && table == "Tables":
		return c.create(body)
	case entity == nil && strings.ContainsAny(table, "/($"):
	case !exists:
		return cosmosError(http.StatusNotFound, "TableNotFound")
	case entity != nil:
		return c.entity(r, rows, cosmosKey{entity[2], entity[3]}, body)
	case r.Method == http.MethodPost:
		return c.insert(rows, body)
	case r.Method == http.MethodGet:
		return c.query(rows, r.URL.Query())
	}
	c.t.Errorf("asked for what Cosmos DB has not: %s %s", r.Method, r.URL)
	return cosmosError(http.StatusNotImplemented, "NotImplemented")
}

// create makes a table; its name is a matter of case.
func (c *cosmos) create(body []byte) cosmosAnswer {
	var request struct{ TableName string }
	if err := json.Unmarshal(body, &request); err != nil {
		return cosmosError(http.StatusBadRequest, "InvalidInput")
	}
	if _, exists := c.tables[request.TableName]; exists {
		return cosmosError(http.StatusConflict, "TableAlreadyExists")
	}
	c.tables[request.TableName] = make(map[cosmosKey]*cosmosRow)
	return cosmosAnswer{status: http.StatusCreated, body: request}
}

func (c *cosmos) insert(rows map[cosmosKey]*cosmosRow, body []byte) cosmosAnswer {
	key, row, refused := c.read(body)
	if refused != nil {
		return *refused
	}
	if rows[key] != nil {
		return cosmosError(http.StatusConflict, "EntityAlreadyExists")
	}
	return c.put(rows, key, row, http.StatusCreated)
}

func (c *cosmos) entity(r *http.Request, rows map[cosmosKey]*cosmosRow, key cosmosKey, body []byte) cosmosAnswer {
	present := rows[key]
	if present == nil {
		return cosmosError(http.StatusNotFound, "ResourceNotFound")
	}
	if r.Method == http.MethodGet {
		return cosmosAnswer{status: http.StatusOK, header: http.Header{"Etag": {present.etag}}, body: present.shown()}
	}
	match := r.Header.Get("If-Match")
	if match == "" || match == "*" {
		c.t.Errorf("blind write: %s %s", r.Method, r.URL)
	}
	if match != present.etag {
		return cosmosError(http.StatusPreconditionFailed, "UpdateConditionNotSatisfied")
	}
	switch r.Method {
	case http.MethodDelete:
		delete(rows, key)
		return cosmosAnswer{status: http.StatusNoContent}
	case http.MethodPut:
		_, row, refused := c.read(body)
		if refused != nil {
			return *refused
		}
		return c.put(rows, key, row, http.StatusNoContent)
	}
	c.t.Errorf("asked for what Cosmos DB has not: %s %s", r.Method, r.URL)
	return cosmosError(http.StatusMethodNotAllowed, "MethodNotAllowed")
}

func (c *cosmos) put(rows map[cosmosKey]*cosmosRow, key cosmosKey, row *cosmosRow, status int) cosmosAnswer {
	c.writes++
	row.etag = fmt.Sprintf(`W/"datetime'2026-08-01T00%%3A00%%3A00.%07dZ'"`, c.writes)
	rows[key] = row
	a := cosmosAnswer{status: status, header: http.Header{"Etag": {row.etag}}}
	if status == http.StatusCreated {
		a.body = row.shown()
	}
	return a
}

// read takes a row from a body and refuses what Cosmos DB refuses.
func (c *cosmos) read(body []byte) (cosmosKey, *cosmosRow, *cosmosAnswer) {
	refuse := func(code string) (cosmosKey, *cosmosRow, *cosmosAnswer) {
		a := cosmosError(http.StatusBadRequest, code)
		return cosmosKey{}, nil, &a
	}
	row := &cosmosRow{}
	if err := json.Unmarshal(body, &row.fields); err != nil {
		return refuse("InvalidInput")
	}
	partition, _ := row.fields["PartitionKey"].(string)
	name, _ := row.fields["RowKey"].(string)
	if len(name) > 255 || partition == "" || name == "" || strings.ContainsAny(partition+name, `/\#?`) {
		return refuse("InvalidInput")
	}
	for field := range row.fields {
		if slices.Contains([]string{"id", "rid", "etag", "resourceid", "timestamp"}, strings.ToLower(field)) {
			return refuse("PropertyNameInvalid")
		}
	}
	return cosmosKey{partition, name}, row, nil
}

// shown is a row as an answer has it: with the service's own properties, and
// with numbers that declare no type.
func (r *cosmosRow) shown() map[string]any {
	shown := map[string]any{
		"odata.etag": r.etag, "Timestamp": "2026-08-01T00:00:00.0000000Z", "Timestamp@odata.type": "Edm.DateTime",
	}
	for name, value := range r.fields {
		of, annotation := strings.CutSuffix(name, "@odata.type")
		if _, isNumber := r.fields[of].(float64); annotation && isNumber {
			continue
		}
		if number, ok := value.(float64); ok {
			text := strconv.FormatFloat(number, 'g', -1, 64)
			if number == math.Trunc(number) && !strings.ContainsAny(text, ".e") {
				text += ".0"
			}
			value = json.RawMessage(text)
		}
		shown[name] = value
	}
	return shown
}

// query answers with the rows in the order of a map, page by page. A page is
// continued by the keys of all rows that were not shown yet.
func (c *cosmos) query(rows map[cosmosKey]*cosmosRow, parameters url.Values) cosmosAnswer {
	for name := range parameters {
		if !slices.Contains([]string{"$filter", "NextPartitionKey", "NextRowKey"}, name) {
			c.t.Errorf("asked for what Cosmos DB may not have: %s", name)
		}
	}
	matches, ok := cosmosFilter(parameters.Get("$filter"))
	if !ok {
		c.t.Errorf("filter %q", parameters.Get("$filter"))
		return cosmosError(http.StatusBadRequest, "InvalidInput")
	}
	at, _ := strconv.Atoi(parameters.Get("NextRowKey"))
	left := slices.DeleteFunc(strings.Split(parameters.Get("NextPartitionKey"), " "), func(s string) bool { return s == "" })
	if at == 0 {
		for key := range rows {
			if matches(key) {
				left = append(left, url.QueryEscape(key.partition)+"&"+url.QueryEscape(key.row))
			}
		}
	}
	a := cosmosAnswer{status: http.StatusOK, header: http.Header{}}
	shown := []any{}
	if at%2 == 1 || len(left) < cosmosPage { // The others are empty.
		for ; len(left) > 0 && len(shown) < cosmosPage; left = left[1:] {
			partition, row, _ := strings.Cut(left[0], "&")
			p, _ := url.QueryUnescape(partition) // Escaped above.
			n, _ := url.QueryUnescape(row)
			if present := rows[cosmosKey{p, n}]; present != nil {
				shown = append(shown, present.shown())
			}
		}
	}
	if len(left) > 0 {
		a.header.Set("x-ms-continuation-NextPartitionKey", strings.Join(left, " "))
		a.header.Set("x-ms-continuation-NextRowKey", strconv.Itoa(at+1))
	}
	a.body = map[string]any{"value": shown}
	return a
}

// cosmosFilter understands comparisons of keys, joined by "and".
func cosmosFilter(text string) (func(cosmosKey) bool, bool) {
	type comparison struct{ property, operator, value string }
	var all []comparison
	for term := range strings.SplitSeq(text, " and ") {
		m := cosmosCompare.FindStringSubmatch(term)
		if m == nil {
			return nil, false
		}
		all = append(all, comparison{m[1], m[2], m[3]})
	}
	return func(k cosmosKey) bool {
		for _, c := range all {
			value := k.partition
			if c.property == "RowKey" {
				value = k.row
			}
			order := strings.Compare(value, c.value)
			if c.operator == "eq" && order != 0 || c.operator == "ge" && order < 0 || c.operator == "lt" && order >= 0 {
				return false
			}
		}
		return true
	}, true
}

func onCosmos(t testing.TB, service *cosmos, table string) store.Store {
	t.Helper()
	s, err := aztable.Open(context.Background(), aztable.Options{
		Connection: "AccountName=contoso;AccountKey=a2V5;TableEndpoint=https://contoso.table.cosmos.azure.com:443/",
		Table:      table,
		Transport:  service,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCosmosRules(t *testing.T) {
	service := &cosmos{t: t, tables: make(map[string]map[cosmosKey]*cosmosRow)}
	var tables atomic.Int64
	Run(t, func(t testing.TB) store.Store { return onCosmos(t, service, fmt.Sprintf("contract%d", tables.Add(1))) })
}

// Request units that are used up refuse a request before anything is written,
// so nothing is unknown afterwards.
func TestCosmosThrottle(t *testing.T) {
	ctx := context.Background()
	service := &cosmos{t: t, tables: make(map[string]map[cosmosKey]*cosmosRow)}
	s := onCosmos(t, service, "spillway")
	etag := insert(t, s, key("p", "r"), store.Columns{"A": int64(1)})
	throttled := func() {
		service.mu.Lock()
		defer service.mu.Unlock()
		service.throttle, service.asked = 1, nil
	}
	attempts := map[string]func() error{
		"get":     func() error { _, err := s.Get(ctx, key("p", "r")); return err },
		"insert":  func() error { _, err := s.Insert(ctx, key("p", "r2"), nil); return err },
		"replace": func() error { _, err := s.Replace(ctx, key("p", "r"), nil, etag); return err },
		"delete":  func() error { return s.Delete(ctx, key("p", "r"), etag) },
		"query": func() error {
			for _, err := range s.Query(ctx, store.Filter{Prefix: "p"}) {
				return err
			}
			return errors.New("no rows")
		},
	}
	for name, attempt := range attempts {
		throttled()
		wantError(t, name, attempt(), store.ErrUnavailable)
		if len(service.asked) != 1 {
			t.Errorf("%s: asked %v, want one request: only the caller may try again", name, service.asked)
		}
	}
	wantRow(t, s, key("p", "r"), store.Columns{"A": int64(1)}, etag)
	wantNoRow(t, s, key("p", "r2"))
}

// Two spellings of a table's name are two tables.
func TestCosmosTableNamesHaveCase(t *testing.T) {
	service := &cosmos{t: t, tables: make(map[string]map[cosmosKey]*cosmosRow)}
	lower, upper := onCosmos(t, service, "spillway"), onCosmos(t, service, "Spillway")
	insert(t, lower, key("p", "r"), nil)
	wantNoRow(t, upper, key("p", "r"))
	insert(t, upper, key("p", "r"), nil)
}
