package objects

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store/aztable"
	"spillway/tests/fakes/azurite"
)

// Against Microsoft's storage emulator: two instances over one table put, find,
// settle, list and delete, with names of any kind, a list of more than one page, and
// sweeps that take what has expired and nothing else.
func TestOnAzurite(t *testing.T) {
	connection := azurite.Start(t)
	instance := func() *Registry {
		c := new(clock.Clock)
		s, err := aztable.Open(t.Context(), aztable.Options{Connection: connection, Table: "objects", OnServerDate: c.Observe})
		if err != nil {
			t.Fatal(err)
		}
		return open(t, s, Options{Clock: c})
	}
	writer, reader := instance(), instance()
	o := response("resp_" + strings.Repeat("0aF-", 12))
	put(t, writer, o)
	put(t, reader, o)
	mine, got := want(t, writer, o, true), want(t, reader, o, true)
	if mine != got || got.Tags != o.Tags || !got.Pending || got.Estimated != o.Estimated || !got.Spilled || got.Expires.Sub(got.Created) != Keep {
		t.Errorf("the writer has\n%+v, the reader\n%+v", mine, got)
	}
	settleAtOnce(t, o, writer, reader, instance())
	if got := want(t, instance(), o, true); got.Pending {
		t.Error("it was settled and is pending")
	}
	names := file("büro & co/1#?", "file-1.2_x")
	put(t, writer, names)
	want(t, reader, names, true)
	if err := reader.Delete(t.Context(), names.Consumer, names.Kind, names.ID); err != nil {
		t.Fatal(err)
	}
	want(t, instance(), names, false)
	put(t, writer, names)
	want(t, instance(), names, false)
	manyFiles(t, writer, instance())
}

// settleAtOnce has several instances settle an object, of which one is first.
func settleAtOnce(t *testing.T, o Object, registries ...*Registry) {
	t.Helper()
	firsts := make(chan bool)
	for _, r := range registries {
		go func() {
			first, err := r.Settle(t.Context(), o)
			if err != nil {
				t.Error(err)
			}
			firsts <- first
		}()
	}
	sum := 0
	for range registries {
		if <-firsts {
			sum++
		}
	}
	if sum != 1 {
		t.Errorf("%d were first, want 1", sum)
	}
}

// manyFiles fills the table beyond one page of a query's answer, lists all that have
// not expired, and sweeps the others.
func manyFiles(t *testing.T, r, reader *Registry) {
	t.Helper()
	const kept, expired = 1010, 310
	var group sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		group.Go(func() {
			for n := range numbers {
				o := file("many", fmt.Sprint("file-", n))
				if n >= kept {
					o.Created = time.Now().Add(-2 * Keep)
				}
				if err := r.Put(t.Context(), o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range kept + expired {
		numbers <- n
	}
	close(numbers)
	group.Wait()
	if n := len(listed(t, reader, "many", File)); n != kept {
		t.Errorf("%d files in the list, want %d", n, kept)
	}
	for _, want := range []int{sweepMost, expired - sweepMost, 0} {
		if n, err := reader.sweepPart(t.Context(), partOf("many")); n != want || err != nil {
			t.Errorf("%d rows swept (%v), want %d", n, err, want)
		}
	}
	if n := len(listed(t, r, "many", File)); n != kept {
		t.Errorf("%d files in the list after the sweep, want %d", n, kept)
	}
}
