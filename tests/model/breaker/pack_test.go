package breaker

import (
	"fmt"
	"time"

	"spillway/shared/breaker/rule"
)

// The models count time in ticks. A tick is twice the largest error of a clock:
// what two clocks may differ by.
const tick = time.Second

var settings = rule.Settings{
	OpenFor:       tick,
	MaxOpenFor:    tick,
	MaxRetryAfter: 100 * tick,
	TrialFor:      2 * tick,
	Skew:          tick / 2,
	ProbeEvery:    2 * tick,
}

var origin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// moment is a time in ticks, counted from 1; 0 is the zero time.
type moment int8

// times are the moments as times.
var times = func() (all [127]time.Time) {
	for i := 1; i < len(all); i++ {
		all[i] = origin.Add(time.Duration(i) * tick)
	}
	return all
}()

func (m moment) time() time.Time { return times[m] }

// ticks is the moment of a time, which must lie on a tick.
func ticks(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	d := t.Sub(origin)
	if d%tick != 0 || d <= 0 || int(d/tick) >= len(times) {
		panic("model: " + t.String() + " is no tick")
	}
	return moment(d / tick)
}

// ticksUp is the first moment that is not before t.
func ticksUp(t time.Time) moment {
	d := t.Sub(origin)
	return moment((d + tick - 1) / tick)
}

// nonce names a claim; 0 is none. The names have no meaning but to be different,
// so that those no longer in use are used again.
type nonce uint8

const maxNonces = 16

var nonces = func() (all [maxNonces]string) {
	for i := 1; i < len(all); i++ {
		all[i] = string(rune('a' + i - 1))
	}
	return all
}()

func nonceOf(s string) nonce {
	if s == "" {
		return 0
	}
	return nonce(s[0]-'a') + 1
}

// facts are rule.Facts without the throttle, as small as the search needs them.
type facts struct {
	state rule.State
	until moment
	opens int8
	trial int8
	nonce nonce
}

func (f facts) real() rule.Facts {
	return rule.Facts{
		State: f.state, Until: f.until.time(), Opens: int64(f.opens), Trial: int64(f.trial), Nonce: nonces[f.nonce],
	}
}

// pack forgets what plays no part: who the owner is (the nonce says it), the
// last status, and openings after the first, which lengthen the open time only
// where it may become longer.
func pack(f rule.Facts) facts {
	return facts{
		state: f.State, until: ticks(f.Until), opens: int8(min(f.Opens, 1)), trial: int8(f.Trial), nonce: nonceOf(f.Nonce),
	}
}

// String shows the facts in one word.
func (f facts) String() string {
	return fmt.Sprintf("%v(%d)#%d%s", f.state, f.until, f.trial, nonces[f.nonce])
}
