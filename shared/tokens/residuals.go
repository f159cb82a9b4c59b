package tokens

import "math"

const (
	// residualRange is the largest ratio between truth and estimate that is
	// told apart, and what is assumed before anything was learned.
	residualRange = 2.5
	residualBins  = 64 // each about 2.9 % wide
	// residualMemory is the number of answers after which old ones begin to
	// count half.
	residualMemory = 1024
	// residualTail is the share of answers that may lie beyond each bound.
	residualTail = 0.003
)

// residuals is a histogram of log(truth ÷ estimate) over the last answers. The
// zero value is ready. It is not safe for concurrent use.
type residuals struct {
	bins  [residualBins]float64
	total float64
}

var logRange = math.Log(residualRange)

// observe takes a text that was estimated and its true number of tokens.
func (r *residuals) observe(estimated, actual float64) {
	if r.total >= residualMemory {
		for i := range r.bins {
			r.bins[i] /= 2
		}
		r.total /= 2
	}
	ratio := math.Log((actual + damping) / (estimated + damping))
	bin := int((ratio + logRange) / (2 * logRange) * residualBins)
	r.bins[min(max(bin, 0), residualBins-1)]++
	r.total++
}

// factors returns what a damped estimate is multiplied with to get its bounds:
// the outermost bins that hold more than residualTail of the answers, one bin
// more, and a margin for the answers not yet seen, wide while they are few.
func (r *residuals) factors() (low, high float64) {
	if r.total == 0 {
		return 1 / residualRange, residualRange
	}
	first, last := 0, residualBins
	for sum := r.bins[first]; sum <= residualTail*r.total; sum += r.bins[first] {
		first++
	}
	for sum := r.bins[last-1]; sum <= residualTail*r.total; sum += r.bins[last-1] {
		last--
	}
	const width = 2.0 / residualBins
	margin := width + 4/(r.total+4)
	at := func(edge int, margin float64) float64 {
		return math.Exp(logRange * clamp(float64(edge)*width-1+margin, -1, 1))
	}
	return at(first, -margin), at(last, margin)
}

// bounds applies factors to an estimate.
func bounds(estimated, low, high float64) (from, to float64) {
	return max((estimated+damping)*low-damping, 0), (estimated+damping)*high - damping
}
