package contract

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// BenchmarkRow measures the operations on one row, one after the other.
func BenchmarkRow(b *testing.B) {
	for name, s := range stores(b) {
		k := key("bench", "row")
		etag := insert(b, s, k, leaseRow(0))
		b.Run(name+"/get", func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Get(context.Background(), k); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/replace", func(b *testing.B) {
			var err error
			for n := int64(0); b.Loop(); n++ {
				if etag, err = s.Replace(context.Background(), k, leaseRow(n), etag); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReadCAS measures what a counter costs that is read and replaced for
// each increment, by several writers of one row.
func BenchmarkReadCAS(b *testing.B) {
	for name, s := range stores(b) {
		for _, writers := range []int{1, 16} {
			k := key("bench", fmt.Sprintf("counter of %d", writers))
			insert(b, s, k, store.Columns{"N": int64(0)})
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var all sync.WaitGroup
				for range writers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := Increment(context.Background(), s, k); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "increments/s")
			})
		}
	}
}

func stores(b *testing.B) map[string]store.Store {
	b.Helper()
	return map[string]store.Store{"memory": memory.New(), "azurite": onAzurite(b)(b)}
}

// leaseRow has about the columns of a row of the lease protocol.
func leaseRow(n int64) store.Columns {
	return store.Columns{
		"Window": int64(1785585600), "Granted": n, "Holders": int64(12), "NextGranted": int64(0), "NextHolders": int64(0),
		"PrevHolders": int64(11), "Limit": int64(300000), "NextLimit": int64(300000), "Shards": int64(1), "NextShards": int64(1),
		"Nonce": "0123456789abcdef", "By": "instance-1",
	}
}
