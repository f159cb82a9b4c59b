// Package search explores every state that a model can reach, breadth first and
// on all processors, and gives the shortest way to one that breaks a rule.
//
// A model is a set of first states and a function that lists what may happen
// next. The visited states are kept as 64-bit fingerprints (hash compaction:
// Wolper and Leroy, Reliable hashing without collision detection, 1993), each
// with the fingerprint of the state it was first reached from, so that ten
// million states take about 300 MB. Two different states with one fingerprint
// are taken for one: the second, and what only it leads to, would be left out.
// Result.Omission bounds how likely that was. The fingerprints are seeded anew in
// every process, so a run that is repeated is independent evidence. Options.Exact
// keeps the states themselves instead.
package search

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Model is what is searched. Its functions are called from several goroutines at
// once and must depend on their arguments alone.
//
// A state is a value: everything it consists of must be compared by ==. Arrays
// and structs of small integers are fastest, without padding between the fields.
type Model[S comparable] struct {
	// Initial are the states to begin with. At least one.
	Initial []S
	// Next calls step for everything that may happen in a state, with a name for
	// it and the state it leads to. The names are those of the trace, and what
	// Result.Steps counts; constants cost nothing.
	Next func(s S, step func(label string, next S))
	// Check says what is wrong with a state, if anything is. Optional.
	Check func(s S) error
	// CheckStep says what is wrong with a step, if anything is: for rules such as
	// that something only grows. It sees every step, also those that lead to a
	// state already known. Optional.
	CheckStep func(before, after S) error
}

// Options bound a search.
type Options struct {
	// MaxStates cuts the search off after about so many states; 0: no bound.
	MaxStates int
	// MaxBytes cuts the search off when the visited set and the states yet to be
	// looked at need more memory; 0: 1 GB.
	MaxBytes int64
	// Exact keeps whole states instead of fingerprints, for small searches: it
	// costs several times the memory, which MaxBytes then bounds only roughly, and
	// one lock is all its workers share.
	Exact bool
	// Workers is how many goroutines search; 0: GOMAXPROCS.
	Workers int
}

// Result is what a search found.
type Result struct {
	// States is the number of different states reached, Transitions the number of
	// steps taken to reach them, Depth the most steps that any of them needs.
	States      int
	Transitions int64
	Depth       int
	// Complete says that every state was reached and none breaks a rule. Without
	// a Violation it is false if the search was cut off.
	Complete bool
	// Violation is a shortest way to a state that breaks a rule, nil if there is
	// none among the states reached.
	Violation *Violation
	// Steps counts the transitions by label: a step that never happened proves
	// nothing.
	Steps map[string]int64
	// Omission bounds the probability that two different states had the same
	// fingerprint; 0 if the search was exact.
	Omission float64
	// Took is how long the search took, Bytes how much memory its visited set and
	// its frontier needed at most.
	Took  time.Duration
	Bytes int64
}

// String tells the figures in one line.
func (r Result) String() string {
	end := "complete"
	switch {
	case r.Violation != nil:
		end = "violated"
	case !r.Complete:
		end = "CUT OFF"
	}
	return fmt.Sprintf("%s: %d states, %d transitions, depth %d, %.1f s, %.0f states/s, %d MB, states left out with p ≤ %.1g",
		end, r.States, r.Transitions, r.Depth, r.Took.Seconds(), float64(r.States)/max(r.Took.Seconds(), 1e-9), r.Bytes>>20, r.Omission)
}

// Search explores the model until it is complete, a rule is broken or a bound is
// reached.
func Search[S comparable](m Model[S], o Options) Result {
	began := time.Now()
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxStates <= 0 {
		o.MaxStates = math.MaxInt
	}
	e := &explorer[S]{model: m, options: o, steps: make(map[string]int64)}
	if o.Exact {
		e.visited = newExact[S]()
	} else {
		e.visited = newCompact[S]()
	}
	e.run()
	states := e.visited.len()
	r := Result{
		States: states, Transitions: e.transitions, Depth: e.depth, Steps: e.steps,
		Complete: e.found == nil && !e.cut.Load(), Took: time.Since(began), Bytes: e.bytes,
	}
	if !o.Exact {
		r.Omission = min(1, float64(states)*float64(states)/math.Exp2(65))
	}
	if e.found != nil {
		r.Violation = &Violation{Err: e.found.err, Trace: e.trace(e.found)}
		r.Took = time.Since(began)
	}
	return r
}

// batch is how many states a worker takes from the frontier at once.
const batch = 1024

// explorer is one search.
type explorer[S comparable] struct {
	model   Model[S]
	options Options
	visited set[S]
	depth   int
	bytes   int64
	cut     atomic.Bool // A bound was reached.
	stop    atomic.Bool // A rule is broken.
	next    atomic.Int64

	mu          sync.Mutex
	found       *finding[S] // Guarded by mu, as all below while workers run.
	fresh       [][]S       // The next frontier.
	spare       [][]S       // Batches to use again.
	steps       map[string]int64
	transitions int64
}

