package activity

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The buckets cover all durations without a gap, and each is at most an eighth of its
// least duration wide, or the finest.
func TestBuckets(t *testing.T) {
	var before time.Duration
	for i := range buckets {
		low, high := boundsOf(i)
		if low != before {
			t.Fatalf("bucket %d begins at %s, the one before ends at %s", i, low, before)
		}
		if width := high - low; width != finest && width*perDoubling > low {
			t.Errorf("bucket %d from %s is %s wide", i, low, width)
		}
		if got := bucketOf(low); got != i {
			t.Errorf("%s is in bucket %d, want %d", low, got, i)
		}
		if got := bucketOf(high - 1); got != i {
			t.Errorf("%s is in bucket %d, want %d", high-1, got, i)
		}
		before = high
	}
	for d, want := range map[time.Duration]int{-time.Second: 0, 0: 0, before: buckets - 1, math.MaxInt64: buckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%s is in bucket %d, want %d", d, got, want)
		}
	}
}

// A quantile is at most 1/16 off the exact one, or half a finest; and merging parts is
// the same as counting all at once.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, int64(200*time.Second)), func(n int64) time.Duration { return time.Duration(n) }), 1, 200).Draw(t, "durations")
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		var all, even, odd Histogram
		for i, d := range durations {
			all.Observe(d)
			if i%2 == 0 {
				even.Observe(d)
			} else {
				odd.Observe(d)
			}
		}
		even.Merge(&odd)
		if even != all {
			t.Fatal("the parts are not the whole")
		}
		slices.Sort(durations)
		exact := durations[int(math.Ceil(q*float64(len(durations))))-1]
		got := all.Quantile(q)
		if off := (got - exact).Abs(); off > max(exact/16, finest/2)+1 {
			t.Fatalf("quantile %v of %d is %s, want %s", q, len(durations), got, exact)
		}
		if all.Count() != int64(len(durations)) {
			t.Fatalf("%d counted, want %d", all.Count(), len(durations))
		}
	})
}

// Nothing was observed, nothing is known; counts stay at their largest.
func TestHistogramAtItsEnds(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %s, want 0s", got)
	}
	h[3] = math.MaxUint32
	h.Observe(3 * finest)
	more := Histogram{3: 5}
	h.Merge(&more)
	if h[3] != math.MaxUint32 {
		t.Errorf("the count is %d, want %d", h[3], math.MaxUint32)
	}
}

// A measurement whose minute has passed away, by a clock that was set, counts nowhere.
func TestRecentGoesForward(t *testing.T) {
	var r recent
	r.observe(time.Second, begin.Add(windowMinutes*time.Minute))
	r.observe(time.Second, begin)
	if got := r.merged(begin.Add(windowMinutes * time.Minute)); got.Count() != 1 {
		t.Errorf("%d are counted, want 1", got.Count())
	}
	if got := r.merged(begin); got.Count() != 0 {
		t.Errorf("before it was measured %d are counted, want 0", got.Count())
	}
	r.observe(time.Second, time.Unix(-1e6, 0))
}

// A share is a number of three digits, or null where it is not known, and reads back.
func TestShareAsJSON(t *testing.T) {
	for share, want := range map[Share]string{0.12345: "0.123", 1.5: "1.5", 0: "0", Share(math.Inf(1)): "null"} {
		if got, err := json.Marshal(share); string(got) != want || err != nil {
			t.Errorf("%v is %s, want %s", float64(share), got, want)
		}
	}
	var read []Share
	if err := json.Unmarshal([]byte("[0.5,null]"), &read); err != nil || read[0] != 0.5 || !math.IsNaN(float64(read[1])) {
		t.Errorf("read %v: %v", read, err)
	}
	if err := json.Unmarshal([]byte(`["x"]`), &read); err == nil {
		t.Error("a text is taken for a share")
	}
}
