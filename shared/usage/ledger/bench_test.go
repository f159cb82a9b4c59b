package ledger_test

import (
	"fmt"
	"strconv"
	"testing"

	"spillway/shared/store/memory"
	"spillway/shared/usage"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/faultstore"
)

func BenchmarkAdd(b *testing.B) {
	l := start(b, ledger.Options{Store: memory.New()})
	r := request("team-search", 10)
	b.ReportAllocs()
	for b.Loop() {
		l.Add(r)
	}
}

func BenchmarkAddParallel(b *testing.B) {
	l := start(b, ledger.Options{Store: memory.New()})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		r := request("team-search", 10)
		for p.Next() {
			l.Add(r)
		}
	})
}

// BenchmarkAddOfManyConsumers is a request where so many consumers take turns, in no
// order, so that the next one's counter is in no cache.
func BenchmarkAddOfManyConsumers(b *testing.B) {
	for _, consumers := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			l := start(b, ledger.Options{Store: memory.New()})
			names := make([]string, consumers)
			for n := range names {
				names[n] = "team-" + strconv.Itoa(n)
			}
			r := request("", 10)
			b.ReportAllocs()
			n := 0
			for _, r.Consumer = range names {
				l.Add(r)
			}
			for b.Loop() {
				n = (n + 61_843) % consumers
				r.Consumer = names[n]
				l.Add(r)
			}
		})
	}
}

// BenchmarkAddOfManyBackends is a request where so many backends take turns in serving
// ten consumers, so that it is of another kind than the one before.
func BenchmarkAddOfManyBackends(b *testing.B) {
	for _, backends := range []int{1, 100} {
		b.Run(fmt.Sprintf("backends=%d", backends), func(b *testing.B) {
			l := start(b, ledger.Options{Store: memory.New()})
			records := make([]*usage.Record, 10*backends)
			for n := range records {
				records[n] = request("team-"+strconv.Itoa(n%10), 10)
				records[n].Backend = "backend-" + strconv.Itoa(n/10)
				l.Add(records[n])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Add(records[i*617%len(records)]) // all of them, in no order
			}
		})
	}
}

// BenchmarkFlush is a flush while so many consumers are active, and the calls of the
// store that it takes.
func BenchmarkFlush(b *testing.B) {
	for _, consumers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			s, err := faultstore.New(memory.New(), faultstore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			l := start(b, ledger.Options{Store: s})
			records := make([]*usage.Record, consumers)
			for n := range records {
				records[n] = request("team-"+strconv.Itoa(n), 10)
			}
			before := int64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, r := range records {
					l.Add(r)
				}
				if err := l.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				if i == 0 {
					before = s.Operations() // The pages are made.
				}
			}
			b.ReportMetric(float64(s.Operations()-before)/float64(max(b.N-1, 1)), "calls/flush")
		})
	}
}
