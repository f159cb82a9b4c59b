package usage_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/shared/usage"
)

var noon = time.Date(2026, 8, 1, 12, 20, 30, 0, time.UTC)

func hour(text string) time.Time {
	t, err := time.Parse("2006-01-02T15", text)
	if err != nil {
		panic(err)
	}
	return t
}

// Times are in UTC and widened to whole hours; the end is never later than now.
func TestParseQueryTimes(t *testing.T) {
	tests := []struct{ from, to, wantFrom, wantTo string }{
		{"", "", "2026-07-31T12", "2026-08-01T13"},
		{"2026-07-01", "", "2026-07-01T00", "2026-08-01T13"},
		{"2026-07-01", "2026-07-02", "2026-07-01T00", "2026-07-02T00"},
		{"2026-07-01T10:20:00Z", "2026-07-01T10:30:00Z", "2026-07-01T10", "2026-07-01T11"},
		{"2026-07-01T10:20:00+02:00", "2026-07-01T23:00:00-01:00", "2026-07-01T08", "2026-07-02T00"},
		{"7d", "1d", "2026-07-25T12", "2026-07-31T13"},
		{"90m", "0m", "2026-08-01T10", "2026-08-01T13"},
		{"2w", "2030-01-01", "2026-07-18T12", "2026-08-01T13"},
		{" 24h ", " ", "2026-07-31T12", "2026-08-01T13"},
	}
	for _, test := range tests {
		q, err := usage.ParseQuery(url.Values{"from": {test.from}, "to": {test.to}}, noon)
		if err != nil || !q.From.Equal(hour(test.wantFrom)) || !q.To.Equal(hour(test.wantTo)) {
			t.Errorf("from %q to %q is %v to %v, %v; want %s to %s", test.from, test.to, q.From, q.To, err, test.wantFrom, test.wantTo)
		}
	}
}

// What rows are told apart by.
func TestParseQueryBy(t *testing.T) {
	for by, want := range map[string][]string{
		"": {"consumer", "model"}, "day": {"day"}, "Status, Region ,": {"status", "region"}, ",": nil,
		"consumer,model,deployment,backend,region,spilled,status,tags,hour,day,month": usage.Columns(),
	} {
		q, err := usage.ParseQuery(url.Values{"by": {by}, "consumer": {"a"}}, noon)
		if err != nil || !slices.Equal(q.By, want) || q.Consumer != "a" {
			t.Errorf("by %q is %+v, %v; want %v", by, q, err, want)
		}
	}
}

// One tag may be asked for, in any way it may be written on a request.
func TestParseQueryTag(t *testing.T) {
	for text, want := range map[string]string{"": "", " ": "", "project=web": "project=web", " project = web shop ": "project=web shop"} {
		q, err := usage.ParseQuery(url.Values{"tag": {text}}, noon)
		if err != nil || q.Tag != want {
			t.Errorf("the tag %q is read as %q, %v; want %q", text, q.Tag, err, want)
		}
	}
}

// An error names the parameter and the mend.
func TestParseQueryErrors(t *testing.T) {
	tests := []struct {
		values url.Values
		param  string
		says   string
	}{
		{url.Values{"from": {"yesterday"}}, "from", "write a date (2026-08-01)"},
		{url.Values{"to": {"7"}}, "to", "how long ago"},
		{url.Values{"from": {"-7d"}}, "from", "how long ago"},
		{url.Values{"from": {"99999999999w"}}, "from", "how long ago"},
		{url.Values{"from": {"1d"}, "to": {"2d"}}, "from", "give an earlier from"},
		{url.Values{"from": {"2020-01-01"}}, "from", "400 days"},
		{url.Values{"from": {"2030-01-01"}}, "from", "give an earlier from"},
		{url.Values{"by": {"consumer,team"}}, "by", `there is no "team"; take some of consumer, model,`},
		{url.Values{"by": {"day,day"}}, "by", "day is listed twice"},
		{url.Values{"tag": {"web"}}, "tag", `"web" is no tag; write it as name=value`},
		{url.Values{"tag": {"project=a,team=b"}}, "tag", `"a,team=b" is not a value of the tag project`},
		{url.Values{"tag": {"a=b", "c=d"}}, "tag", "give it once"},
		{url.Values{"from": {"1d", "2d"}}, "from", "give it once"},
	}
	for _, test := range tests {
		_, err := usage.ParseQuery(test.values, noon)
		wrong := (*usage.ParamError)(nil)
		if !errors.As(err, &wrong) || wrong.Param != test.param || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v: %v; want one about %s that says %q", test.values, err, test.param, test.says)
		}
	}
}

// Whatever is asked for, what is understood is bounded and makes sense.
func FuzzParseQuery(f *testing.F) {
	f.Add("from=7d&to=1h&by=day,consumer&consumer=a")
	f.Add("from=2026-07-01T10:20:00%2B02:00&to=2026-07-02")
	f.Add("from=0001-01-01&to=9999-12-31")
	f.Add("from=9223372036854775807w&by=,")
	f.Add("tag=project%3D%20web&by=tags")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := usage.ParseQuery(values, noon)
		if err != nil {
			if wrong := (*usage.ParamError)(nil); !errors.As(err, &wrong) || wrong.Param == "" {
				t.Errorf("%q: the error %v names no parameter", raw, err)
			}
			return
		}
		span := q.To.Sub(q.From)
		if span <= 0 || span > 400*24*time.Hour || q.To.After(noon.Add(time.Hour)) || !q.From.Equal(q.From.Truncate(time.Hour)) || !q.To.Equal(q.To.Truncate(time.Hour)) {
			t.Errorf("%q is from %v to %v", raw, q.From, q.To)
		}
		if canonical, err := usage.ParseTags(q.Tag, []string{strings.Split(q.Tag, "=")[0]}); err != nil || canonical != q.Tag {
			t.Errorf("%q asks for the tag %q, which is written %q: %v", raw, q.Tag, canonical, err)
		}
		for i, name := range q.By {
			if !slices.Contains(usage.Columns(), name) || slices.Index(q.By, name) != i {
				t.Errorf("%q is by %q", raw, q.By)
			}
		}
	})
}
