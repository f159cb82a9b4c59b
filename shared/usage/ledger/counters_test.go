package ledger

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"spillway/shared/usage"
)

// A counter is found by its key, however many there are, until its page is taken out or
// another hour begins. There are so many that some have the same hash.
func TestCountersAreFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	kinds := []*usage.Dimensions{{Model: "a"}, {Model: "a"}, {Model: "b"}}
	c := newCounters()
	var pages []*page // of both hours
	for range 2 {
		held := make(map[counterKey]counter)
		for n := range 200_000 {
			if n%200 == 0 {
				pages = append(pages, new(page))
				c.open(pages[len(pages)-1])
			}
			k := counterKey{"team-" + strconv.Itoa(n/2), kinds[n%2+n/2%2]}
			if found := c.find(k); found.page != nil {
				t.Fatalf("%+v is found before it is added", k)
			}
			held[k] = c.add(k, pages[len(pages)-1])
			if random.IntN(20_000) == 0 {
				gone := pages[random.IntN(len(pages)-1)]
				c.remove(gone)
				for _, k := range gone.keys {
					if held[k].page == gone {
						delete(held, k)
					}
				}
			}
		}
		if c.used != len(held) {
			t.Errorf("%d counters are held, want %d", c.used, len(held))
		}
		for n := range 100_000 {
			for _, kind := range kinds {
				k := counterKey{"team-" + strconv.Itoa(n), kind}
				if found := c.find(k); found != held[k] {
					t.Fatalf("%+v is found at %+v, want %+v", k, found, held[k])
				}
			}
		}
		c.clear()
		if found := c.find(pages[len(pages)-1].keys[0]); found.page != nil || c.used != 0 {
			t.Errorf("after the hour %d counters are held, and one is found at %+v", c.used, found)
		}
	}
}
