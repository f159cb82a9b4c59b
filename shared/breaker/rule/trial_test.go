package rule

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var settings = Settings{
	OpenFor:       10 * time.Second,
	MaxOpenFor:    300 * time.Second,
	MaxRetryAfter: 60 * time.Second,
	TrialFor:      30 * time.Second,
	Skew:          time.Second,
	ProbeEvery:    10 * time.Second,
}

var epoch0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return epoch0.Add(time.Duration(seconds * float64(time.Second)))
}

// throttle is one that was learned at epoch0.
func throttle(until float64) Throttle {
	return Throttle{At: epoch0, Until: after(until)}
}

func TestOpenTime(t *testing.T) {
	for _, test := range []struct {
		opens  int64
		jitter float64
		want   time.Duration
	}{
		{1, 1, 10 * time.Second},
		{1, 0.9, 9 * time.Second},
		{1, 1.1, 11 * time.Second},
		{2, 1, 20 * time.Second},
		{29, 1, 290 * time.Second},
		{30, 1, 300 * time.Second},
		{30, 1.1, 300 * time.Second},
		{31, 1, 300 * time.Second},
		{maxOpens, 1.1, 300 * time.Second},
		{math.MaxInt64, 1.1, 300 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d times %v", test.opens, test.jitter), func(t *testing.T) {
			if got := openTime(test.opens, test.jitter, &settings); got.Round(time.Microsecond) != test.want {
				t.Errorf("open for %v, want %v", got, test.want)
			}
		})
	}
}

func TestOpenCountsItsOpenings(t *testing.T) {
	f := Facts{Trial: 7, Nonce: "n", Throttle: throttle(3)}
	f = f.Open(epoch0, 502, 1, &settings)
	want := Facts{
		State: Open, Until: after(10), Opens: 1, Trial: 7, Nonce: "n", Throttle: throttle(3), LastStatus: 502,
	}
	if f != want {
		t.Errorf("opened to %+v, want %+v", f, want)
	}
	f.Opens = maxOpens
	if got := f.Open(epoch0, 502, 1, &settings).Opens; got != maxOpens {
		t.Errorf("%d openings, want them bounded by %d", got, maxOpens)
	}
}

func TestClaimable(t *testing.T) {
	for _, test := range []struct {
		name        string
		f           Facts
		second      float64
		usual, soon bool // an ordinary claim, an early one
	}{
		{"closed", Facts{}, 100, false, false},
		{"open", Facts{State: Open, Until: after(10)}, 9.9, false, true},
		{"open and due", Facts{State: Open, Until: after(10)}, 10, true, true},
		{"half-open", Facts{State: HalfOpen, Until: after(30)}, 29.9, false, false},
		{"half-open, owner late", Facts{State: HalfOpen, Until: after(30)}, 30, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := after(test.second)
			if got := test.f.Claimable(now, false); got != test.usual {
				t.Errorf("claimable: %v, want %v", got, test.usual)
			}
			if got := test.f.Claimable(now, true); got != test.soon {
				t.Errorf("early: %v, want %v", got, test.soon)
			}
		})
	}
}

var halfOpen = Facts{
	State: HalfOpen, Until: after(30), Opens: 2, Trial: 4, Owner: "a", Nonce: "n",
	Throttle: throttle(1), LastStatus: 503,
}

func TestHalfOpenTransitions(t *testing.T) {
	with := func(change func(*Facts)) Facts {
		f := halfOpen
		change(&f)
		return f
	}
	for _, test := range []struct {
		name string
		got  Facts
		want Facts
	}{
		{
			"success closes and forgets the openings",
			halfOpen.Succeed(),
			with(func(f *Facts) { f.State, f.Until, f.Opens = Closed, time.Time{}, 0 }),
		},
		{
			"failure opens for longer",
			halfOpen.Fail(after(5), time.Time{}, 500, 1, &settings),
			with(func(f *Facts) { f.State, f.Until, f.Opens, f.LastStatus = Open, after(35), 3, 500 }),
		},
		{
			"failure of an early trial leaves the open time as it was",
			halfOpen.Fail(after(5), after(100), 500, 1, &settings),
			with(func(f *Facts) { f.State, f.Until, f.LastStatus = Open, after(100), 500 }),
		},
		{
			"failure of a trial that began early and ended late counts",
			halfOpen.Fail(after(5), after(5), 500, 1, &settings),
			with(func(f *Facts) { f.State, f.Until, f.Opens, f.LastStatus = Open, after(35), 3, 500 }),
		},
		{
			"abandoned: due at once",
			halfOpen.Abandon(after(5), after(-1)),
			with(func(f *Facts) { f.State, f.Until = Open, after(5) }),
		},
		{
			"abandoned early: due when it was",
			halfOpen.Abandon(after(5), after(100)),
			with(func(f *Facts) { f.State, f.Until = Open, after(100) }),
		},
		{
			"the next claim has the next number",
			halfOpen.Claim(after(30), "b", "m", &settings),
			with(func(f *Facts) { f.Until, f.Trial, f.Owner, f.Nonce = after(60), 5, "b", "m" }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("got  %+v\nwant %+v", test.got, test.want)
			}
		})
	}
}

func TestDeadlineAndLateness(t *testing.T) {
	f := Facts{State: Open}.Claim(epoch0, "a", "n", &settings)
	if got, want := f.Deadline(&settings), after(28); !got.Equal(want) {
		t.Errorf("deadline %v, want %v", got, want)
	}
	// Either clock may be wrong by a second: when the owner's says that it must
	// stop, the fastest one has not come to the next claim.
	if ahead := f.Deadline(&settings).Add(2*settings.Skew - 1); f.Claimable(ahead, true) {
		t.Error("claimable while the first trial may run")
	}
	for second, want := range map[float64]bool{0: false, 29.9: false, 30: true} {
		if got := f.Late(after(second)); got != want {
			t.Errorf("late after %v s: %v, want %v", second, got, want)
		}
	}
	if !(Facts{State: Open, Until: after(10)}).Late(epoch0) {
		t.Error("a trial that is over is not late")
	}
}

func TestRecognize(t *testing.T) {
	claimed := Facts{State: Open}.Claim(epoch0, "a", "n", &settings)
	for _, test := range []struct {
		name  string
		f     Facts
		nonce string
		after float64
		want  bool
	}{
		{"just claimed", claimed, "n", 0.1, true},
		{"claimed too long ago", claimed, "n", 0.3, false},
		{"another one's", claimed, "m", 0.1, false},
		{"given up", claimed.Abandon(epoch0, epoch0), "n", 0.1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.f.Recognize(test.nonce, after(test.after), 300*time.Millisecond, &settings); got != test.want {
				t.Errorf("recognized: %v, want %v", got, test.want)
			}
		})
	}
}

func TestStateNames(t *testing.T) {
	for want, got := range map[string]string{
		"closed": Closed.String(), "open": Open.String(), "half-open": HalfOpen.String(), "unknown": State(9).String(),
	} {
		if got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
}
