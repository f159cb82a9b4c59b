package usage

import "math"

// Nano is the unit in which costs are added up: there are so many to one unit of
// the currency. A sum of whole numbers is exact in whatever order it is made.
const Nano = 1_000_000_000

// maxNanos is the largest cost of one request, about nine million units of the
// currency. Up to it a float64 holds every whole number.
const maxNanos = 1 << 53

// Price is what a model's tokens cost, in any one currency per million tokens.
type Price struct {
	InputPerMillion       float64
	CachedInputPerMillion float64
	OutputPerMillion      float64
}

// Nanos is the price of t in units of 1/Nano of the currency, rounded once.
// Cached prompt tokens are charged at their own price.
func (p Price) Nanos(t Tokens) int64 {
	cached := min(t.Cached, t.Prompt)
	return wholeNanos((float64(t.Prompt-cached)*p.InputPerMillion +
		float64(cached)*p.CachedInputPerMillion +
		float64(t.Completion)*p.OutputPerMillion) * (Nano / 1e6))
}

// Cost is Nanos in units of the currency. NanosOf gives the whole number back.
func (p Price) Cost(t Tokens) float64 { return float64(p.Nanos(t)) / Nano }

// NanosOf is a cost in units of the currency as a whole number of 1/Nano of it.
func NanosOf(cost float64) int64 { return wholeNanos(cost * Nano) }

// wholeNanos rounds, and bounds what cannot be the cost of a request.
func wholeNanos(nanos float64) int64 {
	if !(nanos > 0) { // not a number, too
		return 0
	}
	return int64(min(math.Round(nanos), maxNanos))
}
