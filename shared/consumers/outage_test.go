package consumers

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/faultstore"
)

// While the store is down what is known goes on for ever, also what would have to be
// looked at again, and what is not known is an error; nobody waits long, and the
// store is asked once a second. After it everything is as before.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		faults, err := faultstore.New(w.table, faultstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := w.directory(faults, Options{})
		put(t, d, define(t, "app", "known"))
		put(t, d, define(t, "other", "unseen"))
		known := wantKey(t, d, "known", "app") // Doubted for a minute: its change is young.
		faults.SetOutage(true)
		before := faults.Operations()
		for range 600 {
			began := time.Now()
			if got := wantKey(t, d, "known", "app"); got != known {
				t.Fatal("another pointer")
			}
			if _, err := d.ByKey(t.Context(), hashOf("unseen")); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("unknown credential: error %v", err)
			}
			if took := time.Since(began); took > 2*awaitTime {
				t.Fatalf("waited for %v, want at most %v", took, 2*awaitTime)
			}
			<-time.After(time.Second / 10)
		}
		if asked := faults.Operations() - before; asked < 20 || asked > 4*61 {
			t.Errorf("the store was asked %d times in a minute", asked)
		}
		faults.SetOutage(false)
		<-time.After(5 * time.Second)
		wantKey(t, d, "unseen", "other")
		remove(t, w.directory(w.table, Options{}), "app")
		<-time.After(5 * time.Second)
		wantKey(t, d, "known", "")
	})
}

// A store that hangs is waited for 150 ms by who is known, 2 s by who is not, and
// one look-up serves all who ask for the same.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		faults, err := faultstore.New(w.table, faultstore.Options{Delay: [2]time.Duration{time.Hour, time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		d := w.directory(faults, Options{})
		put(t, d, define(t, "app", "known"))
		wantKey(t, d, "known", "app")
		if err := faults.SetRates(map[faultstore.Fault]float64{faultstore.Delayed: 1}); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		began := time.Now()
		wantKey(t, d, "known", "app")
		if took := time.Since(began); took > 2*awaitTime {
			t.Errorf("a known key waited for %v, want at most %v", took, 2*awaitTime)
		}
		before := faults.Operations()
		began = time.Now()
		ended := make(chan error)
		for range 100 {
			go func() {
				_, err := d.ByKey(t.Context(), hashOf("unknown"))
				ended <- err
			}()
		}
		for range 100 {
			wantError(t, "unknown key", <-ended, ErrUnavailable)
		}
		if took := time.Since(began); took > lookupTime+awaitTime {
			t.Errorf("unknown keys waited for %v, want at most %v", took, lookupTime+awaitTime)
		}
		if asked := faults.Operations() - before; asked != 1 {
			t.Errorf("the store was asked %d times for one key, want once", asked)
		}
		d.Settle(t.Context())
	})
}
