package ledger

import (
	"fmt"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/usage"
)

// BenchmarkRead reads a month in which each consumer used each of its deployments in
// each hour: of all consumers, and of one.
func BenchmarkRead(b *testing.B) {
	for _, size := range []struct{ consumers, deployments int }{{100, 5}, {10_000, 1}} {
		s, from, to := month(b, size.consumers, size.deployments)
		for _, consumer := range []string{"", "team-7"} {
			b.Run(fmt.Sprintf("consumers=%d/deployments=%d/of=%s", size.consumers, size.deployments, consumer), func(b *testing.B) {
				q := usage.Query{From: from, To: to, By: []string{"consumer", "deployment"}, Consumer: consumer}
				rows := 0
				counters := int64(0)
				for b.Loop() {
					r, err := usage.Summarize(Read(b.Context(), s, q, func(p Progress) { rows = p.Rows }), q)
					if err != nil {
						b.Fatal(err)
					}
					counters = r.Total.Requests
				}
				b.ReportMetric(float64(counters), "counters")
				b.ReportMetric(float64(rows), "rows")
			})
		}
	}
}

// month fills a store with the folded rows of 30 days.
func month(b *testing.B, consumers, deployments int) (s store.Store, from, to time.Time) {
	s = memory.New()
	from = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	to = from.AddDate(0, 0, 30)
	var lines []byte
	for n := range deployments {
		lines = appendLine(lines, usage.Dimensions{Model: "gpt-4o", Deployment: fmt.Sprintf("gpt-4o-%d", n), Backend: "ptu-eastus", Region: "eastus2", Status: "2xx"},
			usage.Counts{Requests: 1, Prompt: 12345, Cached: 1234, Completion: 2345, Cost: 123456789})
	}
	hours := store.Columns{columnFormat: format}
	generations := store.Columns{columnFormat: format}
	for hour := from; hour.Before(from.AddDate(0, 0, 1)); hour = hour.Add(time.Hour) {
		hours[hourColumn(hour)], generations[generationColumn(hour)] = hourText(1, lines), int64(1)
	}
	insert := func(key store.Key, columns store.Columns) {
		if _, err := s.Insert(b.Context(), key, columns); err != nil {
			b.Fatal(err)
		}
	}
	for day := from; day.Before(to); day = day.AddDate(0, 0, 1) {
		for n := range consumers {
			insert(consumerKey(day, fmt.Sprintf("team-%d", n), 0), hours)
		}
		insert(generationsKey(day), generations)
	}
	insert(stateKey, state{Cleared: from, Gone: from, Folded: to, Closed: to, Generation: 1}.columns("one"))
	return s, from, to
}
