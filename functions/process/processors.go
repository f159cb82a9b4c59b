package process

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"time"
)

// Go wakes a sleeping processor whenever one finds work, to look for more, and for a
// gateway, whose requests take microseconds between long waits, there is none: it goes
// back to sleep. With two processors, half busy, that is a fifth of what a request costs.
// (https://github.com/golang/go/issues/54622 tells why Go does so, and what it costs
// others.) One processor that is awake anyway is sooner at a request than another that
// must be woken.
const (
	// How often the load is looked at: what comes meanwhile has to do with the processors
	// that there are. Each look wakes up a process that has nothing to do, so then there
	// are fewer.
	watchEvery = 100 * time.Millisecond
	idleEvery  = 500 * time.Millisecond
	idleBelow  = 0.05 // processors kept busy
	// Processors are too few where goroutines wait for them, more than someWait of them
	// longer than waitAfter, and each is busy for more than waitedAt of its time. As long as
	// nobody waits they are not, however busy: clients that ask again as soon as they are
	// answered can keep one processor busy all the time, and no request waits longer than
	// the turns of the others take. It takes a fifth less of its time than of two that are
	// half busy. Fewer are enough if none of these would be busy beyond fullAt.
	waitAfter = 250 * time.Microsecond
	someWait  = 0.1
	waitedAt  = 0.6
	fullAt    = 0.9
	// Nothing tells how many more there is work for if those that there are have no time
	// left, nor if more than mostLate of the goroutines have waited longer than lateAfter:
	// other processes have taken the time, or work is rare and long.
	lateAfter = time.Millisecond
	mostLate  = 0.25
	// calm is for how long all looks must find that fewer would do.
	calm = time.Second
)

// processors is how many processors run Go code.
type processors struct {
	most int           // All that the process may use.
	now  int           // 1 to most.
	calm time.Duration // For how long all looks have found that fewer would do.
	need int           // The most that any of these has asked for.
}

// use is what a process has made of its processors for a while.
type use struct {
	long    time.Duration
	busy    float64 // How many it has kept busy, on average.
	waiting float64 // The part of its goroutines that have waited for one.
	late    float64 // The part that has waited long.
}

// after is how many are right after such use: more at once where goroutines wait, and all
// where it does not tell how many; fewer only after a while.
func (p processors) after(u use) processors {
	full := fullAt
	waited := u.waiting > someWait
	if waited {
		full = waitedAt
	}
	want := min(max(int(math.Ceil(u.busy/full)), 1), p.most)
	switch {
	case u.late > mostLate, waited && u.busy > fullAt*float64(p.now):
		want = p.most
	case !waited:
		want = min(want, p.now)
	}
	if want >= p.now {
		return processors{most: p.most, now: want}
	}
	p.calm += u.long
	p.need = max(p.need, want)
	if p.calm >= calm {
		return processors{most: p.most, now: p.need}
	}
	return p
}

// next is when to look again.
func (u use) next() time.Duration {
	if u.busy < idleBelow {
		return idleEvery
	}
	return watchEvery
}

// running is how many are to run now. While garbage is swept there are two at least: with
// a single one Go's sweeper hands over to whoever is ready, and has its next turn before
// anybody looks whether something came from the network
// (https://github.com/golang/go/issues/56060). All that came within the 3 ms that 40 MB take
// it waited for the end of them, once a second at half load, and that was what made requests
// late: their p99 is 0.9 to 1.0 ms with two, and was 1.3 to 2.3 with one.
func (p processors) running(sweeping bool) int {
	if sweeping {
		return max(p.now, 2)
	}
	return p.now
}

// set lets so many run. While all are in use Go follows by itself what a control group is
// given, more processors or fewer.
func (p *processors) set(sweeping bool) {
	if n := p.running(sweeping); n != p.most {
		runtime.GOMAXPROCS(n)
		return
	}
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	if p.now == p.most {
		p.now = all
	}
	p.most = all
}

// TuneProcessors lets as few processors run Go code as the load needs, for the whole
// process and until the context is done; then all of them may. Where GOMAXPROCS is set it
// leaves the choice to that.
func TuneProcessors(ctx context.Context) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	m, ok := newMeter()
	if !ok {
		return
	}
	most := runtime.GOMAXPROCS(0)
	p := processors{most: most, now: most}
	defer runtime.SetDefaultGOMAXPROCS()
	began := sweeps(ctx)
	var ended <-chan time.Time // nil: nothing is being swept.
	look := time.NewTimer(watchEvery)
	defer look.Stop()
	for {
		before := p.running(ended != nil)
		select {
		case <-ctx.Done():
			return
		case <-began:
			ended = time.After(sweepTime())
		case <-ended:
			ended = nil
		case <-look.C:
			seen := m.read()
			look.Reset(seen.next())
			p = p.after(seen)
		}
		if p.running(ended != nil) != before {
			p.set(ended != nil)
		}
	}
}

// meter measures use since it was last read.
type meter struct {
	at    time.Time
	used  time.Duration // Processor time of the process.
	waits []metrics.Sample
	ready delays
}

// delays is how many goroutines have become ready, and how long they waited to run.
type delays struct {
	all     uint64
	waiting uint64 // Longer than waitAfter.
	late    uint64 // Longer than lateAfter.
}

// newMeter tells whether this system says how much processor time a process has used.
func newMeter() (m *meter, ok bool) {
	if _, ok := processorTime(); !ok {
		return nil, false
	}
	m = &meter{waits: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
	m.read()
	return m, true
}

func (m *meter) read() (u use) {
	at := time.Now()
	used, _ := processorTime()
	metrics.Read(m.waits)
	ready := count(m.waits[0].Value.Float64Histogram())
	if u.long = at.Sub(m.at); u.long > 0 {
		u.busy = float64(used-m.used) / float64(u.long)
	}
	if ready.all > m.ready.all {
		all := float64(ready.all - m.ready.all)
		u.waiting = float64(ready.waiting-m.ready.waiting) / all
		u.late = float64(ready.late-m.ready.late) / all
	}
	m.at, m.used, m.ready = at, used, ready
	return u
}

// count counts the goroutines of a histogram by the seconds that they have waited.
func count(h *metrics.Float64Histogram) (d delays) {
	for i, n := range h.Counts {
		d.all += n
		if h.Buckets[i] >= waitAfter.Seconds() {
			d.waiting += n
		}
		if h.Buckets[i] >= lateAfter.Seconds() {
			d.late += n
		}
	}
	return d
}
