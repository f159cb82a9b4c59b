package pool

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLatency(t *testing.T) {
	type sample struct {
		second int
		ms     int
	}
	for _, test := range []struct {
		name    string
		samples []sample
		second  int // when it is read
		want    time.Duration
	}{
		{"unknown", nil, 0, 0},
		{"first", []sample{{0, 800}}, 0, 800 * time.Millisecond},
		{"an eighth of the difference", []sample{{0, 800}, {0, 1600}}, 0, 900 * time.Millisecond},
		{"downwards too", []sample{{0, 800}, {1, 0}, {1, 160}}, 1, 720 * time.Millisecond},
		{"half after half a minute", []sample{{0, 800}, {30, 1600}}, 30, 1200 * time.Millisecond},
		{"nearly all after ten minutes", []sample{{0, 800}, {600, 1600}}, 600, 1600 * time.Millisecond},
		{"fades while nothing is measured", []sample{{0, 800}}, 30, 400 * time.Millisecond},
		{"fades evenly", []sample{{0, 800}}, 15, 600 * time.Millisecond},
		{"fades on", []sample{{0, 800}}, 90, 100 * time.Millisecond},
		{"never becomes unknown", []sample{{0, 800}}, 1 << 30, time.Microsecond},
		{"clock set back", []sample{{100, 800}, {0, 1600}}, 0, 900 * time.Millisecond},
		{"negative is no measurement", []sample{{0, 800}, {0, -5}}, 0, 800 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l Latency
			for _, s := range test.samples {
				l.Observe(time.Duration(s.ms)*time.Millisecond, noon.Add(time.Duration(s.second)*time.Second))
			}
			got := l.Value(noon.Add(time.Duration(test.second) * time.Second))
			if off := got - test.want; off < -time.Millisecond || off > time.Millisecond {
				t.Errorf("value %v, want %v", got, test.want)
			}
		})
	}
}

func TestLatencyStaysBetweenItsSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Latency
		now := noon
		low, high := time.Duration(1<<62), time.Duration(0)
		for range rapid.IntRange(1, 20).Draw(t, "samples") {
			d := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "sample"))
			low, high = min(low, d), max(high, d)
			l.Observe(d, now)
			if got := l.Value(now); got < low.Truncate(time.Microsecond) || got > max(high, time.Microsecond) {
				t.Fatalf("value %v outside of %v to %v", got, low, high)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Second)
		}
	})
}

func TestLatencyOfExtremes(t *testing.T) {
	var l Latency
	l.Observe(1<<62, noon)
	if got := l.Value(noon); got < time.Hour {
		t.Errorf("a very long latency became %v, want at least %v", got, time.Hour)
	}
	l = Latency{}
	l.Observe(1, time.Unix(-5, 0))
	if got := l.Value(time.Unix(-5, 0)); got != time.Microsecond {
		t.Errorf("a very short latency became %v, want %v", got, time.Microsecond)
	}
}

func TestLatencyIsConcurrencySafe(t *testing.T) {
	var l Latency
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				l.Observe(time.Second, noon)
				l.Value(noon)
			}
		})
	}
	group.Wait()
	if got := l.Value(noon); got != time.Second {
		t.Errorf("value %v, want 1s", got)
	}
}

// BenchmarkLatencyValue is paid once per candidate of a request.
func BenchmarkLatencyValue(b *testing.B) {
	var l Latency
	l.Observe(time.Second, noon)
	later := noon.Add(45 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		l.Value(later)
	}
}
