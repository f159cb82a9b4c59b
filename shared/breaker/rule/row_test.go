package rule

import (
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFacts().Draw(t, "facts")
		if f.State == Open {
			f.Until = Sooner(f.Until, after(302))
		}
		if f.State == HalfOpen {
			f.Until = Sooner(f.Until, after(32))
		}
		if got, reading := Decode(f.Encode(), epoch0, &settings); got != f || reading != Sound {
			t.Fatalf("read %+v (%v), wrote %+v", got, reading, f)
		}
	})
}

type columns = map[string]any

// row is a closed breaker's row with other columns; nil removes a column.
func row(changes columns) columns {
	all := Facts{}.Encode()
	for name, value := range changes {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	return all
}

func TestDecodeHostileRows(t *testing.T) {
	far := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		row     columns
		want    Facts
		reading Reading
	}{
		{"nothing", nil, Facts{}, Broken},
		{"no format", row(columns{"Format": nil, "State": "open", "Until": after(5)}), Facts{}, Broken},
		{"a newer version's", row(columns{"Format": int64(2), "State": "open", "Until": after(5)}), Facts{}, Foreign},
		{"a format before the first", row(columns{"Format": int64(0)}), Facts{}, Foreign},
		{"a format as a text", row(columns{"Format": "1"}), Facts{}, Foreign},
		{"a newer version's with a throttle", row(columns{"Format": int64(2), "ThrottledUntil": after(5)}), Facts{}, Foreign},
		{"unknown state", row(columns{"State": "ajar", "Until": after(5), "Opens": int64(3)}), Facts{}, Broken},
		{"state of another type", row(columns{"State": int64(1), "Until": after(5)}), Facts{}, Broken},
		{"no state", row(columns{"State": nil}), Facts{}, Broken},
		{"open for ever", row(columns{"State": "open", "Until": far}), Facts{State: Open, Until: after(302)}, Sound},
		{"a trial for ever", row(columns{"State": "half-open", "Until": far}), Facts{State: HalfOpen, Until: after(32)}, Sound},
		{"throttled for ever", row(columns{"ThrottledUntil": far}), Facts{Throttle: Throttle{Until: after(62)}}, Sound},
		{"throttled in the future", row(columns{"ThrottledAt": far, "ThrottledUntil": far}), Facts{Throttle: Throttle{At: after(2), Until: after(62)}}, Sound},
		{"lifted for ever", row(columns{"LiftedAt": far, "ThrottledUntil": after(9)}), Facts{Throttle: Throttle{Until: after(9)}}, Sound},
		{"probed for ever", row(columns{"ProbedAt": far}), Facts{}, Sound},
		{"a broken row keeps the throttle", row(columns{"State": "ajar", "ThrottledUntil": after(5)}), Facts{Throttle: Throttle{Until: after(5)}}, Broken},
		{"open without a time is due", row(columns{"State": "open"}), Facts{State: Open}, Sound},
		{"a time as a text is none", row(columns{"State": "open", "Until": "2999-01-01T00:00:00Z"}), Facts{State: Open}, Sound},
		{"negative openings", row(columns{"State": "open", "Opens": int64(math.MinInt64)}), Facts{State: Open}, Sound},
		{"too many openings", row(columns{"State": "open", "Opens": int64(math.MaxInt64)}), Facts{State: Open, Opens: maxOpens}, Sound},
		{"closed with openings", row(columns{"Opens": int64(3), "Until": far}), Facts{}, Sound},
		{"negative trial", row(columns{"State": "open", "Until": after(5), "Trial": int64(-1)}), Facts{}, Broken},
		{"last trial", row(columns{"State": "open", "Until": after(5), "Trial": int64(math.MaxInt64)}), Facts{}, Broken},
		{"no trial", row(columns{"State": "open", "Trial": nil}), Facts{}, Broken},
		{"nonce as a number", row(columns{"State": "half-open", "Nonce": int64(1)}), Facts{}, Broken},
		{"no owner", row(columns{"State": "half-open", "Owner": nil}), Facts{}, Broken},
		{"long nonce", row(columns{"State": "open", "Nonce": strings.Repeat("n", maxText+1)}), Facts{}, Broken},
		{"impossible status", row(columns{"LastStatus": int64(1e9)}), Facts{LastStatus: maxStatus}, Sound},
		{"another tool's column", row(columns{"Extra": true}), Facts{}, Sound},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reading := Decode(test.row, epoch0, &settings)
			if got != test.want || reading != test.reading {
				t.Errorf("read %+v (%v), want %+v (%v)", got, reading, test.want, test.reading)
			}
		})
	}
}

