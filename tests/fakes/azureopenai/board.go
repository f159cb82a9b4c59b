package azureopenai

import (
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// faultBoard holds the faults that are active.
type faultBoard struct {
	mu     sync.Mutex
	dice   *rand.Rand     // guarded by mu
	next   int64          // guarded by mu
	active []*activeFault // guarded by mu
}

type activeFault struct {
	id      int64
	fault   Fault
	until   time.Time // zero: no end
	seen    int64
	fired   int64
	removed chan struct{} // closed when the fault is taken back
}

// subject is what a fault's conditions look at.
type subject struct {
	deployment string
	operation  Operation
	stream     bool
	header     http.Header
}

// plan is what goes wrong with one request.
type plan struct {
	delay time.Duration
	fault *activeFault // nil: nothing else
	lower bool         // a lower-limit fault was counted
}

func (b *faultBoard) seed(seed uint64) {
	b.dice = rand.New(rand.NewPCG(seed, 0xfa017))
}

// Inject makes a fault active and returns its number. Faults are tried in the
// order in which they were injected; a request is hit by every delay and
// lower-limit that applies and by the first of the others. FaultLowerLimit
// looks at Match.Deployment, For and Times only. Inject panics if
// Fault.Validate finds an error.
func (s *Server) Inject(f Fault) int64 {
	if err := f.Validate(); err != nil {
		panic("azureopenai: " + err.Error())
	}
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	a := &activeFault{id: b.next, fault: f, removed: make(chan struct{})}
	if f.For > 0 {
		a.until = time.Now().Add(f.For)
	}
	b.active = append(b.active, a)
	return a.id
}

// Remove takes a fault back and lets go on what hangs in it. It returns false
// if the fault had ended already.
func (s *Server) Remove(id int64) bool {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, a := range b.active {
		if a.id == id {
			ended := a.over(time.Now())
			close(a.removed)
			b.active = append(b.active[:i:i], b.active[i+1:]...)
			return !ended
		}
	}
	return false
}

// Clear takes all faults back.
func (s *Server) Clear() {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.active {
		close(a.removed)
	}
	b.active = nil
}

// Faults returns the faults that are still active.
func (s *Server) Faults() []ActiveFault {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	all := []ActiveFault{}
	for _, a := range b.active {
		if !a.over(now) {
			all = append(all, ActiveFault{ID: a.id, Fault: a.fault, Fired: a.fired})
		}
	}
	return all
}

// over says whether the fault can hit nothing more.
func (a *activeFault) over(now time.Time) bool {
	return (a.fault.Times > 0 && a.fired >= a.fault.Times) || (!a.until.IsZero() && !now.Before(a.until))
}

func (m Match) matches(s subject) bool {
	if (m.Deployment != "" && m.Deployment != s.deployment) ||
		(m.Operation != "" && m.Operation != s.operation) ||
		(m.Stream != "" && m.Stream != strconv.FormatBool(s.stream)) {
		return false
	}
	for name, value := range m.Header {
		if s.header.Get(name) != value {
			return false
		}
	}
	return true
}

// pick decides what goes wrong with a request. Faults for which want is false
// are left alone.
func (b *faultBoard) pick(s subject, now time.Time, want func(FaultKind) bool) plan {
	b.mu.Lock()
	defer b.mu.Unlock()
	var p plan
	for _, a := range b.active {
		f := a.fault
		combines := f.Kind == FaultDelay || f.Kind == FaultLowerLimit
		if a.over(now) || !want(f.Kind) || !f.Match.matches(s) || (p.fault != nil && !combines) {
			continue
		}
		if f.Kind == FaultLowerLimit {
			a.fired++
			p.lower = true
			continue
		}
		if a.seen++; a.seen <= f.After || (f.Probability > 0 && b.dice.Float64() >= f.Probability) {
			continue
		}
		a.fired++
		if f.Kind == FaultDelay {
			p.delay += f.Delay
		} else {
			p.fault = a
		}
	}
	return p
}

// lowered is the smallest limit a temporary adjustment imposes; 0: none.
func (b *faultBoard) lowered(deployment string, now time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lowest int64
	for _, a := range b.active {
		m := a.fault.Match.Deployment
		if a.fault.Kind == FaultLowerLimit && !a.over(now) && (m == "" || m == deployment) &&
			(lowest == 0 || a.fault.Limit < lowest) {
			lowest = a.fault.Limit
		}
	}
	return lowest
}

// any says whether an active fault is of the kind.
func (b *faultBoard) any(kind FaultKind) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.active {
		if a.fault.Kind == kind {
			return true
		}
	}
	return false
}

// dice are the random choices of one answer.
type dice struct{ *rand.Rand }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newDice(seed uint64, body []byte, number int64) dice {
	return dice{rand.New(rand.NewPCG(seed^uint64(crc32.Checksum(body, castagnoli))<<16, uint64(number)))}
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// name returns n random letters and digits.
func (d dice) name(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphanumeric[d.IntN(len(alphanumeric))]
	}
	return string(b)
}

// hex returns n random hexadecimal digits.
func (d dice) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[d.IntN(16)]
	}
	return string(b)
}

// uuid returns a random UUID.
func (d dice) uuid() string {
	return d.hex(8) + "-" + d.hex(4) + "-4" + d.hex(3) + "-a" + d.hex(3) + "-" + d.hex(12)
}

// jitter multiplies a duration by a factor from [1−j, 1+j].
func (d dice) jitter(t time.Duration, j float64) time.Duration {
	if j == 0 || t == 0 {
		return t
	}
	return time.Duration(float64(t) * (1 - j + 2*j*d.Float64()))
}
