// Package sim runs the whole request path in virtual time: the real gateway
// before simulated backends, under schedules drawn from seeds, each judged
// request by request by an oracle that shares no code with the product.
//
//   - schedule.go draws a schedule (values only) from a seed;
//   - stage.go builds the backends and the gateway that a schedule asks for;
//   - run.go plays it in a testing/synctest bubble;
//   - history.go notes what could be seen from outside of the gateway;
//   - ledger.go and judge*.go find out afterwards what was wrong;
//   - tally.go counts what a run of many schedules has exercised.
package sim

import (
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/script"
)

// Schedule is one run as it was drawn from its seed. Times are offsets from the
// beginning of the bubble, which is the beginning of a minute.
type Schedule struct {
	Seed     uint64
	Start    time.Duration // users begin after this
	Length   time.Duration // and begin nothing new after Start + Length
	Strategy string
	MaxWait  time.Duration
	Failures int // in a row that open a breaker
	Members  []Member
	// Consumers are the callers that users call as.
	Consumers []Consumer
	Users     []User
	Troubles  []Trouble
	// Store are the rates of the store's faults; nil: the store works.
	Store map[faultstore.Fault]float64
	// Outage is when the store is down, if Store is not nil.
	Outage Span
	// ReadOnly is when the store refuses writes, if Store is not nil.
	ReadOnly Span
	// Probe: after that many 429s of the pool everyone falls silent, and the
	// refused request is sent again when its waiting time is over. 0: never.
	Probe int
}

// Span is a part of the run; the zero value is none.
type Span struct{ From, To time.Duration }

// Kind is how a member is limited.
type Kind uint8

const (
	// Metered is charged on arrival, as Azure does, by gateway and backend alike.
	Metered Kind = iota
	// Settled is a limit of ours that is settled to what was really used. The
	// backend behind it has no token limit.
	Settled
	// Unlimited has no limit at either end.
	Unlimited
	// Unknown has a limit at the backend that the gateway is not told of: it
	// learns of it by 429s.
	Unknown
)

// Member is a backend with one deployment, and its place in the pool.
type Member struct {
	Kind       Kind
	API        string // dialect
	Priority   int
	Weight     int
	Tokens     int64 // per minute, 0: no limit
	Requests   int64 // per minute, 0: no limit
	SpillBelow int64
	PTU        bool // Unknown only: provisioned throughput rather than windows
	FirstByte  time.Duration
	PerToken   time.Duration
	Output     int64 // median length of answers, in tokens
	Retry      azureopenai.RetryForm

	// Told is what the configuration says instead of the truth; nil: the truth.
	// It seeds a defect.
	Told *Told
}

// Told is a member as a wrong configuration describes it.
type Told struct {
	Kind     Kind
	Priority int
	Tokens   int64
	Requests int64
	Missing  bool // it is no member at all
}

// Consumer is a calling application.
type Consumer struct {
	Tokens, Requests int64 // per minute, 0: no limit
	NoSpill          bool
	SpillCap         int64 // tokens per minute that may spill, 0: no cap

	// Told is what the configuration says instead of the truth; nil: the truth.
	// It seeds a defect.
	Told *Consumer
}

// User is a caller that sends its calls one after another, or at set times.
type User struct {
	Consumer int
	// Closed: each call follows the end of the one before without a pause. Else
	// each comes at its time, whether those before have ended or not.
	Closed bool
	Begin  time.Duration // after Start
	// Obeys: after a 429 a closed loop waits as long as it was told to. Else it
	// comes back after Haste.
	Obeys bool
	Haste time.Duration
	Calls []Call
}

// Call is one request.
type Call struct {
	At     time.Duration // after Start; open loops only
	Prompt int           // index into prompts
	Max    int64         // max_tokens, 0: not set
	N      int64         // answers, 0: not set
	Stream bool
	// LeaveAfter is when the client gives up; 0: never.
	LeaveAfter time.Duration
	Classic    bool // in Azure's path dialect
}

// Trouble is a fault that begins during the run.
type Trouble struct {
	At     time.Duration // after Start
	Member int
	Fault  azureopenai.Fault
}

// draw is the source of a schedule's choices.
type draw struct{ script.Draw }

// size returns a number around base: mostly within a factor of 4.
func (d draw) size(base int64) int64 {
	factor := 1.0
	for range d.Between(0, 4) {
		factor *= 0.7 + 0.9*d.Float64()
	}
	return max(1, int64(float64(base)*factor))
}

