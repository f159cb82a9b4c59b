package contract

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azurite"
	"spillway/tests/fakes/faultstore"
)

func TestMemory(t *testing.T) {
	Run(t, func(testing.TB) store.Store { return memory.New() })
}

func TestFaultstoreWithoutFaults(t *testing.T) {
	Run(t, func(t testing.TB) store.Store { return withFaults(t, faultstore.Options{}) })
}

func TestAzurite(t *testing.T) {
	Run(t, onAzurite(t))
}

func withFaults(t testing.TB, o faultstore.Options) *faultstore.Store {
	t.Helper()
	s, err := faultstore.New(memory.New(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var tables atomic.Int64

// onAzurite returns a function that opens tables which do not exist yet.
func onAzurite(t testing.TB) func(testing.TB) store.Store {
	t.Helper()
	connection := azurite.Start(t)
	return func(t testing.TB) store.Store {
		t.Helper()
		s, err := aztable.Open(context.Background(), aztable.Options{
			Connection: connection,
			Table:      fmt.Sprintf("contract%d", tables.Add(1)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
