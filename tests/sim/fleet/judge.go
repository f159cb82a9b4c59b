package fleet

import (
	"fmt"
	"strings"
	"time"

	"spillway/tests/sim/verdict"
)

// The rules.
const (
	RuleLimit    = "I1: no unit over a limit"
	RuleClock    = "I1b: clocks follow the table's"
	RuleStranded = "I2: little is stranded"
	RuleWork     = "I3: few calls to the table"
	RuleTable    = "I4: the table harms no request"
	RuleTrial    = "I5: one trial at a time"
	RuleRecovery = "I6: all is well two windows after the last fault"
	RuleRecord   = "I7: one true record for each request"
	RuleRefusal  = "I8: a refusal changes no counter"
	RuleAnswer   = "an answer that the API knows"
)

// judge looks at a schedule that has been played.
type judge struct {
	*Outcome
	// low and high bound by how much any instance's idea of the time differed from
	// the truth; a row adopts the window of whoever is ahead.
	low, high time.Duration
	found     []verdict.Violation
}

// Judge returns what was wrong.
func (out *Outcome) Judge() []verdict.Violation {
	j := &judge{Outcome: out}
	j.survey()
	j.limits()
	j.times()
	j.strandings()
	j.work()
	j.unharmed()
	j.trials()
	j.recovery()
	j.conservation()
	for _, r := range out.history.requests {
		j.answered(r)
		j.recorded(r)
	}
	for i := range out.history.strays {
		j.blame(RuleRecord, out.history.strays[i].Start, "a record of no request: %+v", out.history.strays[i])
	}
	return j.found
}

func (j *judge) blame(rule string, at time.Time, format string, args ...any) {
	j.found = append(j.found, verdict.Violation{Rule: rule, At: at.Sub(j.origin), What: fmt.Sprintf(format, args...)})
}

// span is a time between two moments, or one that has not ended.
type span struct{ from, to time.Time }

func (s span) meets(from, to time.Time) bool { return !s.from.After(to) && !s.to.Before(from) }

// frozen tells whether an instance was frozen at some moment between two.
func (j *judge) frozen(instance int, from, to time.Time) bool {
	it := &j.Schedule.Instances[instance]
	if it.Fate != Freezes {
		return false
	}
	began := j.origin.Add(it.At)
	return span{began, began.Add(it.For)}.meets(from, to)
}

// survey finds how wrong clocks were: a record says when a request began by its
// instance's clock.
func (j *judge) survey() {
	for _, r := range j.history.requests {
		if len(r.records) != 1 || !r.entered.happened() || j.frozen(r.instance, r.entered.at, r.entered.at) {
			continue
		}
		off := r.records[0].Start.Sub(r.entered.at)
		j.low, j.high = min(j.low, off), max(j.high, off)
	}
	if j.low != 0 || j.high != 0 {
		j.low -= margin
		j.high += margin
	}
}

// margin is how much more wrong a clock may have been between two requests.
const margin = 200 * time.Millisecond

// inside is the window that something was decided in between two moments, by
// every clock; false if that cannot be told.
func (j *judge) inside(length time.Duration, from, to time.Time) (time.Time, bool) {
	first, last := from.Add(j.low).Truncate(length), to.Add(j.high).Truncate(length)
	return first, first.Equal(last)
}

// decided is when an attempt's units were reserved.
func (a *attempt) decided() (from, to time.Time) {
	from = a.request.entered.at
	for _, other := range a.request.attempts {
		if other.number < a.number && other.ended.happened() && other.ended.at.After(from) {
			from = other.ended.at
		}
	}
	return from, a.asked.at
}

// account is what was spent of one limit, by window, as far as it is certain.
type account struct {
	key    string
	amount int64
	length time.Duration
	spent  map[time.Time]int64
}

func (j *judge) account(key string, amount int64, length time.Duration) *account {
	return &account{key: key, amount: amount, length: length, spent: make(map[time.Time]int64)}
}

