package swarm

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// The faults stop at one moment, and a slow store may be over at that same one: in
// whatever order the two happen, the store fails no more.
func TestNothingFailsOnceTheFaultsHaveStopped(t *testing.T) {
	for name, end := range map[string]func(*world){
		"slow until then": func(w *world) { w.rates(nil); w.slow(false) },
		"slow from then":  func(w *world) { w.rates(nil); w.slow(true) },
		"over before":     func(w *world) { w.slow(false); w.rates(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, err := faultstore.New(memory.New(), faultstore.Options{Delay: [2]time.Duration{time.Second, time.Second}})
				if err != nil {
					t.Fatal(err)
				}
				w := &world{quiet: time.Now().Add(time.Minute), table: table}
				w.slow(true)
				fired := func() (n int64) {
					for range 1000 {
						_, _ = table.Get(t.Context(), store.Key{Partition: "p", Row: quota.RowKey})
					}
					for _, fault := range storeFaults() {
						n += table.Count(fault)
					}
					return n
				}
				before := fired()
				if before == 0 {
					t.Fatal("void: the store was not slow")
				}
				wait(time.Until(w.quiet))
				end(w)
				if n := fired() - before; n > 0 {
					t.Errorf("%d of 1000 calls failed, want none", n)
				}
			})
		})
	}
}
