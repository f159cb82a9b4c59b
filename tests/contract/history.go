package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"spillway/shared/store"
)

// Traffic says what the clients of one history do.
type Traffic struct {
	Clients    int
	Operations int // Of each client.
	Rows       int // They all write these few rows.
	Seed       uint64
	// Conflicts is what a conflict means.
	Conflicts Meaning
	// Ambiguous tells that the store loses answers: a history in which none was
	// lost is void.
	Ambiguous bool
	// Budget is the time the check may take.
	Budget time.Duration
}

// Meaning is what an answer says of the write.
type Meaning uint8

// What a conflict can mean.
const (
	// Honest: another ETag was the present one, and nothing was written.
	Honest Meaning = iota
	// Spurious: nothing was written, but the ETag may have been the right one.
	Spurious
	// Lying: nothing is certain, as behind something that sends requests twice.
	Lying
)

// History is what the clients of one run saw.
type History struct {
	traffic Traffic
	mu      sync.Mutex
	events  []event // Guarded by mu while the clients run.
}

// operation is what a client asked for.
type operation uint8

const (
	read operation = iota
	create
	swap
	remove
)

// outcome is the answer it got.
type outcome uint8

const (
	done outcome = iota
	missing
	conflict
	unknown // ErrAmbiguous: it may have happened, or happen yet.
	failed  // ErrUnavailable: nothing happened.
)

// event is one operation of a history. Every write has a value of its own, so
// that a value names the write it comes from.
type event struct {
	client       int
	row          int
	operation    operation
	expect       string // ETag of a swap or remove.
	value        string // Written, or read if it was found.
	etag         string // Given by the answer.
	outcome      outcome
	call, answer int64 // On a clock that only counts calls and answers.
}

// Record lets the clients loose on a store and returns what they saw. It works
// inside a testing/synctest bubble.
func Record(t testing.TB, s store.Store, traffic Traffic) *History {
	t.Helper()
	h := &History{traffic: traffic}
	var clock atomic.Int64
	var all sync.WaitGroup
	for i := range traffic.Clients {
		c := &client{
			t: t, store: s, id: i, rows: traffic.Rows, clock: &clock,
			random: rand.New(rand.NewPCG(traffic.Seed, uint64(i))),
			etags:  make(map[int]string),
		}
		all.Go(func() {
			for n := range traffic.Operations {
				c.step(n)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, c.events...)
		})
	}
	all.Wait()
	return h
}

// count returns how many writes of the history had an outcome.
func (h *History) count(o outcome) int {
	n := 0
	for _, e := range h.events {
		if e.outcome == o && e.operation != read {
			n++
		}
	}
	return n
}

// Check fails the test if the history has no linearization, or if too little
// happened in it to prove anything.
func (h *History) Check(t testing.TB) {
	t.Helper()
	writes, conflicts, unknowns := h.count(done), h.count(conflict), h.count(unknown)
	least := h.traffic.Clients * h.traffic.Operations / 50
	if writes < least || conflicts < least/4 || h.traffic.Ambiguous && unknowns < least/4 {
		t.Fatalf("seed %d: void: %d writes, %d conflicts, %d unknown outcomes", h.traffic.Seed, writes, conflicts, unknowns)
	}
	if err := h.verify(t.ArtifactDir()); err != nil {
		t.Fatalf("seed %d: %v", h.traffic.Seed, err)
	}
}

// verify looks for a linearization. If there is none, a picture of the history
// goes to the folder.
func (h *History) verify(folder string) error {
	operations, err := h.operations()
	if err != nil {
		return err
	}
	model := register(h.traffic.Conflicts)
	result, info := porcupine.CheckOperationsVerbose(model, operations, h.traffic.Budget)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%w within %v", errUndecided, h.traffic.Budget)
	}
	path := filepath.Join(folder, fmt.Sprintf("history-%d.html", h.traffic.Seed))
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return fmt.Errorf("%w (no picture: %v)", errNotLinearizable, err)
	}
	return fmt.Errorf("%w, see %s (go test -artifacts keeps it)", errNotLinearizable, path)
}

