package fleet

import (
	"math"
	"slices"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/script"
)

// instances is how many there are at the beginning.
const instances = 10

// lastWord is how long before the end of the last window everything is over.
const lastWord = 12 * time.Second

// draw is the source of a schedule's choices.
type draw struct{ script.Draw }

// size is log-normal.
func (d draw) size(median, sigma float64, most int64) int64 {
	return min(max(1, int64(median*math.Exp(sigma*d.NormFloat64()))), most)
}

// Draw returns the schedule of a seed.
func Draw(seed uint64) Schedule {
	d := draw{script.NewDraw(seed, 0xf1ee7)}
	s := Schedule{Seed: seed, Policy: "allow", Start: d.Span(0, 50*time.Second), Failures: d.Between(1, 3)}
	switch n := d.IntN(20); {
	case n < 4:
		s.World = TableOnly
	case n < 6:
		s.World = Calm
	default:
		s.Policy = []string{"allow", "fairShare", "deny"}[d.IntN(3)]
		s.Tended = d.Chance(0.3)
	}
	s.Stop = s.Start + d.Span(100*time.Second, 140*time.Second)
	s.Audit = (s.Stop/time.Minute + 2) * time.Minute
	d.backends(&s)
	d.consumers(&s)
	d.instances(&s)
	d.traffic(&s)
	if s.World != Calm {
		d.table(&s)
	}
	if s.World == Mixed {
		d.troubles(&s)
	}
	d.ticks(&s)
	slices.SortStableFunc(s.Requests, func(a, b Request) int { return int(a.At - b.At) })
	return s
}

// Window is which minute of the run a moment is in.
func window(at time.Duration) time.Duration { return at.Truncate(time.Minute) }

// never is an amount that no schedule spends.
const never = 10_000_000

func (d draw) backends(s *Schedule) {
	for i := range d.Between(3, 4) {
		b := Backend{
			Priority:  min(1+i, d.Between(1, 2)+i/2),
			Weight:    d.Between(1, 3),
			Settled:   d.Chance(0.4),
			Tokens:    int64(d.Between(3000, 12000)),
			Enforced:  d.Chance(0.5),
			FirstByte: d.Span(10*time.Millisecond, 900*time.Millisecond),
			PerToken:  d.Span(100*time.Microsecond, 8*time.Millisecond),
			Retry: []azureopenai.RetryForm{azureopenai.RetryDefault, azureopenai.RetryInt, azureopenai.RetryMillis,
				azureopenai.RetryNone, azureopenai.RetryNegative}[d.IntN(5)],
			MinusOne: d.Chance(0.3),
		}
		if d.Chance(0.3) {
			b.Requests = 6 * int64(d.Between(8, 30))
		}
		if i == 2 && d.Chance(0.5) {
			b.Tokens = 0
		}
		if s.World != Mixed {
			b.Enforced, b.MinusOne = false, false
			b.Tokens = min(b.Tokens, 1) * never
			b.Requests = min(b.Requests, 1) * never
			// Nothing is wrong with the backends here: none takes longer than is waited for it.
			b.PerToken = min(b.PerToken, 800*time.Microsecond)
		}
		s.Backends = append(s.Backends, b)
	}
	s.Backends[0].Priority = 1
}

// The consumers of every schedule.
const (
	free     = iota // no limits
	byTokens        // a limit of tokens
	byBoth          // limits of requests and of tokens
	small           // a small limit of tokens, for the audit alone

	kindsOfConsumers
)

func (d draw) consumers(s *Schedule) {
	s.Consumers = make([]Consumer, kindsOfConsumers)
	s.Consumers[byTokens].Tokens = int64(d.Between(1500, 7000))
	s.Consumers[byBoth] = Consumer{Tokens: int64(d.Between(2000, 8000)), Requests: int64(d.Between(8, 40))}
	s.Consumers[small].Tokens = int64(d.Between(300, 500))
	if s.World != Mixed {
		s.Consumers[byTokens].Tokens = never
		s.Consumers[byBoth] = Consumer{Tokens: never, Requests: never}
	}
	if s.World == Calm {
		s.Consumers[byBoth].Requests = int64(d.Between(3, 15))
		s.Consumers[small].Tokens = 4500 // less than what must be refused, more than all the rest
	}
}