// FuzzDecodeRow reads rows of any content and, by shapes, with columns of any
// type: three bits of shapes choose the type of each column, or that there is
// none. Whatever is read, no row of another format is believed, and none takes a
// deployment out for longer than the settings allow.
func FuzzDecodeRow(f *testing.F) {
	f.Add("open", int64(10), int64(1), int64(7), "a", "a-1", int64(-1), int64(503), int64(1), int64(5), uint64(0))
	f.Add("half-open", int64(math.MaxInt64), int64(-1), int64(math.MaxInt64), "", "", int64(math.MinInt64), int64(1e9), int64(2), int64(math.MaxInt64), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, state string, until, opens, trial int64, owner, nonce string, throttled, status, format, lifted int64, shapes uint64) {
		all := columns{}
		for i, c := range []struct {
			name   string
			number int64
			text   string
			usual  int
		}{
			{columnState, opens, state, 0},
			{columnUntil, until, state, 2},
			{columnOpens, opens, nonce, 1},
			{columnTrial, trial, owner, 1},
			{columnOwner, trial, owner, 0},
			{columnNonce, status, nonce, 0},
			{columnThrottledUntil, throttled, nonce, 2},
			{columnThrottledAt, until, nonce, 2},
			{columnLiftedAt, lifted, nonce, 2},
			{columnProbedAt, lifted, nonce, 2},
			{columnLastStatus, status, state, 1},
			{columnFormat, format, state, 1},
		} {
			switch (c.usual + int(shapes>>(3*i)&7)) % 8 {
			case 0:
				all[c.name] = c.text
			case 1:
				all[c.name] = c.number
			case 2:
				all[c.name] = time.Unix(c.number, 0)
			case 3:
				all[c.name] = float64(c.number)
			case 4:
				all[c.name] = c.number%2 == 0
			case 5:
				all[c.name] = nil
			}
		}
		before := maps.Clone(all)
		got, reading := Decode(all, epoch0, &settings)
		mustBeBounded(t, got)
		if !maps.Equal(all, before) {
			t.Error("the columns were changed")
		}
		if reading == Foreign && got != (Facts{}) {
			t.Errorf("believed a row of another format: %+v", got)
		}
		if value, written := all[columnFormat]; written && value != int64(Format) && reading != Foreign {
			t.Errorf("read as %v: %v", reading, value)
		}
		if again, reading := Decode(got.Encode(), epoch0, &settings); again != got || reading != Sound {
			t.Errorf("read %+v (%v) after writing %+v", again, reading, got)
		}
	})
}

func mustBeBounded(t *testing.T, f Facts) {
	t.Helper()
	switch {
	case f.State > HalfOpen:
		t.Errorf("state %d", f.State)
	case f.State == Open && f.Until.After(after(302)), f.State == HalfOpen && f.Until.After(after(32)):
		t.Errorf("%v until %v", f.State, f.Until)
	case f.State == Closed && (!f.Until.IsZero() || f.Opens != 0):
		t.Errorf("closed as %+v", f)
	case f.Throttle.Until.After(after(62)):
		t.Errorf("throttled until %v", f.Throttle.Until)
	case f.Throttle.At.After(after(2)), f.Throttle.Lifted.After(after(2)), f.Throttle.Probed.After(after(2)):
		t.Errorf("of the future: %+v", f.Throttle)
	case f.Opens < 0 || f.Opens > maxOpens:
		t.Errorf("%d openings", f.Opens)
	case f.Claim(epoch0, "a", "n", &settings).Trial <= f.Trial:
		t.Errorf("no trial can follow %d", f.Trial)
	}
}
