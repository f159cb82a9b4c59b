package usage_test

import (
	"math"
	"testing"

	"spillway/shared/usage"
)

// The dimensions and counts of a request, by how it ended.
func TestRecordAsEntry(t *testing.T) {
	tests := []struct {
		name   string
		record usage.Record
		want   usage.Dimensions
		errors int64
	}{
		{"served", usage.Record{Consumer: "a", Model: "m", Pool: "p", Backend: "b", Deployment: "d", Region: "r", Status: 200},
			usage.Dimensions{Consumer: "a", Model: "m", Backend: "b", Deployment: "d", Region: "r", Status: "2xx"}, 0},
		{"spilled and broken", usage.Record{Consumer: "a", Model: "m", Pool: "p", Backend: "b", Spillover: "quota", Status: 502, Tags: "team=web"},
			usage.Dimensions{Consumer: "a", Model: "m", Backend: "b", Spilled: true, Status: "5xx", Tags: "team=web"}, 1},
		{"over its limit, of a known pool", usage.Record{Consumer: "a", Model: "m", Pool: "p", Status: 429},
			usage.Dimensions{Consumer: "a", Model: "m", Status: "429"}, 1},
		{"an unknown model", usage.Record{Consumer: "a", Model: "anything", Status: 404}, usage.Dimensions{Consumer: "a", Status: "4xx"}, 1},
		{"left", usage.Record{Consumer: "a", Model: "m", Pool: "p", Status: 499}, usage.Dimensions{Consumer: "a", Model: "m", Status: "499"}, 1},
		{"never answered", usage.Record{Consumer: "a"}, usage.Dimensions{Consumer: "a", Status: "5xx"}, 1},
		{"redirected", usage.Record{Consumer: "a", Status: 302}, usage.Dimensions{Consumer: "a", Status: "2xx"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := usage.DimensionsOf(&test.record); got != test.want {
				t.Errorf("dimensions %+v, want %+v", got, test.want)
			}
			if got := usage.CountsOf(&test.record); got != (usage.Counts{Requests: 1, Errors: test.errors}) {
				t.Errorf("counts %+v, want one request and %d errors", got, test.errors)
			}
		})
	}
}

// Costs are whole numbers of the smallest unit: a sum of many is exact, and what a
// record says in units of the currency gives the same number back.
func TestCostIsExact(t *testing.T) {
	price := usage.Price{InputPerMillion: 0.15, CachedInputPerMillion: 0.075, OutputPerMillion: 0.6}
	tokens := usage.Tokens{Prompt: 7, Cached: 3, Completion: 1}
	const want = 4*150 + 3*75 + 600
	if got := price.Nanos(tokens); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	var sum usage.Counts
	for range 100_000 {
		sum.Add(usage.CountsOf(&usage.Record{Cost: price.Cost(tokens)}))
	}
	if sum.Cost != 100_000*want {
		t.Errorf("the sum is %d, want %d", sum.Cost, 100_000*want)
	}
	for _, cost := range []float64{math.NaN(), math.Inf(-1), -1} {
		if got := usage.NanosOf(cost); got != 0 {
			t.Errorf("a cost of %v is %d, want 0", cost, got)
		}
	}
	if got := usage.NanosOf(math.Inf(1)); got <= 0 {
		t.Errorf("an endless cost is %d, want more than 0", got)
	}
}

// Sums stay at the largest number, and a difference never falls below nothing.
func TestCountsAtTheirEnds(t *testing.T) {
	most := usage.Counts{Requests: math.MaxInt64 - 1, Prompt: 5}
	most.Add(usage.Counts{Requests: 3, Prompt: 1})
	if most.Requests != math.MaxInt64 || most.Prompt != 6 {
		t.Errorf("the sum is %+v, want Requests %v, Prompt 6", most, math.MaxInt64)
	}
	want := usage.Counts{Cost: 2}
	if got := (usage.Counts{Requests: 2, Cost: 7}).Beyond(usage.Counts{Requests: 3, Cost: 5}); got != want {
		t.Errorf("the difference is %+v, want %+v", got, want)
	}
}