// finding is a broken rule: the last state but one (if step), and the last.
type finding[S comparable] struct {
	err    error
	before S
	state  S
	step   bool // before → state was the last step; else state is an initial one.
}

// run searches level by level.
func (e *explorer[S]) run() {
	w := e.worker()
	for _, s := range e.model.Initial {
		if e.visited.add(s, s) {
			w.emit(s)
			w.examine(s, s, true, false)
		}
	}
	w.flush()
	for {
		level := e.fresh
		if e.fresh = nil; len(level) == 0 || e.stop.Load() {
			return
		}
		e.next.Store(0)
		var group sync.WaitGroup
		for range e.options.Workers {
			group.Go(func() { e.worker().work(level) })
		}
		group.Wait()
		left := 0 // Batches not worked off: the search was ended.
		for _, b := range level {
			if b != nil {
				left++
			}
		}
		e.bytes = max(e.bytes, e.held(left))
		if e.stop.Load() || e.cut.Load() {
			e.depth++
			return
		}
		if len(e.fresh) > 0 {
			e.depth++
		}
	}
}

// held is the memory in use, with so many batches of the present level.
func (e *explorer[S]) held(level int) int64 {
	var s S
	e.mu.Lock()
	batches := len(e.fresh) + len(e.spare) + level
	e.mu.Unlock()
	return e.visited.bytes() + int64(batches)*batch*int64(unsafe.Sizeof(s))
}

// worker is what one goroutine gathers.
type worker[S comparable] struct {
	*explorer[S]
	out         []S
	steps       map[string]int64
	transitions int64
}

func (e *explorer[S]) worker() *worker[S] {
	return &worker[S]{explorer: e, steps: make(map[string]int64)}
}

// work takes batches of a level until none is left.
func (w *worker[S]) work(level [][]S) {
	defer w.flush()
	var current S
	step := func(label string, next S) {
		w.transitions++
		w.steps[label]++
		fresh := w.visited.add(next, current)
		if fresh {
			w.emit(next)
		}
		w.examine(current, next, fresh, true)
	}
	for !w.stop.Load() && !w.cut.Load() {
		i := int(w.next.Add(1)) - 1
		if i >= len(level) {
			return
		}
		for _, current = range level[i] {
			w.model.Next(current, step)
		}
		w.recycle(level, i)
		if w.visited.len() > w.options.MaxStates || w.held(len(level)-i) > w.options.MaxBytes {
			w.cut.Store(true)
		}
	}
}

// examine asks the rules about a state, if it is fresh, and the step to it, if it
// was one.
func (w *worker[S]) examine(before, state S, fresh, step bool) {
	var err error
	if fresh && w.model.Check != nil {
		err = w.model.Check(state)
	}
	if err == nil && step && w.model.CheckStep != nil {
		err = w.model.CheckStep(before, state)
	}
	if err != nil {
		w.finish(before, state, step, err)
	}
}

// finish notes the first broken rule and ends the search.
func (w *worker[S]) finish(before, state S, step bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found == nil {
		w.found = &finding[S]{err: err, before: before, state: state, step: step}
		w.stop.Store(true)
	}
}

// emit puts a state into the next frontier.
func (w *worker[S]) emit(s S) {
	if len(w.out) == cap(w.out) {
		w.flushBatch()
	}
	w.out = append(w.out, s)
}

// flushBatch hands a full batch over and takes an empty one.
func (w *worker[S]) flushBatch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.out) > 0 {
		w.fresh = append(w.fresh, w.out)
	}
	if n := len(w.spare); n > 0 {
		w.out, w.spare = w.spare[n-1][:0], w.spare[:n-1]
		return
	}
	w.out = make([]S, 0, batch)
}

// recycle keeps a batch that was worked off for another use.
func (w *worker[S]) recycle(level [][]S, i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(level[i]) == batch {
		w.spare = append(w.spare, level[i])
	}
	level[i] = nil
}

// flush hands everything over.
func (w *worker[S]) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.out) > 0 {
		w.fresh = append(w.fresh, w.out)
		w.out = nil
	}
	for label, n := range w.steps {
		w.explorer.steps[label] += n
	}
	clear(w.steps)
	w.explorer.transitions += w.transitions
	w.transitions = 0
}

// Missing returns those of the labels that no step of the results had: what never
// happened was not tested.
func Missing(labels []string, results ...Result) []string {
	var missing []string
	for _, label := range labels {
		if !slices.ContainsFunc(results, func(r Result) bool { return r.Steps[label] > 0 }) {
			missing = append(missing, label)
		}
	}
	return missing
}