func (d draw) instances(s *Schedule) {
	for range instances {
		s.Instances = append(s.Instances, Instance{})
	}
	if s.World != Mixed {
		return
	}
	if d.Chance(0.4) {
		born := min(window(s.Start+d.Span(0, 90*time.Second))+time.Minute, s.Stop-time.Second)
		for range d.Between(3, 6) {
			s.Instances = append(s.Instances, Instance{Born: born + d.Span(0, 2*time.Millisecond), Storm: true})
		}
	}
	for i := range s.Instances {
		if d.Chance(0.25) {
			s.Instances[i].Skew = []time.Duration{-2 * time.Second, 2 * time.Second, d.Span(-2*time.Second, 2*time.Second)}[d.IntN(3)]
		}
	}
	// Two always live. Who crashes or ends is replaced a little later.
	for i := 2; i < instances; i++ {
		it := &s.Instances[i]
		switch d.IntN(10) {
		case 0, 1:
			it.Fate = Crashes
		case 2:
			it.Fate = Terminates
		case 3:
			it.Fate, it.For = Freezes, d.Span(time.Second, 70*time.Second)
		default:
			continue
		}
		it.At = d.moment(s)
		if it.Fate == Freezes {
			it.For = max(time.Second, min(it.For, s.Stop-it.At))
		} else if d.Chance(0.7) {
			heir := Instance{Born: min(it.At+d.Span(time.Millisecond, 5*time.Second), s.Stop), Skew: it.Skew}
			s.Instances = append(s.Instances, heir)
		}
	}
}

// moment is one in the time of faults, often just before or after an edge.
func (d draw) moment(s *Schedule) time.Duration {
	at := d.Span(s.Start, s.Stop-time.Second)
	if d.Chance(0.3) {
		at = window(at) + time.Minute + d.Span(-300*time.Millisecond, 300*time.Millisecond)
	}
	return min(max(at, s.Start), s.Stop-time.Second)
}

func (d draw) traffic(s *Schedule) {
	left := d.Between(110, 190)
	for left > 0 {
		n := min(left, 1)
		at, gap := d.Span(s.Start, s.Stop), time.Duration(0)
		if d.Chance(0.06) {
			n, gap = min(left, d.Between(3, 25)), d.Span(time.Microsecond, 20*time.Millisecond)
			at = d.moment(s)
		}
		for range n {
			s.Requests = append(s.Requests, d.request(s, at))
			at += d.Span(0, 2*gap+1)
		}
		left -= n
	}
	for range d.Between(20, 40) { // lighter, and nothing goes wrong any more
		r := d.request(s, d.Span(s.Stop, s.Audit-15*time.Second))
		r.LeaveAfter, r.LeaveAtByte, r.Slow = 0, 0, 0
		r.Max = min(r.Max, 100)
		s.Requests = append(s.Requests, r)
	}
	d.audit(s)
}

// audit draws the requests of the last window.
func (d draw) audit(s *Schedule) {
	end := s.Audit + time.Minute - lastWord - 20*time.Second
	for i := range 36 {
		r := d.request(s, d.Span(s.Audit+4*time.Second, end))
		r.LeaveAfter, r.LeaveAtByte, r.Slow = 0, 0, 0
		r.Consumer, r.Audit = free, MustServe
		r.Max = d.size(20, 0.4, 40)
		switch {
		case i%6 == 0:
			r.Consumer, r.Audit, r.Max = small, MayRefuse, d.size(60, 0.5, 150)
		case i%12 == 1:
			r.Consumer, r.Audit, r.Max = small, MustRefuse, 5000
		case i%12 == 2:
			r.Consumer, r.Audit = byBoth, MayRefuse
			if s.World == Calm {
				r.Pick = s.Seed
			}
		}
		s.Requests = append(s.Requests, r)
	}
}

func (d draw) request(s *Schedule, at time.Duration) Request {
	r := Request{
		At:       at,
		Consumer: []int{free, free, byTokens, byBoth}[d.IntN(4)],
		Prompt:   min(d.IntN(len(prompts)), d.IntN(len(prompts))),
		Max:      d.size(110, 0.9, 2000),
		Stream:   d.Chance(0.45),
		Pick:     d.Uint64(),
	}
	if s.World == Calm && r.Consumer == byBoth {
		r.Pick = s.Seed
	}
	if s.World != Mixed {
		return r
	}
	switch d.IntN(30) {
	case 0, 1:
		r.LeaveAfter = d.Span(time.Microsecond, 600*time.Millisecond)
	case 2, 3:
		r.LeaveAtByte = d.Between(1, 900)
	case 4:
		r.Slow = d.Span(50*time.Millisecond, 1500*time.Millisecond)
	}
	return r
}

