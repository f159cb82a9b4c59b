package consumers

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"spillway/shared/config"
	"spillway/shared/store/memory"
)

const (
	known  = 100_000 // Consumers in the table.
	active = 10_000  // Of those: that send requests.
)

// filled is a table with many consumers, written as a Directory does.
func filled(b *testing.B) (*memory.Store, []config.KeyHash) {
	b.Helper()
	table := memory.New()
	ctx := context.Background()
	w := newWorld(b)
	put(b, w.directory(table, Options{}), define(b, "app", "key")) // The log has begun.
	hashes := make([]config.KeyHash, known)
	for i := range hashes {
		hashes[i] = hashOf(fmt.Sprint("key ", i))
		name := fmt.Sprint("consumer-", i)
		consumer := config.Consumer{Name: name, Keys: hashes[i : i+1], TokensPerMinute: 1000, Models: []string{"gpt-4o"}}
		if _, err := table.Insert(ctx, consumerKey(name), encodeConsumer(&consumer, "nonce", "ops", time.Now())); err != nil {
			b.Fatal(err)
		}
		if _, err := table.Insert(ctx, keyCredential(hashes[i]).indexKey(), encodeIndex(name, "nonce", true)); err != nil {
			b.Fatal(err)
		}
	}
	return table, hashes
}

// heap is the memory in use, in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// A hit with all 100,000 consumers remembered, 10,000 of them in use, and what one
// consumer takes in memory.
func BenchmarkHit(b *testing.B) {
	table, hashes := filled(b)
	d := newWorld(b).directory(table, Options{})
	before := heap()
	for _, hash := range hashes {
		if c, err := d.ByKey(b.Context(), hash); c == nil || err != nil {
			b.Fatal(c, err)
		}
	}
	perConsumer := (heap() - before) / known
	ctx := context.Background()
	hit := func(i int) {
		if c, err := d.ByKey(ctx, hashes[i%active]); c == nil || err != nil {
			b.Error(c, err)
		}
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			hit(i)
			i++
		}
		b.ReportMetric(perConsumer, "B/consumer")
	})
	b.Run("together", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				hit(i)
			}
		})
	})
}

// A key that is nobody's, while nobody was ever added to the table.
func BenchmarkNobodyEver(b *testing.B) {
	d := newWorld(b).directory(memory.New(), Options{})
	hash := hashOf("wrong")
	b.ReportAllocs()
	for b.Loop() {
		if c, err := d.ByKey(context.Background(), hash); c != nil || err != nil {
			b.Fatal(c, err)
		}
	}
}