// limits judges every limit and window.
func (j *judge) limits() {
	for b := range j.Schedule.Backends {
		j.deployment(b)
	}
	for c := range j.Schedule.Consumers {
		j.consumer(c)
	}
}

// deployment books what a backend has counted.
func (j *judge) deployment(b int) {
	backend := &j.Schedule.Backends[b]
	perSlice, slice := backend.perSlice()
	tokens := j.account("deployment/"+deploymentID(b)+"/tokens", backend.Tokens, time.Minute)
	requests := j.account("deployment/"+deploymentID(b)+"/requests", perSlice, slice)
	for _, a := range j.history.attempts {
		if a.backend != b || a.request == nil || !j.certain(a) {
			continue
		}
		from, to := a.decided()
		if w, ok := j.inside(slice, from, to); ok {
			requests.spent[w]++
		}
		if w, ok := j.inside(time.Minute, from, to); ok && a.accepted {
			tokens.spent[w] += j.charged(a)
		}
	}
	j.hold(tokens)
	j.hold(requests)
}

// certain tells whether an attempt surely took of its deployment's limits: it
// arrived, and nobody left or froze while it was under way.
func (j *judge) certain(a *attempt) bool {
	r := a.request
	gone := r.left.happened() && (!a.ended.happened() || !r.left.at.After(a.ended.at))
	end := a.sent.at
	if !a.sent.happened() {
		return false
	}
	return a.arrived && !gone && !j.frozen(a.instance, r.entered.at, end)
}

// charged is what an accepted attempt took of the deployment's tokens at least.
func (j *judge) charged(a *attempt) int64 {
	if !j.Schedule.Backends[a.backend].Settled {
		return a.charge
	}
	r := a.request
	if len(r.records) != 1 || r.attempts[len(r.attempts)-1] != a {
		return 0 // It failed, or nobody knows what it was settled to.
	}
	return r.least()
}

// least is what a served request used at least, by its record, and of that what
// it must have reserved: its largest output, and half of its prompt. What goes
// beyond is a debt, which is paid later.
func (r *request) least() int64 {
	if len(r.records) != 1 || !r.records[0].Served() {
		return 0
	}
	return min(r.records[0].Tokens.Total(), r.Max+prompts[r.Prompt].Tokens/2)
}

// consumer books what a consumer's requests have used.
func (j *judge) consumer(c int) {
	consumer := &j.Schedule.Consumers[c]
	tokens := j.account(fmt.Sprintf("consumer/c%d/tokens", c), consumer.Tokens, time.Minute)
	requests := j.account(fmt.Sprintf("consumer/c%d/requests", c), consumer.Requests, time.Minute)
	for _, r := range j.history.requests {
		if r.Consumer != c || len(r.attempts) == 0 || len(r.records) != 1 || !r.records[0].Served() {
			continue
		}
		first := r.attempts[0]
		if j.frozen(r.instance, r.entered.at, first.asked.at) {
			continue
		}
		if w, ok := j.inside(time.Minute, r.entered.at, first.asked.at); ok {
			requests.spent[w]++
			tokens.spent[w] += r.least()
		}
	}
	j.hold(tokens)
	j.hold(requests)
}

// hold compares an account with its limit.
func (j *judge) hold(a *account) {
	if a.amount == 0 {
		return
	}
	for w, spent := range a.spent {
		allowed := a.amount
		switch {
		case j.Schedule.Policy == "allow":
			allowed += j.unmetered(a, w)
		case j.Schedule.Policy == "fairShare":
			// An even share, but others may hold more than theirs.
			allowed += min(a.amount, j.unmetered(a, w))
		}
		if spent > allowed {
			j.blame(RuleLimit, w, "%d of %s were spent in one window, %d were allowed, %d of them unmetered", spent, a.key, allowed, allowed-a.amount)
		}
	}
}

