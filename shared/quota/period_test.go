package quota

import (
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		period          Period
		now, start, end string
	}{
		{Minute, "2026-03-31T23:59:59.999999999Z", "2026-03-31T23:59:00Z", "2026-04-01T00:00:00Z"},
		{Minute, "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-01T00:01:00Z"},
		{TenSeconds, "2026-04-01T10:00:09.9Z", "2026-04-01T10:00:00Z", "2026-04-01T10:00:10Z"},
		{TenSeconds, "2026-04-01T10:00:50Z", "2026-04-01T10:00:50Z", "2026-04-01T10:01:00Z"},
		{Hour, "2026-04-01T10:59:59Z", "2026-04-01T10:00:00Z", "2026-04-01T11:00:00Z"},
		{Hour, "2026-04-01T10:45:00+05:30", "2026-04-01T05:00:00Z", "2026-04-01T06:00:00Z"},
		{Day, "2026-04-01T01:00:00+02:00", "2026-03-31T00:00:00Z", "2026-04-01T00:00:00Z"},
		{Week, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"}, // A Sunday.
		{Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"}, // A Monday.
		{Week, "1970-01-01T00:00:00Z", "1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"},
		{Month, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{Minute, "1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"},
	} {
		now := at(t, c.now)
		w := c.period.Window(now)
		if got := w.Start(); !got.Equal(at(t, c.start)) {
			t.Errorf("%s of %s starts at %v, want %s", c.period, c.now, got, c.start)
		}
		if got := c.period.End(w); !got.Equal(at(t, c.end)) {
			t.Errorf("%s of %s ends at %v, want %s", c.period, c.now, got, c.end)
		}
	}
}

// TestWindowsTile: windows follow one another without gap or overlap, over leap years
// and turns of the year.
func TestWindowsTile(t *testing.T) {
	for _, p := range []Period{Minute, TenSeconds, Hour, Day, Week, Month} {
		w := p.Window(at(t, "2023-12-20T11:22:33Z"))
		for range 1000 {
			if !p.Valid(w) || p.Valid(w+1) {
				t.Fatalf("%s: Valid(%v) is wrong", p, w.Start())
			}
			end := p.End(w)
			if last := p.Window(end.Add(-1)); last != w {
				t.Fatalf("%s: the last moment of %v is in %v", p, w.Start(), last.Start())
			}
			next := p.Next(w)
			if next <= w || !next.Start().Equal(end) || p.Window(end) != next {
				t.Fatalf("%s: after %v comes %v, want %v", p, w.Start(), next.Start(), end)
			}
			w = next
		}
	}
}

func TestPeriodNames(t *testing.T) {
	for _, p := range []Period{Minute, TenSeconds, Hour, Day, Week, Month} {
		if got, ok := ParsePeriod(p.String()); !ok || got != p {
			t.Errorf("ParsePeriod(%q) is %v, %v", p, got, ok)
		}
	}
	if _, ok := ParsePeriod("fortnight"); ok || Period(99).String() != "unknown" {
		t.Error("an unknown period has a name")
	}
}