// Draw returns the schedule of a seed.
func Draw(seed uint64) Schedule {
	d := draw{script.NewDraw(seed, 0x5b111)}
	s := Schedule{
		Seed:     seed,
		Start:    d.Span(0, time.Minute),
		Length:   d.Span(65*time.Second, 130*time.Second),
		Strategy: []string{"weighted", "leastLatency", "mostHeadroom"}[d.IntN(3)],
		Failures: []int{2, 5, 5, 1000}[d.IntN(4)],
	}
	if d.Chance(0.3) {
		s.Start = time.Minute - d.Span(time.Microsecond, 2*time.Second)
	}
	if d.Chance(0.1) {
		s.MaxWait = d.Span(time.Millisecond, 5*time.Second)
	}
	base := int64(20) << d.IntN(5)
	for i := range d.Between(1, 3) {
		s.Members = append(s.Members, d.member(i, base))
	}
	s.Consumers = append(s.Consumers, Consumer{})
	for range d.Between(0, 2) {
		s.Consumers = append(s.Consumers, d.consumer(base))
	}
	d.users(&s, base)
	d.troubles(&s)
	if d.Chance(0.15) {
		d.storeFaults(&s)
	} else if d.Chance(0.1) {
		s.Probe = d.Between(1, 6)
	}
	return s
}

func (d draw) member(i int, base int64) Member {
	m := Member{
		Kind:      []Kind{Metered, Metered, Metered, Settled, Settled, Unlimited, Unknown}[d.IntN(7)],
		API:       []string{"azure", "azure", "azure-v1", "openai"}[d.IntN(4)],
		Priority:  []int{1 + i, 1 + i, 1, d.Between(1, 3)}[d.IntN(4)],
		Weight:    d.Between(1, 5),
		FirstByte: d.Span(time.Millisecond, 1500*time.Millisecond),
		PerToken:  d.Span(time.Microsecond, 40*time.Millisecond),
		Output:    int64(d.Between(1, 25)),
		Retry: []azureopenai.RetryForm{azureopenai.RetryDefault, azureopenai.RetryDefault, azureopenai.RetryInt,
			azureopenai.RetryFloat, azureopenai.RetryMillis, azureopenai.RetryNone}[d.IntN(6)],
	}
	if m.Retry == azureopenai.RetryNone && m.API == "openai" {
		m.Retry = azureopenai.RetryDefault // this dialect has other headers that tell
	}
	if m.Kind == Unlimited && i == 0 && d.Chance(0.7) {
		m.Kind = Metered // else nothing would ever spill
	}
	if m.Kind != Unlimited {
		m.Tokens = base * int64(d.Between(2, 14))
		if d.Chance(0.2) {
			m.Tokens *= 30
		}
		m.PTU = m.Kind == Unknown && d.Chance(0.5)
	}
	if m.Kind != Unknown && d.Chance(0.25) {
		m.Requests = 6 * int64(d.Between(1, 6))
	}
	if (m.Kind == Metered || m.Kind == Settled) && d.Chance(0.25) {
		m.SpillBelow = m.Tokens / int64(d.Between(2, 20))
	}
	return m
}

func (d draw) consumer(base int64) Consumer {
	var c Consumer
	if d.Chance(0.4) {
		c.Requests = int64(d.Between(2, 20))
	}
	switch d.IntN(4) {
	case 0:
		c.Tokens = base * int64(d.Between(4, 40))
	case 1:
		c.NoSpill = true
	case 2:
		c.SpillCap = base * int64(d.Between(3, 20))
	}
	return c
}

func (d draw) users(s *Schedule, base int64) {
	left := d.Between(20, 110)
	users := d.Between(1, 30)
	for i := range users {
		calls := left / (users - i)
		left -= calls
		if calls == 0 {
			continue
		}
		u := User{
			Consumer: d.IntN(len(s.Consumers)),
			Closed:   d.Chance(0.5),
			Begin:    d.Span(0, s.Length),
			Obeys:    d.Chance(0.5),
			Haste:    d.Span(50*time.Millisecond, 5*time.Second),
		}
		if d.Chance(0.4) {
			u.Begin = d.Span(0, time.Millisecond)
		}
		at := u.Begin
		gap := d.Span(10*time.Millisecond, 2*s.Length/time.Duration(calls))
		burst := !u.Closed && d.Chance(0.4)
		if burst {
			at = d.burst(s)
			gap = 0 // all at the same instant
			if d.Chance(0.8) {
				gap = 20 * time.Nanosecond
			}
		}
		for range calls {
			c := d.call(s, base, s.Consumers[u.Consumer])
			if c.At = at; gap > 0 {
				at += d.Span(0, 2*gap)
			}
			u.Calls = append(u.Calls, c)
		}
		s.Users = append(s.Users, u)
	}
}