// unmetered is what instances say that they granted without the table.
func (j *judge) unmetered(a *account, w time.Time) int64 {
	var units int64
	for i := range j.history.lines {
		l := &j.history.lines[i]
		if l.Event == "units_unmetered" && l.Limit == a.key && !l.at.Add(j.high).Before(w) && l.at.Add(j.low).Before(w.Add(a.length)) {
			units += l.Units
		}
	}
	return units
}

// times judges the clocks at the end. An answer of the table narrows the truth
// down to a second and the time it took. A clock that false dates have misled needs
// two true answers in a row that contradict it; those before may agree with it in
// part, each leaving it less.
func (j *judge) times() {
	const (
		worst  = time.Second + 50*time.Millisecond
		enough = 5
	)
	for i := range j.statuses {
		s := &j.statuses[i]
		if off := s.Now.Sub(s.at); off.Abs() > worst && j.heard[s.instance] >= enough {
			j.blame(RuleClock, s.at, "the clock of %s is %v off after %d answers of the table", instanceName(s.instance), off, j.heard[s.instance])
		}
	}
}

// answered judges that a request ended in a way that the API knows.
func (j *judge) answered(r *request) {
	switch {
	case !r.done.happened():
		j.blame(RuleAnswer, r.sent.at, "%s never ended", r.id)
	case r.instance < 0:
		j.blame(RuleAnswer, r.sent.at, "no instance lived to take %s", r.id)
	case r.lost, r.left.happened(), r.aborted:
	case r.status == 429, r.status == 503:
		for _, a := range r.attempts {
			if a.status == 200 && (j.Schedule.World != Mixed || r.Audit != NotAudited) {
				j.blame(RuleRefusal, r.done.at, "%s was served by %s, and got %d", r.id, backendName(a.backend), r.status)
			}
		}
	case r.status == 200:
	default:
		j.blame(RuleAnswer, r.done.at, "%s got %d: %s", r.id, r.status, r.answer)
	}
}

// recorded judges the records of a request against what its client saw and what
// the backend did.
func (j *judge) recorded(r *request) {
	switch n := len(r.records); {
	case n > 1, n == 1 && !r.entered.happened():
		j.blame(RuleRecord, r.sent.at, "%s has %d records", r.id, n)
		return
	case n == 0:
		if r.entered.happened() && !r.lost {
			j.blame(RuleRecord, r.done.at, "%s has no record, and its instance lives", r.id)
		}
		return
	case r.lost:
		return
	}
	record := &r.records[0]
	if !r.left.happened() && record.Status != r.status {
		j.blame(RuleRecord, r.done.at, "%s is recorded with %d, its client got %d", r.id, record.Status, r.status)
	}
	if len(record.Attempts) != len(r.attempts) && !r.left.happened() {
		j.blame(RuleRecord, r.done.at, "%s is recorded with %d attempts, and made %d", r.id, len(record.Attempts), len(r.attempts))
	}
	if !record.Served() || len(r.attempts) == 0 {
		return
	}
	last := r.attempts[len(r.attempts)-1]
	if record.Measured && (record.Tokens.Prompt != prompts[r.Prompt].Tokens || record.Tokens.Completion != last.generated) {
		j.blame(RuleRecord, r.done.at, "%s is recorded with %d+%d tokens, the backend used %d+%d", r.id,
			record.Tokens.Prompt, record.Tokens.Completion, prompts[r.Prompt].Tokens, last.generated)
	}
}

// column is an integer of a row.
func column(columns map[string]any, name string) int64 {
	n, _ := columns[name].(int64)
	return n
}

// limitOf is the limit that a partition of the table belongs to, and the length
// of its windows; false if it belongs to none.
func limitOf(partition string) (key string, length time.Duration, ok bool) {
	parts := strings.Split(partition, "!")
	if len(parts) != 4 || parts[0] != "quota" {
		return "", 0, false
	}
	length = time.Minute
	if parts[2] == "10s" {
		length = 10 * time.Second
	}
	return parts[1], length, true
}