var (
	// errNotLinearizable is the verdict on a store that breaks its promise.
	errNotLinearizable = errors.New("not linearizable")
	// errUndecided is no verdict: the search took too long.
	errUndecided = errors.New("not decided")
)

// client is one writer and reader.
type client struct {
	t      testing.TB
	store  store.Store
	id     int
	rows   int
	clock  *atomic.Int64
	random *rand.Rand
	etags  map[int]string // Last ETag seen of each row; stale as often as not.
	events []event
}

// prefix is that of the partitions, which have a few rows each.
const prefix = "history/"

func rowKey(row int) store.Key {
	return key(fmt.Sprintf("%s%d", prefix, row/rowsOfPartition), fmt.Sprint(row))
}

const rowsOfPartition = 2

// step does one random operation.
func (c *client) step(n int) {
	e := event{client: c.id, row: c.random.IntN(c.rows), value: fmt.Sprintf("%d.%d", c.id, n)}
	etag, known := c.etags[e.row]
	at := c.random.IntN(100)
	switch {
	case at < 5:
		c.query()
		return
	case at < 50 && known:
		e.operation, e.expect = swap, etag
	case at < 54 && known:
		e.operation, e.expect = remove, etag
	case at < 64:
		e.operation = create
	default:
		e.operation = read
	}
	c.run(&e)
	c.events = append(c.events, e)
}

func (c *client) run(e *event) {
	ctx := context.Background()
	k := rowKey(e.row)
	columns := store.Columns{"Value": e.value}
	var err error
	e.call = c.clock.Add(1)
	switch e.operation {
	case read:
		var row store.Row
		row, err = c.store.Get(ctx, k)
		e.value, _ = row.Columns["Value"].(string)
		e.etag = row.ETag
	case create:
		e.etag, err = c.store.Insert(ctx, k, columns)
	case swap:
		e.etag, err = c.store.Replace(ctx, k, columns, e.expect)
	case remove:
		err = c.store.Delete(ctx, k, e.expect)
	}
	e.answer = c.clock.Add(1)
	e.outcome = c.outcome(err)
	switch {
	case e.outcome == done && e.operation != remove:
		c.etags[e.row] = e.etag
	case e.outcome != failed:
		delete(c.etags, e.row) // Read again first.
	}
}

// query reads many rows at once: those of a partition, or all. Each row it sees is one read; what it does not
// see proves nothing.
func (c *client) query() {
	filter := store.Filter{Prefix: prefix}
	if c.random.IntN(2) == 0 {
		filter = store.Filter{Partition: rowKey(c.random.IntN(c.rows)).Partition}
	}
	call := c.clock.Add(1)
	var events []event
	for row, err := range c.store.Query(context.Background(), filter) {
		if err != nil {
			c.outcome(err)
			break
		}
		e := event{client: c.id, operation: read, call: call, etag: row.ETag}
		e.value, _ = row.Columns["Value"].(string)
		if _, err := fmt.Sscan(row.Row, &e.row); err != nil || rowKey(e.row) != row.Key {
			c.t.Errorf("query: row %q", row.Key)
			continue
		}
		events = append(events, e)
	}
	answer := c.clock.Add(1)
	for _, e := range events {
		e.answer = answer
		c.events = append(c.events, e)
		c.etags[e.row] = e.etag
	}
}

func (c *client) outcome(err error) outcome {
	switch {
	case err == nil:
		return done
	case errors.Is(err, store.ErrNotFound):
		return missing
	case errors.Is(err, store.ErrConflict):
		return conflict
	case errors.Is(err, store.ErrAmbiguous):
		return unknown
	case errors.Is(err, store.ErrUnavailable):
		return failed
	}
	c.t.Errorf("client %d: %v", c.id, err)
	return failed
}
