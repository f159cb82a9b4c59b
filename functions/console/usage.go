package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/shared/openai"
	"spillway/shared/usage"
)

// usageRetry is when to ask again for usage that cannot be read.
const usageRetry = 5 * time.Second

// usageFormat is a form in which usage is shown.
type usageFormat struct {
	name  string
	mime  string
	write func(usage.Report, io.Writer) error
}

// usageFormats are the forms; the first is the default.
var usageFormats = []usageFormat{
	{"json", "application/json", usage.Report.WriteJSON},
	{"csv", "text/csv; charset=utf-8; header=present", usage.Report.WriteCSV},
	{"table", "text/plain; charset=utf-8", usage.Report.WriteTable},
}

// usage answers GET /spillway/usage?from=&to=&by=&consumer=&tag=&format=: what all
// consumers used to an admin, and to a consumer what it used itself.
func (c *Console) usage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	only, refused := c.mayRead(r)
	if refused != nil {
		refused.Write(w)
		return
	}
	query, format, refused := parseUsage(r.URL.RawQuery, time.Now(), only)
	if refused != nil {
		refused.Write(w)
		return
	}
	report, err := c.Usage(r.Context(), query)
	if err != nil {
		usageError(err).Write(w)
		return
	}
	var body bytes.Buffer // A report that is cut short must not look complete.
	if err := format.write(report, &body); err != nil {
		openai.Internal().Write(w)
		return
	}
	header := w.Header()
	header.Set("Content-Type", format.mime)
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("X-Content-Type-Options", "nosniff")
	if format.name == "csv" {
		header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName(report)))
	}
	_, _ = body.WriteTo(w) // A client that has left needs no answer.
}

// mayRead returns the only consumer that the caller may read the usage of; empty: of
// all.
func (c *Console) mayRead(r *http.Request) (only string, refused *openai.Error) {
	if _, ok := c.Admin(r); ok {
		return "", nil
	}
	return c.Consumer(r.Context(), r)
}

// parseUsage reads the parameters of a request. Only is the one consumer that the
// caller may read, if it is not empty.
func parseUsage(raw string, now time.Time, only string) (usage.Query, usageFormat, *openai.Error) {
	var none usageFormat
	values, err := url.ParseQuery(raw)
	if err != nil {
		return usage.Query{}, none, openai.InvalidRequest("", "The query of the URL cannot be read. Encode its values as in a URL.")
	}
	known := append(usage.Params(), "format")
	for name := range values {
		if !slices.Contains(known, name) {
			return usage.Query{}, none, openai.InvalidRequest(openai.Printable(name), fmt.Sprintf("There is no parameter %q. Use %s.", openai.Printable(name), strings.Join(known, ", ")))
		}
	}
	query, err := usage.ParseQuery(values, now)
	if wrong := (*usage.ParamError)(nil); errors.As(err, &wrong) {
		return query, none, openai.InvalidRequest(wrong.Param, wrong.Error())
	}
	if only != "" {
		if query.Consumer != "" && query.Consumer != only {
			return query, none, openai.Forbidden("This key shows the usage of its own consumer only. Leave consumer out, or use an admin key.")
		}
		query.Consumer = only
	}
	wanted := values.Get("format")
	for i, format := range usageFormats {
		if wanted == format.name || wanted == "" && i == 0 {
			return query, format, nil
		}
	}
	return query, none, openai.InvalidRequest("format", fmt.Sprintf("There is no format %q. Use json, csv or table.", openai.Printable(wanted)))
}

// usageError is the answer when usage cannot be read.
func usageError(err error) *openai.Error {
	if errors.Is(err, usage.ErrTooManyRows) {
		return openai.InvalidRequest("by", "The report would have more than 200,000 rows. Tell fewer things apart in by, or ask for a shorter time.")
	}
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: "server_error", Code: "usage_unavailable", RetryAfter: usageRetry,
		Message: "The usage cannot be read at the moment. Please try again later.",
	}
}

// fileName is the name of a file for a report.
func fileName(r usage.Report) string {
	return fmt.Sprintf("usage-%s-%s.csv", r.From.Format("20060102T15"), r.To.Format("20060102T15"))
}
