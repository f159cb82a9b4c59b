package consumers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// hashOf is the hash of a key.
func hashOf(key string) config.KeyHash { return sha256.Sum256([]byte(key)) }

// define is a consumer with these keys.
func define(t testing.TB, name string, keys ...string) config.Consumer {
	t.Helper()
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = fmt.Sprintf("%q", hashOf(key).Reveal())
	}
	return parse(t, name, "keys: ["+strings.Join(hashes, ", ")+"]")
}

func parse(t testing.TB, name, text string) config.Consumer {
	t.Helper()
	consumer, err := config.ParseConsumer(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return consumer
}

// world is a table and the directories over it.
type world struct {
	t     testing.TB
	table *memory.Store
	mu    sync.Mutex
	told  []Event // Guarded by mu.
	seeds uint64  // Directories opened. Guarded by mu.
}

func newWorld(t testing.TB) *world { return &world{t: t, table: memory.New()} }

// directory opens a directory over a store; o may hold further options.
func (w *world) directory(s store.Store, o Options) *Directory {
	w.t.Helper()
	o.Store = s
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	w.mu.Lock()
	w.seeds++
	random := rand.New(rand.NewPCG(7, w.seeds))
	w.mu.Unlock()
	var mu sync.Mutex
	o.Random = func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Uint64N(n)
	}
	o.Events = func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, e)
	}
	d, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// events are those of one kind.
func (w *world) events(kind EventKind) []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.told), func(e Event) bool { return e.Kind != kind })
}

// put makes a change that must succeed.
func put(t testing.TB, d *Directory, consumer config.Consumer) Entry {
	t.Helper()
	entry, err := d.Put(t.Context(), Change{Consumer: consumer, By: "ops"})
	if err != nil {
		t.Fatalf("put %s: %v", consumer.Name, err)
	}
	return entry
}

// remove makes a removal that must succeed.
func remove(t testing.TB, d *Directory, name string) {
	t.Helper()
	if err := d.Remove(t.Context(), Change{Consumer: config.Consumer{Name: name}, By: "ops"}); err != nil {
		t.Fatalf("remove %s: %v", name, err)
	}
}

// wantKey checks whose a key is; "" is nobody.
func wantKey(t testing.TB, d *Directory, key, want string) *config.Definition {
	t.Helper()
	consumer, err := d.ByKey(t.Context(), hashOf(key))
	got := ""
	if consumer != nil {
		got = consumer.Name
	}
	if err != nil || got != want {
		t.Errorf("%s is the key of %q, error %v; want %q", key, got, err, want)
	}
	return consumer
}

// counting counts the point reads of a store.
type counting struct {
	store.Store
	mu   sync.Mutex
	gets int // Guarded by mu.
}

func (c *counting) Get(ctx context.Context, key store.Key) (store.Row, error) {
	c.mu.Lock()
	c.gets++
	c.mu.Unlock()
	return c.Store.Get(ctx, key)
}

// asked returns how many point reads there were since the last call.
func (c *counting) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.gets = 0 }()
	return c.gets
}

// logRows are the rows of the log, the oldest first.
func (w *world) logRows() []store.Row {
	w.t.Helper()
	var rows []store.Row
	for row, err := range w.table.Query(context.Background(), store.Filter{Partition: logPartition, RowTo: "a"}) {
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// wantError checks the kind of an error.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
