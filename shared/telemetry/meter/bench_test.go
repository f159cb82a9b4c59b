package meter_test

import (
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
