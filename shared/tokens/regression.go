package tokens

import "math"

// weights are tokens per feature.
type weights [featureCount]float64

func (w *weights) of(x features) float64 {
	sum := 0.0
	for f, v := range x {
		sum += w[f] * v
	}
	return sum
}

// prior says, for each feature, which weight learning starts with, how far off
// that may be (one standard deviation), and which bounds a weight never leaves.
var prior = [featureCount]struct{ start, deviation, low, high float64 }{
	letters:  {0.225, 0.06, 0.08, 0.8},
	spaces:   {0.27, 0.10, 0.05, 1},
	symbols:  {0.6, 0.20, 0.2, 2},
	digits:   {0.5, 0.20, 0.2, 1},
	breaks:   {0.6, 0.25, 0.1, 2},
	narrow:   {0.45, 0.25, 0.1, 1.5},
	wide:     {startOther, 0.30, 0.15, 3},
	extra:    {startASCII, 0.10, 0.05, 1},
	messages: {4, 2, 1, 20},
}

const (
	// startASCII is 4 characters per token. The start weights of letters,
	// spaces, symbols, digits and breaks give the same for English prose.
	startASCII = 1.0 / 4
	// startOther is 1.2 characters per token.
	startOther = 1 / 1.2
)

const (
	// noise is the variance of an answer's relative error that no weights could
	// explain: words differ.
	noise = 0.06 * 0.06
	// drift is the share of its first variance that each weight regains with
	// each answer, so that learning never ends and a lie is unlearned again.
	drift = 1e-4
	// maxError bounds the relative error that one answer can teach.
	maxError = 0.5
	// damping is added to both sides of a ratio of token counts, so that a few
	// tokens more or less in a tiny prompt are no large error.
	damping = 16
)

// regression learns weights by recursive least squares on the relative error,
// in the form of a Kalman filter whose state is the weights: the covariance
// says which of them are still in doubt, so an answer corrects those. The zero
// value must be initialised; it is not safe for concurrent use.
type regression struct {
	weights    weights
	covariance [featureCount][featureCount]float64
}

func (r *regression) init() {
	r.covariance = [featureCount][featureCount]float64{}
	for f, p := range prior {
		r.weights[f] = p.start
		r.covariance[f][f] = p.deviation * p.deviation
	}
}

// learn corrects the weights by one prompt that took actual tokens, > 0.
func (r *regression) learn(x features, actual float64) {
	r.forget()
	predicted := r.weights.of(x)
	scale := 1 / (predicted + damping)
	for f := range x {
		x[f] *= scale
	}
	relative := clamp((actual-predicted)*scale, -maxError, maxError)

	px := r.doubt(x)
	variance := noise
	for f, v := range x {
		variance += v * px[f]
	}
	// One division for all: every answer is learned from, and there are 81 products.
	scale = 1 / math.Sqrt(variance)
	for f := range px {
		px[f] *= scale
	}
	relative *= scale
	for i, v := range px {
		if v == 0 { // as of a feature that no prompt has had
			continue
		}
		r.weights[i] = clamp(r.weights[i]+v*relative, prior[i].low, prior[i].high)
		row := &r.covariance[i]
		for j, w := range px {
			row[j] -= v * w
		}
	}
	if !r.sound() {
		learned := r.weights
		r.init()
		r.weights = learned
	}
}

// doubt is covariance · x.
func (r *regression) doubt(x features) (px features) {
	for i, v := range x {
		if v == 0 { // as of most features in most prompts
			continue
		}
		for j, c := range r.covariance[i] { // its column, too: it is symmetric
			px[j] += c * v
		}
	}
	return px
}

// forget lets the doubt about each weight grow a little, up to what it was at
// the start.
func (r *regression) forget() {
	for f, p := range prior {
		first := p.deviation * p.deviation
		r.covariance[f][f] = min(r.covariance[f][f]+drift*first, first)
	}
}

// sound tells whether rounding has left the covariance a covariance.
func (r *regression) sound() bool {
	for f := range r.covariance {
		if !(r.covariance[f][f] > 0) {
			return false
		}
	}
	return true
}
