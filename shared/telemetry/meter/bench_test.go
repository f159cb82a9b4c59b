package meter_test

import (
	"fmt"
	"testing"

	"spillway/shared/usage"
)

// BenchmarkRequest is what counting one request adds to it. It must not allocate.
func BenchmarkRequest(b *testing.B) {
	stream := served
	stream.Stream = true
	for _, bench := range []struct {
		name   string
		record usage.Record
	}{{"plain", served}, {"stream", stream}, {"spilled", spilled}} {
		b.Run(bench.name, func(b *testing.B) {
			m, _ := newMeter(b, 0)
			record := bench.record
			m.Request(&record)
			b.ReportAllocs()
			for b.Loop() {
				m.Request(&record)
			}
		})
	}
	b.Run("thousand series", func(b *testing.B) {
		m, _ := newMeter(b, 0)
		records := make([]usage.Record, 1000)
		for i := range records {
			records[i] = served
			records[i].Consumer, records[i].Backend = fmt.Sprint("team-", i%10), fmt.Sprint("backend-", i/10)
			m.Request(&records[i])
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.Request(&records[i*617%len(records)]) // all of them, in no order
		}
	})
	b.Run("100,000 consumers", func(b *testing.B) { // of which few have series
		m, _ := newMeter(b, 0)
		names := make([]string, 100_000)
		record := served
		for i := range names {
			names[i] = fmt.Sprint("team-", i)
			record.Consumer = names[i]
			m.Request(&record)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			record.Consumer = names[i*61_843%len(names)]
			m.Request(&record)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		m, _ := newMeter(b, 0)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			record := served
			for pb.Next() {
				m.Request(&record)
			}
		})
	})
}