func (d draw) table(s *Schedule) {
	s.Delay = [2]time.Duration{200 * time.Millisecond, 500 * time.Millisecond} // fifty times the usual
	if d.Chance(0.3) {
		s.Delay = [2]time.Duration{30 * time.Millisecond, 135 * time.Millisecond}
	}
	least, most := 0, 4
	if s.World == TableOnly {
		least, most = 2, 6
	}
	for range d.Between(least, most) {
		from := d.moment(s)
		f := TableFault{From: from, To: min(s.Stop, from+d.Span(2*time.Second, 40*time.Second)), Rate: 0.02 + 0.13*d.Float64()}
		switch d.IntN(14) {
		case 10:
			f.Kind = faultstore.Busy
		case 11:
			f.Kind = faultstore.BusyApplied
		case 12:
			f.Kind = faultstore.ConflictedApplied
		case 13:
			f.Kind, f.To = faultstore.ReadRefused, min(f.To, from+20*time.Second)
		case 0:
			f.Kind = faultstore.Refused
		case 1:
			f.Kind = faultstore.RequestLost
		case 2:
			f.Kind = faultstore.AnswerLost
		case 3:
			f.Kind = faultstore.LateApply
		case 4:
			f.Kind = faultstore.Conflicted
		case 5, 6:
			f.Kind = faultstore.Delayed
			f.Rate = []float64{0.1, 0.4, 1}[d.IntN(3)]
		case 7:
			f.Kind, f.To = faultstore.Outage, min(f.To, from+20*time.Second)
		case 8:
			f.Kind, f.To = faultstore.WriteRefused, min(f.To, from+20*time.Second)
		case 9:
			f.Date = []time.Duration{-2 * time.Second, 2 * time.Second}[d.IntN(2)]
		}
		s.Table = append(s.Table, f)
	}
}

func (d draw) troubles(s *Schedule) {
	for range d.Between(2, 7) {
		t := Trouble{At: d.moment(s), Backend: d.IntN(len(s.Backends))}
		f := azureopenai.Fault{Times: int64(d.Between(1, 12))}
		switch d.IntN(12) {
		case 0, 1, 2:
			f.Kind, f.Throttle = azureopenai.FaultThrottle, azureopenai.ThrottleCapacity
			f.RetryAfter = d.Span(time.Millisecond, 15*time.Second)
		case 3, 4, 11:
			f.Kind, f.Status = azureopenai.FaultStatus, []int{500, 502, 503, 504}[d.IntN(4)]
			if d.Chance(0.5) { // sick for a while
				f.Times, f.For = 0, d.Span(5*time.Second, 40*time.Second)
			}
		case 5:
			f.Kind = azureopenai.FaultRefuse
		case 6:
			f.Kind = azureopenai.FaultReset
		case 7:
			f.Kind, f.Events, f.Bytes = azureopenai.FaultCut, int64(d.Between(1, 3)), int64(d.Between(100, 400))
		case 8:
			f.Kind, f.Events = azureopenai.FaultHangAfterHeaders, int64(d.Between(1, 3))
		case 9:
			f.Kind, f.Events = azureopenai.FaultStreamError, int64(d.Between(0, 3))
		case 10:
			b := &s.Backends[t.Backend]
			if b.Tokens == 0 {
				b.Tokens = 8000
			}
			b.Enforced = true
			f.Kind, f.Times, f.For = azureopenai.FaultLowerLimit, 0, d.Span(10*time.Second, 60*time.Second)
			f.Limit = b.Tokens / int64(d.Between(2, 4))
		}
		t.Fault = f
		s.Troubles = append(s.Troubles, t)
	}
}

func (d draw) ticks(s *Schedule) {
	if s.Tended {
		return
	}
	for at := s.Start + d.Span(0, 10*time.Second); at < s.Audit+time.Minute-lastWord-5*time.Second; at += 10 * time.Second {
		t := Tick{At: at, Pick: d.Uint64()}
		if at < s.Stop {
			t.Kind = []TickKind{Once, Once, Once, Once, Skipped, Skipped, Doubled, Overlapping}[d.IntN(8)]
		}
		s.Ticks = append(s.Ticks, t)
	}
}
