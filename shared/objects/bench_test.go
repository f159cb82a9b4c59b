package objects

import (
	"fmt"
	"runtime"
	"testing"

	"spillway/shared/store/memory"
)

// full is a registry whose memory is full, and what it knows.
func full(b *testing.B) (*Registry, []Object) {
	b.Helper()
	r := open(b, memory.New(), Options{})
	known := make([]Object, defaultCache)
	for i := range known {
		known[i] = response(fmt.Sprintf("resp_%048x", i))
		put(b, r, known[i])
	}
	return r, known
}

// Get of an object in memory, each time another one of 10,000.
func BenchmarkGetKnown(b *testing.B) {
	r, known := full(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		o := &known[i%len(known)]
		if _, found, err := r.Get(b.Context(), o.Consumer, o.Kind, o.ID); !found || err != nil {
			b.Fatal(found, err)
		}
		i++
	}
}

// The same from all cores at once.
func BenchmarkGetKnownParallel(b *testing.B) {
	r, known := full(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			o := &known[i%len(known)]
			if _, found, err := r.Get(b.Context(), o.Consumer, o.Kind, o.ID); !found || err != nil {
				b.Error(found, err)
			}
		}
	})
}

// Get of an object that is known not to be there.
func BenchmarkGetMissing(b *testing.B) {
	r, _ := full(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := r.Get(b.Context(), "app", Response, "resp_none"); found || err != nil {
			b.Fatal(found, err)
		}
	}
}

// What one object takes in memory, without its texts.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		r := open(b, memory.New(), Options{})
		before := heap()
		for i := range defaultCache {
			o := response(fmt.Sprintf("resp_%048x", i))
			r.wrote(keyOf(o), &record{Object: o}, r.o.Clock.Read())
		}
		b.ReportMetric((heap()-before)/defaultCache, "B/object")
		runtime.KeepAlive(r)
	}
}
