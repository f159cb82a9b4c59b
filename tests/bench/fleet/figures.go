package fleet

import "time"

// What tests/bench measures.
var (
	// Rates are the requests a second on one hot limit.
	Rates = []float64{1, 5, 50, 500}
	// Sizes are the numbers of instances that watch breakers.
	Sizes = []int{1, 10, 100, 1000}
)

const (
	// Runs is how often the traffic of each rate is measured, with other seeds.
	Runs = 5
	// PartitionRows is how many rows a second one partition of Azure Table
	// Storage gives, by its documented target.
	PartitionRows = 2000
)

// Figures is everything that is measured here.
type Figures struct {
	// Operations has the runs of each of the Rates.
	Operations [][]Operations
	// Refreshes has one run for each of the Sizes.
	Refreshes []Refreshes
}

// Hot is the traffic on one hot limit.
func Hot(rate float64, seed uint64) Traffic {
	return Traffic{
		Instances: 20, Limit: 300_000, Rate: rate, Mean: 1000, Sigma: 1, Least: 0.5,
		Windows: 5, RoundTrip: 7 * time.Millisecond, Seed: seed,
	}
}

// Watched is the requests that watch breakers.
func Watched(instances int) Watch {
	return Watch{Instances: instances, Deployments: 20, Rate: 5, Seconds: 60, RoundTrip: 7 * time.Millisecond}
}
