package app

import (
	"sync"
	"testing"

	"spillway/functions/gateway"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/lease"
	"spillway/shared/store/memory"
)

func emptyRoster(t *testing.T) *roster {
	t.Helper()
	leases, err := lease.New(lease.Options{Store: memory.New(), Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return newRoster(nil, nil, leases, new(clock.Clock), &topology{})
}

// defined is a definition of the consumer search, and no other.
func defined(tokens int64) *config.Definition {
	return &config.Definition{Consumer: &config.Consumer{Name: "search", TokensPerMinute: tokens}}
}

// However many requests come first together, all are of one consumer, whose limits
// remember what was told of them.
func TestAConsumerIsMadeOnce(t *testing.T) {
	r := emptyRoster(t)
	definition := defined(1000)
	var all [50]*gateway.Consumer
	var requests sync.WaitGroup
	for i := range all {
		requests.Go(func() { all[i] = r.consumer(definition) })
	}
	requests.Wait()
	for i, c := range all {
		if c != r.known("search") {
			t.Errorf("request %d is of another consumer", i)
		}
	}
}

// A request that has found a definition just before it was replaced, or its consumer
// removed, finds nothing made of it: the limits may have been given up. It is of a
// consumer as good as any, and so is the next one that comes with the new definition.
func TestADefinitionThatIsOutOfUse(t *testing.T) {
	r := emptyRoster(t)
	before, after := defined(1000), defined(2000)
	old := r.consumer(before)
	for _, step := range []struct {
		name       string
		definition *config.Definition
	}{{"replaced", after}, {"late", before}, {"again", after}} {
		last := r.known("search")
		c := r.consumer(step.definition)
		if c == last || c == old || c != r.known("search") || c != r.consumer(step.definition) {
			t.Errorf("%s: the consumer is not the one of the last definition", step.name)
		}
	}
	r.remove("search")
	if r.known("search") != nil || made(before) != nil || made(after) != nil {
		t.Error("a consumer that was removed is still known")
	}
}
