package tokens

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"spillway/shared/openai"
)

// Estimator estimates the tokens of requests from their measures (characters by
// kind, messages, images) with weights that it learns for each model from the
// usage of answers. It does not tokenize. It is safe for concurrent use;
// Estimate takes no lock.
type Estimator struct {
	models  map[string]*model // by lower-case name; immutable after New
	unknown model             // shared by all other names, so that clients cannot grow the Estimator
}

// New returns an Estimator with a place of its own for each of the models;
// those it was not told of share one.
func New(models ...string) *Estimator {
	e := &Estimator{models: make(map[string]*model, len(models))}
	for _, name := range models {
		m := &model{}
		m.init()
		e.models[strings.ToLower(name)] = m
	}
	e.unknown.init()
	return e
}

// Estimate returns what r is expected to take on the model, from the numbers in
// r and a sample of 2 KiB of its body. It must come before Request.Release.
func (e *Estimator) Estimate(model string, r *openai.Request) Estimate {
	return e.model(model).current.Load().estimate(measure(r))
}

// Learn corrects the model's weights by the usage an answer reported for the
// request that was estimated. Call it once for each answer with usage. It needs
// the estimate only, so the request may have been released.
//
// The usage is what a backend says, so it is not trusted: numbers that are not
// positive are ignored, one answer counts as at most half of its estimate off,
// and every weight has bounds that it never leaves. Whatever a backend reports,
// English text costs between 0.3 and 3.6 times its start value.
func (e *Estimator) Learn(model string, estimated Estimate, u openai.Usage) {
	e.model(model).learn(estimated.measures, u)
}

func (e *Estimator) model(name string) *model {
	if m, ok := e.models[name]; ok {
		return m
	}
	if m, ok := e.models[strings.ToLower(name)]; ok {
		return m
	}
	return &e.unknown
}

// model is what has been learned of one model.
type model struct {
	// current is what estimates are made from. It is replaced, never changed.
	current atomic.Pointer[knowledge]

	mu         sync.Mutex
	regression regression // Guarded by mu.
	residuals  residuals  // Guarded by mu.
	answers    int64      // learned from. Guarded by mu.
	image      float64    // tokens per image. Guarded by mu.
	output     mean       // tokens per answer without a maximum. Guarded by mu.
}

// knowledge is a snapshot of a model, enough to make estimates.
type knowledge struct {
	weights   weights
	image     float64
	output    float64
	low, high float64 // factors between the text's estimate and its bounds
}

const (
	startImage  = 765 // a 1024 × 1024 image in high detail on gpt-4o
	minImage    = 50
	maxImage    = 8000
	startOutput = 300
	minOutput   = 1
	maxOutput   = 128 << 10
	// imageRate is the share of an answer's residual that the weight of images
	// follows. Their sizes vary by a factor of ten, so it is small.
	imageRate = 0.1
)

func (m *model) init() {
	m.regression.init()
	m.image = startImage
	m.output.value = startOutput
	m.publish()
}

// publish requires mu, or that nobody else knows m yet.
func (m *model) publish() {
	low, high := m.residuals.factors()
	m.current.Store(&knowledge{
		weights: m.regression.weights,
		image:   m.image,
		output:  m.output.value,
		low:     low,
		high:    high,
	})
}

func (m *model) learn(x measures, u openai.Usage) {
	// What the first answers teach is published at once. One of the later ones changes
	// little, and to publish it would take as long as to learn it.
	const first, every = 64, 8
	m.mu.Lock()
	defer m.mu.Unlock()
	m.learnPrompt(x, u.Prompt)
	if x.generates && !x.limited && u.Completion > 0 {
		m.output.observe(float64(u.Completion) / x.answers)
	}
	if m.answers++; m.answers <= first || m.answers%every == 0 {
		m.publish()
	}
}

func (m *model) learnPrompt(x measures, reported int64) {
	if reported <= 0 || reported > maxPrompt || x.text == (features{}) {
		return
	}
	text := m.regression.weights.of(x.text)
	actual := float64(reported) - x.exact
	if x.images > 0 {
		// Images differ too much to teach anything about text.
		image := (actual - text) / x.images
		m.image = clamp(m.image+imageRate*(clamp(image, m.image/4, m.image*4)-m.image), minImage, maxImage)
		return
	}
	if actual <= 0 {
		return
	}
	m.residuals.observe(text, actual)
	m.regression.learn(x.text, actual)
}

// maxPrompt is more than the context of any model; a usage beyond it is an
// error of the backend.
const maxPrompt = 16 << 20

func (k *knowledge) estimate(x measures) Estimate {
	text := k.weights.of(x.text)
	low, high := bounds(text, k.low, k.high)
	images := x.images * k.image
	e := Estimate{
		Prompt: ceil(x.exact + text + images),
		Output: x.requested,
		// The smallest images take less than a tenth of a large one, and the
		// largest on the newest models four times as much.
		Low:      int64(min(x.exact+low, math.MaxInt64/2)),
		High:     ceil(x.exact + high + x.images*max(4*k.image, 1500)),
		measures: x,
	}
	if x.generates && !x.limited {
		e.Output = ceil(k.output * x.answers)
	}
	e.Low, e.High = min(e.Low, e.Prompt), max(e.High, e.Prompt)
	return e
}

// mean is an exponential mean that begins as a plain one. The mean, not a high
// quantile, is what a learned output is reserved with: many requests are in
// flight at once, and the sum of their means is the best guess of what they
// will take together, so a limit is neither overrun nor left idle while
// backends spill; what a single long answer takes beyond it is settled when it
// ends. A quantile of 90 % would hold back two or three times what is used,
// because output lengths are skewed.
type mean struct {
	value float64
	n     float64
}

// observe takes one value, which counts as at most four times the mean (and
// 1,000 more, so that a small mean can grow).
func (m *mean) observe(v float64) {
	const memory = 64
	m.n = min(m.n+1, memory)
	v = clamp(v, minOutput, min(4*m.value+1000, maxOutput))
	m.value += (v - m.value) / (m.n + 1)
}

func clamp(v, low, high float64) float64 {
	return min(max(v, low), high)
}