// burst is a moment at which many calls come: at any time, or at the edge of a
// minute, or within microseconds of one.
func (d draw) burst(s *Schedule) time.Duration {
	edge := time.Minute - s.Start%time.Minute
	switch d.IntN(4) {
	case 0:
		return edge
	case 1:
		return max(0, edge+d.Span(-time.Millisecond, time.Millisecond))
	}
	return d.Span(0, s.Length)
}

func (d draw) call(s *Schedule, base int64, consumer Consumer) Call {
	c := Call{
		Prompt:  min(d.IntN(len(prompts)), d.IntN(len(prompts))),
		Max:     d.size(base),
		Stream:  d.Chance(0.4),
		Classic: d.Chance(0.3),
	}
	switch {
	case d.Chance(0.03): // as large as a limit, or larger
		c.Max = max(1, s.Members[d.IntN(len(s.Members))].Tokens+int64(d.Between(-20, 20)))
	case d.Chance(0.15) && consumer.Tokens == 0:
		c.Max = 0
	}
	if d.Chance(0.05) {
		c.N = 2
	}
	if d.Chance(0.08) {
		c.LeaveAfter = d.Span(time.Microsecond, 3*time.Second)
	}
	return c
}

func (d draw) troubles(s *Schedule) {
	for range d.Between(0, 4) {
		f := azureopenai.Fault{Times: int64(d.Between(1, 4))}
		if d.Chance(0.3) {
			f.Times = int64(d.Between(4, 12))
		}
		switch d.IntN(12) {
		case 0, 1:
			f.Kind, f.Throttle = azureopenai.FaultThrottle, azureopenai.ThrottleCapacity
			f.RetryAfter = d.Span(time.Millisecond, 20*time.Second)
			if d.Chance(0.1) {
				f.RetryAfter = d.Span(time.Minute, time.Hour)
			}
		case 2:
			f.Kind, f.Status = azureopenai.FaultStatus, []int{500, 502, 503, 504, 408, 401, 404}[d.IntN(7)]
			f.Uncharged = d.Chance(0.5)
		case 3:
			f.Kind = azureopenai.FaultRefuse
		case 4:
			f.Kind = azureopenai.FaultReset
		case 5:
			f.Kind = azureopenai.FaultHangBeforeHeaders
		case 6:
			f.Kind, f.Events = azureopenai.FaultHangAfterHeaders, int64(d.Between(0, 4))
		case 7:
			f.Kind, f.Events = azureopenai.FaultCut, int64(d.Between(0, 4))
		case 8:
			f.Kind, f.Events = azureopenai.FaultStreamError, int64(d.Between(0, 4))
		case 9:
			f.Kind, f.Events = azureopenai.FaultMalformedSSE, int64(d.Between(0, 3))
		case 10:
			f.Kind = []azureopenai.FaultKind{azureopenai.FaultBadJSON, azureopenai.FaultContentType}[d.IntN(2)]
		case 11:
			f.Kind = []azureopenai.FaultKind{azureopenai.FaultEmptyStream, azureopenai.FaultRedirect}[d.IntN(2)]
			f.Location = "http://elsewhere.test/"
		}
		f.Header = map[string]string{headerFault: string(f.Kind)}
		s.Troubles = append(s.Troubles, Trouble{
			At:     d.Span(0, s.Length),
			Member: d.IntN(len(s.Members)),
			Fault:  f,
		})
	}
}

func (d draw) storeFaults(s *Schedule) {
	s.Store = make(map[faultstore.Fault]float64)
	for _, f := range []faultstore.Fault{faultstore.Refused, faultstore.RequestLost, faultstore.AnswerLost,
		faultstore.LateApply, faultstore.Conflicted, faultstore.Delayed} {
		if d.Chance(0.6) {
			s.Store[f] = 0.15 * d.Float64()
		}
	}
	if d.Chance(0.4) {
		s.Outage = d.within(s)
	}
	if d.Chance(0.4) {
		s.ReadOnly = d.within(s)
	}
}

// within is a part of the run.
func (d draw) within(s *Schedule) Span {
	from := d.Span(0, s.Length)
	return Span{from, from + d.Span(time.Second, 30*time.Second)}
}
