package process

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/await"
)

// More processors run Go code as soon as goroutines wait for those that do, and all of them
// where those have no time left or goroutines wait too long. However busy they are, as long
// as nobody waits there are no more. Fewer do only after all looks of a second have found that
// they would be enough, and then as many as the busiest of these needed.
func TestProcessorsFollowTheLoad(t *testing.T) {
	type look struct {
		use
		times int
		want  int // after all of them
	}
	idle := use{}
	rare := use{long: 500 * time.Millisecond} // The others are looked at every tenth of a second.
	waited := func(busy float64) use { return use{busy: busy, waiting: 0.11} }
	for name, test := range map[string]struct {
		most, now int
		looks     []look
	}{
		"nothing to do":                      {8, 8, []look{{idle, 9, 8}, {idle, 1, 1}, {idle, 100, 1}}},
		"nothing to do, looked at rarely":    {8, 8, []look{{rare, 1, 8}, {rare, 1, 1}}},
		"as busy as one may be":              {8, 1, []look{{waited(0.6), 20, 1}}},
		"busier":                             {8, 1, []look{{waited(0.61), 1, 2}, {waited(1.3), 1, 3}, {waited(2.4), 1, 4}}},
		"all that there are are busy":        {8, 2, []look{{waited(1.81), 1, 8}, {waited(2.3), 9, 8}, {waited(2.3), 1, 4}}},
		"busy, and nobody waits":             {8, 1, []look{{use{busy: 1}, 20, 1}, {use{busy: 1, waiting: 0.1}, 20, 1}}},
		"nobody waits any more":              {8, 2, []look{{waited(0.9), 20, 2}, {use{busy: 0.91}, 20, 2}, {use{busy: 0.9}, 9, 2}, {use{busy: 0.9}, 1, 1}}},
		"not busy, but late":                 {8, 2, []look{{use{busy: 0.1, late: 0.25}, 1, 2}, {use{busy: 0.1, late: 0.26}, 1, 8}, {use{busy: 0.1}, 10, 1}}},
		"late with all that there are":       {2, 2, []look{{use{late: 1}, 30, 2}}},
		"a burst between":                    {4, 4, []look{{idle, 9, 4}, {waited(2.3), 1, 4}, {idle, 9, 4}, {idle, 1, 1}}},
		"the busiest look decides":           {8, 8, []look{{idle, 5, 8}, {waited(1.7), 1, 8}, {idle, 4, 3}}},
		"what was asked for before is past":  {8, 8, []look{{waited(3), 10, 5}, {idle, 9, 5}, {idle, 1, 1}}},
		"more than there are":                {2, 1, []look{{waited(9), 1, 2}}},
		"a clock that went back, or stalled": {8, 4, []look{{use{busy: -3}, 10, 1}}},
	} {
		p := processors{most: test.most, now: test.now}
		for i, l := range test.looks {
			l.long = max(l.long, watchEvery)
			for range l.times {
				p = p.after(l.use)
				if p.now < 1 || p.now > test.most {
					t.Fatalf("%s, look %d: %d processors, want 1 to %d", name, i, p.now, test.most)
				}
			}
			if p.now != l.want {
				t.Errorf("%s, look %d: %d processors, want %d", name, i, p.now, l.want)
			}
		}
	}
}

// While garbage is swept one processor is not enough, wherever it is: with a single one
// nobody asks the network meanwhile.
func TestTwoProcessorsRunWhileGarbageIsSwept(t *testing.T) {
	for _, test := range []struct {
		now      int
		sweeping bool
		want     int
	}{{1, false, 1}, {1, true, 2}, {2, false, 2}, {2, true, 2}, {8, true, 8}} {
		if got := (processors{most: 8, now: test.now}).running(test.sweeping); got != test.want {
			t.Errorf("%d processors, sweeping %v: %d run, want %d", test.now, test.sweeping, got, test.want)
		}
	}
}

// Each collection is told, but not how many if nobody looked; and none once the context
// is done.
func TestSweepsAreTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	began := sweeps(ctx)
	told := func() bool {
		select {
		case <-began:
			return true
		default:
			return false
		}
	}
	for range 3 {
		await.That(t, "a collection is told", func() bool {
			runtime.GC() // Finalizers run some time after.
			return told()
		})
	}
	cancel()
	runtime.GC()
	told() // It may have been on its way.
	for range 20 {
		if runtime.GC(); told() {
			t.Fatal("a collection is told after the end")
		}
	}
}

// A process that has nothing to do is not woken up as often.
func TestIdleProcessesAreLookedAtRarely(t *testing.T) {
	for busy, want := range map[float64]time.Duration{0: idleEvery, 0.049: idleEvery, 0.05: watchEvery, 3: watchEvery} {
		if got := (use{busy: busy}).next(); got != want {
			t.Errorf("%v processors busy: after %v, want %v", busy, got, want)
		}
	}
}

// Goroutines have waited, and are late, from the bounds on.
func TestGoroutinesAreCountedByTheirWaits(t *testing.T) {
	h := &metrics.Float64Histogram{Buckets: []float64{0, 1e-6, 250e-6, 1e-3, 1, 10}, Counts: []uint64{6, 5, 4, 3, 2}}
	if got, want := count(h), (delays{all: 20, waiting: 9, late: 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A process with nothing to do runs on one processor; work for two brings them back; and
// at the end all may be used. A user's choice stays.
func TestProcessorsAreTuned(t *testing.T) {
	const two = 2
	if runtime.NumCPU() < two {
		t.Skip("one processor")
	}
	defer runtime.SetDefaultGOMAXPROCS()
	t.Setenv("GOMAXPROCS", "2")
	TuneProcessors(t.Context()) // returns at once

	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	most := runtime.GOMAXPROCS(0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		TuneProcessors(ctx)
		close(ended)
	}()
	await.That(t, "one processor runs Go code", func() bool { return runtime.GOMAXPROCS(0) == 1 })
	var rest atomic.Bool
	defer rest.Store(true)
	for range two {
		go func() {
			for !rest.Load() {
			}
		}()
	}
	await.That(t, "more than one does", func() bool { return runtime.GOMAXPROCS(0) > 1 })
	rest.Store(true)
	cancel()
	<-ended
	if now := runtime.GOMAXPROCS(0); now != most {
		t.Errorf("%d processors at the end, want %d", now, most)
	}
}
