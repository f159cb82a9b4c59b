package lease_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store/memory"
)

// warmLimit is a limit whose lease never runs dry during a benchmark.
func warmLimit(tb testing.TB) *lease.Limit {
	tb.Helper()
	e, err := lease.New(lease.Options{Store: memory.New(), Instance: "bench"})
	if err != nil {
		tb.Fatal(err)
	}
	l := e.Limit("consumer!bench!tokens", quota.MaxUnits, quota.Month)
	r, v := l.Reserve(context.Background(), quota.MaxUnits/2)
	if !v.OK() {
		tb.Fatalf("warming up: %v", v)
	}
	r.Settle(0)
	return l
}

func BenchmarkReserveSettle(b *testing.B) {
	l := warmLimit(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r, v := l.Reserve(ctx, 1000)
		if !v.OK() {
			b.Fatal(v)
		}
		r.Settle(400)
	}
}

func BenchmarkReserveSettleParallel(b *testing.B) {
	l := warmLimit(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			r, v := l.Reserve(ctx, 1000)
			if !v.OK() {
				b.Error(v)
				return
			}
			r.Settle(400)
		}
	})
}

// BenchmarkFirstReserve is the slow path: a limit that nobody has used takes its first
// units from the store.
func BenchmarkFirstReserve(b *testing.B) {
	e, err := lease.New(lease.Options{Store: memory.New(), Instance: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, v := e.Limit(strconv.Itoa(i), 1000, quota.Month).Reserve(ctx, 1); !v.OK() {
			b.Fatal(v)
		}
	}
}

// BenchmarkFirstReserveOfAWindow is what a consumer costs that calls about once a minute:
// each of its limits takes its first units of the window from the row. There are many, and
// they come in another order than they were made, so that none is in the processor's cache.
func BenchmarkFirstReserveOfAWindow(b *testing.B) {
	const consumers = 100_000
	minutes := 0
	c := clock.New(func() (time.Time, time.Duration) {
		passed := time.Duration(minutes) * time.Minute
		return time.Unix(1_800_000_000, 0).Add(passed), time.Second + passed
	})
	e, err := lease.New(lease.Options{Store: memory.New(), Instance: "bench", Clock: c})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	limits := make([]*lease.Limit, consumers)
	for i := range limits {
		limits[i] = e.Limit("consumer!"+strconv.Itoa(i)+"!tokens", 100_000, quota.Minute)
		if _, v := limits[i].Reserve(ctx, 1000); !v.OK() {
			b.Fatal(v)
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(consumers, func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%consumers == 0 {
			minutes++
		}
		r, v := limits[i%consumers].Reserve(ctx, 1000)
		if !v.OK() {
			b.Fatal(v)
		}
		r.Settle(400)
	}
}

func BenchmarkHeadroom(b *testing.B) {
	l := warmLimit(b)
	b.ReportAllocs()
	for b.Loop() {
		l.Headroom()
	}
}

// BenchmarkStatus is of a month, whose end is not found by adding.
func BenchmarkStatus(b *testing.B) {
	var c clock.Clock
	l, now := warmLimit(b), c.Read()
	b.ReportAllocs()
	for b.Loop() {
		l.StatusAt(now)
	}
}

// TestWarmReserveDoesNotAllocate holds the path of every request to no garbage.
func TestWarmReserveDoesNotAllocate(t *testing.T) {
	l := warmLimit(t)
	ctx := context.Background()
	allocs := testing.AllocsPerRun(1000, func() {
		r, v := l.Reserve(ctx, 10)
		if !v.OK() {
			t.Fatal(v)
		}
		r.Settle(5)
	})
	if allocs != 0 {
		t.Errorf("Reserve and Settle on a warm lease allocate %v times, want 0", allocs)
	}
}
