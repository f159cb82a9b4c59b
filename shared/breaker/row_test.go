package breaker

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/shared/store"
)

func TestRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFacts().Draw(t, "facts")
		f.throttledUntil = sooner(f.throttledUntil, after(60))
		if f.state == Open {
			f.until = sooner(f.until, after(300))
		}
		if f.state == HalfOpen {
			f.until = sooner(f.until, after(31))
		}
		columns, err := f.encode().Copy()
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(columns, epoch0, &testRules); got != f {
			t.Fatalf("read %+v, wrote %+v", got, f)
		}
	})
}

func TestDecodeHostileRows(t *testing.T) {
	far := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		row  store.Columns
		want facts
	}{
		{"nothing", nil, facts{}},
		{"unknown state", store.Columns{"State": "ajar", "Until": after(5), "Opens": int64(3)}, facts{}},
		{"state of another type", store.Columns{"State": int64(1), "Until": after(5)}, facts{}},
		{"open for ever", store.Columns{"State": "open", "Until": far}, facts{state: Open, until: after(300)}},
		{"a trial for ever", store.Columns{"State": "half-open", "Until": far}, facts{state: HalfOpen, until: after(31)}},
		{"throttled for ever", store.Columns{"ThrottledUntil": far}, facts{throttledUntil: after(60)}},
		{"open without a time is due", store.Columns{"State": "open"}, facts{state: Open}},
		{"a time as a text is none", store.Columns{"State": "open", "Until": "2999-01-01T00:00:00Z"}, facts{state: Open}},
		{"negative openings", store.Columns{"State": "open", "Opens": int64(math.MinInt64)}, facts{state: Open}},
		{"too many openings", store.Columns{"State": "open", "Opens": int64(math.MaxInt64)}, facts{state: Open, opens: maxOpens}},
		{"closed with openings", store.Columns{"State": "closed", "Opens": int64(3), "Until": far}, facts{}},
		{"negative trial", store.Columns{"State": "open", "Until": after(5), "Trial": int64(-1)}, facts{}},
		{"last trial", store.Columns{"State": "open", "Until": after(5), "Trial": int64(math.MaxInt64)}, facts{}},
		{"long nonce", store.Columns{"State": "open", "Nonce": strings.Repeat("n", maxText+1)}, facts{}},
		{"impossible status", store.Columns{"LastStatus": int64(1e9)}, facts{lastStatus: maxStatus}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := decode(test.row, epoch0, &testRules); got != test.want {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
		})
	}
}

// FuzzDecodeRow reads rows of any content and, by shapes, with columns of any
// type: two bits of shapes choose the type of each column.
func FuzzDecodeRow(f *testing.F) {
	f.Add("open", int64(10), int64(1), int64(7), "a", "a-1", int64(-1), int64(503), uint16(0))
	f.Add("half-open", int64(math.MaxInt64), int64(-1), int64(math.MaxInt64), "", "", int64(math.MinInt64), int64(1e9), uint16(0xffff))
	f.Fuzz(func(t *testing.T, state string, until, opens, trial int64, owner, nonce string, throttled, status int64, shapes uint16) {
		columns := store.Columns{}
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
			{columnLastStatus, status, state, 1},
		} {
			switch (c.usual + int(shapes>>(2*i)&3)) % 4 {
			case 0:
				columns[c.name] = c.text
			case 1:
				columns[c.name] = c.number
			case 2:
				columns[c.name] = time.Unix(c.number, 0)
			}
		}
		got := decode(columns, epoch0, &testRules)
		switch {
		case got.state > HalfOpen:
			t.Errorf("state %d", got.state)
		case got.state == Open && got.until.After(after(300)), got.state == HalfOpen && got.until.After(after(31)):
			t.Errorf("%v until %v", got.state, got.until)
		case got.state == Closed && (!got.until.IsZero() || got.opens != 0):
			t.Errorf("closed as %+v", got)
		case got.throttledUntil.After(after(60)):
			t.Errorf("throttled until %v", got.throttledUntil)
		case got.opens < 0 || got.opens > maxOpens:
			t.Errorf("%d openings", got.opens)
		case got.claim(epoch0, "a", "n").trial <= got.trial:
			t.Errorf("no trial can follow %d", got.trial)
		}
		if again := decode(got.encode(), epoch0, &testRules); again != got {
			t.Errorf("read %+v after writing %+v", again, got)
		}
	})
}
