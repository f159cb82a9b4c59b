package consumers

import (
	"fmt"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store/aztable"
	"spillway/tests/fakes/azurite"
)

// Against Microsoft's storage emulator: from being added to being removed, at two
// instances of which one is told nothing, and in a list of more than one page.
func TestOnAzurite(t *testing.T) {
	connection := azurite.Start(t)
	w := newWorld(t)
	instance := func() *Directory {
		c := new(clock.Clock)
		s, err := aztable.Open(t.Context(), aztable.Options{Connection: connection, Table: "consumers", OnServerDate: c.Observe})
		if err != nil {
			t.Fatal(err)
		}
		return w.directory(s, Options{Clock: c})
	}
	writer, reader := instance(), instance()
	within := func(what string, key, want string) {
		t.Helper()
		for deadline := time.Now().Add(5*time.Second + awaitTime); ; <-time.After(20 * time.Millisecond) {
			consumer, err := reader.ByKey(t.Context(), hashOf(key))
			got := ""
			if consumer != nil {
				got = consumer.Name
			}
			if err == nil && got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s is the key of %q (%v) after 5 s, want %q", what, key, got, err, want)
			}
		}
	}
	within("before anything", "one", "")
	entry := put(t, writer, define(t, "app", "one"))
	within("added", "one", "app")
	put(t, writer, define(t, "app", "two"))
	within("changed", "two", "app")
	within("changed", "one", "")
	_, err := writer.Put(t.Context(), Change{Consumer: define(t, "app", "three"), By: "ops", ETag: entry.ETag})
	wantError(t, "changed as it was seen long ago", err, ErrChanged)
	put(t, writer, parse(t, "batch", `entra: { roles: ["Batch/Run#1?"] }`))
	if found, err := writer.ByRole(t.Context(), "Batch/Run#1?"); err != nil || found == nil {
		t.Errorf("by role: %v, %v", found, err)
	}
	remove(t, writer, "app")
	within("removed", "two", "")
	put(t, writer, define(t, "app", "two"))
	within("added again", "two", "app")
	listed := 0
	for entry, err := range reader.List(t.Context()) {
		if err != nil || entry.Problem != "" {
			t.Errorf("%v: %v, %s", entry.Name, err, entry.Problem)
		}
		listed++
	}
	if listed != 2 {
		t.Errorf("%d consumers in the list, want 2", listed)
	}
	list(t, writer)
}

// list fills the table beyond one page of a query's answer, and lists it.
func list(t *testing.T, d *Directory) {
	const many = 1100
	slots := make(chan error, many)
	numbers := make(chan int)
	for range 16 {
		go func() {
			for n := range numbers {
				consumer := define(t, fmt.Sprint("many-", n), fmt.Sprint("key ", n))
				_, err := d.o.Store.Insert(t.Context(), consumerKey(consumer.Name), encodeConsumer(&consumer, "nonce", "ops", time.Now()))
				slots <- err
			}
		}()
	}
	for n := range many {
		numbers <- n
	}
	close(numbers)
	for range many {
		if err := <-slots; err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]*config.Consumer)
	for entry, err := range d.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[entry.Name] = entry.Consumer
	}
	if len(seen) != many+2 {
		t.Errorf("%d consumers in the list, want %d", len(seen), many+2)
	}
}
