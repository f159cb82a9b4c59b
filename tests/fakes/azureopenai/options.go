package azureopenai

import (
	"errors"
	"fmt"
	"time"
)

// Options describes one simulated resource. The zero value of every field has
// a meaning, given in its comment; only Deployments must be filled.
type Options struct {
	// Name is the resource's name, used in logs and statistics.
	Name string
	// Region is sent as x-ms-region. Default: "East US".
	Region string
	// Key is accepted in the api-key header and as a Bearer token. Empty:
	// no credentials are asked for.
	Key string
	// Token is a second secret, accepted as a Bearer token only; it stands for
	// an Entra access token. Ignored while Key is empty.
	Token string
	// Deployments are the models this resource serves; names must differ.
	Deployments []Deployment
	// Latency and Output are the defaults of all deployments.
	Latency Latency
	Output  Output
	// Seed makes lengths, words, jitter, ids and fault dice repeatable. The
	// answer to the k-th request depends on the seed, k and its body only.
	Seed uint64
	// Dated, if not zero, makes the answers to the same calls the same on another
	// day and another server, also if a gateway is in between: answers bear this
	// time, and depend on the seed, on what is asked (not on the model's name,
	// stream_options or a form's boundary) and on how often the same has been asked.
	Dated time.Time
	// Background is the pace of responses that are made in the background, Batches
	// that of batches.
	Background, Batches Pace
	// Kept bounds the responses, the files and the batches that the resource keeps;
	// the oldest make room. 0: 10,000 of each.
	Kept int
	// Headers shapes the x-ratelimit-* headers.
	Headers Headers
	// Retry shapes what a 429 says about when to come back.
	Retry RetryForm
	// FilterWord, if not empty, is the text that trips the content filter: a
	// prompt that holds it is answered with 400 content_filter.
	FilterWord string
	// RecordRequests bounds the log behind Server.Requests. 0: 1,000 requests;
	// negative: nothing is recorded. RecordBytes bounds the bodies it holds in
	// all (0: 64 MiB); the oldest requests make room.
	RecordRequests int
	RecordBytes    int64
	// Account, if set, is told what each accepted request has used: when it is
	// accepted, and when its outcome is known, before the last bytes of its answer are
	// written. It is called by many goroutines and must not block, nor send requests.
	Account func(Account)
	// MaxBody is the largest request body read, in bytes; a larger one is
	// answered with 413. 0: 64 MiB.
	MaxBody int64
}

// Deployment is a model on the resource, with its own limits and counters.
type Deployment struct {
	// Name is what the path (or, in the v1 dialects, the body's model) says.
	Name string
	// Model is the name in answers. Default: Name. It says what is served: names
	// that contain "embedding" serve embeddings, "image" or "dall-e" images, "tts"
	// speech, "whisper" or "transcribe" transcriptions, "moderation" moderations;
	// all others chat, completions and responses.
	Model string
	// TokensPerMinute is the limit (or, for PTU, the capacity). 0: no limit.
	TokensPerMinute int64
	// RequestsPerMinute is enforced in slices of RequestWindow. 0: no limit.
	RequestsPerMinute int64
	// Limiter says how tokens are counted. Default: Fixed.
	Limiter Limiter
	// Phase moves the edges of fixed windows away from the full minute;
	// 0 ≤ Phase < 60 s.
	Phase time.Duration
	// RequestWindow is the slice in which requests are counted: at most
	// ⌈RequestsPerMinute·RequestWindow/60 s⌉ in each. Default: 10 s.
	RequestWindow time.Duration
	// Burst is PTU only: 100 % utilization is TokensPerMinute·Burst/60 s
	// tokens in the bucket. Default: 60 s.
	Burst time.Duration
	// ContextTokens is the model's context length; a longer prompt is answered
	// with 400 context_length_exceeded. 0: not checked.
	ContextTokens int64
	// Latency and Output replace the server's if not nil.
	Latency *Latency
	Output  *Output
}

// Limiter says how a deployment counts tokens.
type Limiter string

const (
	// Fixed counts in windows of 60 s that begin at the full minute plus Phase.
	Fixed Limiter = "fixed"
	// Sliding counts the tokens of the last 60 s and the requests of the last
	// RequestWindow, at every moment.
	Sliding Limiter = "sliding"
	// PTU is provisioned throughput: a leaky bucket that accepts while it is
	// below 100 %, is filled by an estimate on arrival and corrected at the end.
	PTU Limiter = "ptu"
)

// Latency is how long answers take. The zero value answers at once.
type Latency struct {
	// FirstByte passes before the headers of a stream, or before the first
	// token of a plain answer.
	FirstByte time.Duration
	// PerToken passes for each generated token (all choices advance together).
	PerToken time.Duration
	// Jitter is a fraction in [0, 1): each duration is multiplied by a factor
	// drawn uniformly from [1−Jitter, 1+Jitter].
	Jitter float64
}

// Output is the model of answer lengths, in tokens.
type Output struct {
	// Exact is the length of every answer, if > 0.
	Exact int64
	// Fill makes every answer as long as the request allows (the request's
	// maximum, but at most 100,000; without a maximum Mean).
	Fill bool
	// Mean is the median of the log-normal lengths otherwise. Default: 200.
	Mean int64
	// Spread is the σ of the logarithm of the length. 0: every length is Mean.
	Spread float64
	// Reasoning tokens come before the text: they take time, count as
	// completion tokens and against the maximum, and are not sent.
	Reasoning int64
	// ChunkTokens is how many tokens one stream event carries. Default: 1.
	ChunkTokens int64
	// Bytes is the least size of a picture and the size of a sound. 0: as small as
	// a picture can be, 480 bytes for each token that is spoken.
	Bytes int64
}

// Pace is how work goes on after its request is answered. In the zero value it is
// done before anybody can ask for it.
type Pace struct {
	// Queued passes before the work begins (a batch is validated then), Running
	// until it is done.
	Queued, Running time.Duration
	// Manual leaves each step to Server.Advance.
	Manual bool
}

// HeaderForm shapes one family of x-ratelimit-* headers.
type HeaderForm string

const (
	// HeaderDefault is the true number; for the reset headers: none in Azure's
	// dialects, a duration in OpenAI's.
	HeaderDefault HeaderForm = ""
	// HeaderNone leaves the headers out.
	HeaderNone HeaderForm = "none"
	// HeaderSeconds writes whole seconds (reset headers only).
	HeaderSeconds HeaderForm = "seconds"
	// HeaderDuration writes 6s, 1m0s or 120ms (reset headers only).
	HeaderDuration HeaderForm = "duration"
	// HeaderMinusOne writes -1, as the service does where it does not know.
	HeaderMinusOne HeaderForm = "-1"
	// HeaderZero writes 0 whatever the truth is.
	HeaderZero HeaderForm = "0"
)

// Headers shapes the x-ratelimit-* headers of all answers.
type Headers struct {
	Limit, Remaining, Reset HeaderForm
}

// RetryForm shapes what a 429 says about when to come back.
type RetryForm string

const (
	// RetryDefault is retry-after (whole seconds, rounded up) and retry-after-ms.
	RetryDefault RetryForm = ""
	// RetryInt is retry-after in whole seconds alone.
	RetryInt RetryForm = "int"
	// RetryFloat is retry-after with three decimals alone.
	RetryFloat RetryForm = "float"
	// RetryDate is retry-after as an HTTP date alone.
	RetryDate RetryForm = "date"
	// RetrySeconds is no retry-after, but x-ratelimit-reset-* like "6s".
	RetrySeconds RetryForm = "6s"
	// RetryDuration is no retry-after, but x-ratelimit-reset-* like "1m0s".
	RetryDuration RetryForm = "1m0s"
	// RetryMillis is retry-after-ms alone.
	RetryMillis RetryForm = "ms"
	// RetryDay is retry-after: 86400, which the service has sent.
	RetryDay RetryForm = "86400"
	// RetryNegative is retry-after: -1 and retry-after-ms: -1000.
	RetryNegative RetryForm = "negative"
	// RetryGarbage is retry-after: soon and retry-after-ms: 1e999.
	RetryGarbage RetryForm = "garbage"
	// RetryNone is neither header.
	RetryNone RetryForm = "none"
)

var retryForms = []RetryForm{RetryDefault, RetryInt, RetryFloat, RetryDate, RetrySeconds, RetryDuration,
	RetryMillis, RetryDay, RetryNegative, RetryGarbage, RetryNone}

const (
	defaultRecordRequests = 1000
	defaultRecordBytes    = 64 << 20
	defaultMaxBody        = 64 << 20
	defaultKept           = 10_000
	defaultMean           = 200
)

// withDefaults returns o with every zero value replaced by its meaning.
func (o Options) withDefaults() Options {
	if o.Region == "" {
		o.Region = "East US"
	}
	if o.RecordRequests == 0 {
		o.RecordRequests = defaultRecordRequests
	}
	if o.RecordBytes == 0 {
		o.RecordBytes = defaultRecordBytes
	}
	if o.Kept == 0 {
		o.Kept = defaultKept
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	deployments := make([]Deployment, len(o.Deployments))
	for i, d := range o.Deployments {
		deployments[i] = d.withDefaults(o)
	}
	o.Deployments = deployments
	return o
}

func (d Deployment) withDefaults(o Options) Deployment {
	if d.Model == "" {
		d.Model = d.Name
	}
	if d.Limiter == "" {
		d.Limiter = Fixed
	}
	if d.RequestWindow == 0 {
		d.RequestWindow = 10 * time.Second
	}
	if d.Burst == 0 {
		d.Burst = time.Minute
	}
	if d.Latency == nil {
		d.Latency = &o.Latency
	}
	if d.Output == nil {
		d.Output = &o.Output
	}
	out := *d.Output
	if out.Mean == 0 {
		out.Mean = defaultMean
	}
	if out.ChunkTokens == 0 {
		out.ChunkTokens = 1
	}
	d.Output = &out
	return d
}

// Validate reports every setting that has no meaning, all of them at once.
func (o Options) Validate() error {
	var errs []error
	seen := map[string]bool{}
	for _, d := range o.Deployments {
		if d.Name == "" {
			errs = append(errs, errors.New("a deployment has no name"))
		}
		if seen[d.Name] {
			errs = append(errs, fmt.Errorf("deployment %q is named twice", d.Name))
		}
		seen[d.Name] = true
		if err := d.validate(); err != nil {
			errs = append(errs, fmt.Errorf("deployment %q: %w", d.Name, err))
		}
	}
	if !knownRetryForm(o.Retry) {
		errs = append(errs, fmt.Errorf("unknown retry form %q; known: %q", o.Retry, retryForms))
	}
	for _, pace := range []Pace{o.Background, o.Batches} {
		if pace.Queued < 0 || pace.Running < 0 {
			errs = append(errs, errors.New("the times of a pace must not be negative"))
		}
	}
	for _, f := range []HeaderForm{o.Headers.Limit, o.Headers.Remaining, o.Headers.Reset} {
		switch f {
		case HeaderDefault, HeaderNone, HeaderSeconds, HeaderDuration, HeaderMinusOne, HeaderZero:
		default:
			errs = append(errs, fmt.Errorf("unknown header form %q", f))
		}
	}
	return errors.Join(errs...)
}

func (d Deployment) validate() error {
	switch d.Limiter {
	case "", Fixed, Sliding:
	case PTU:
		if d.TokensPerMinute <= 0 {
			return errors.New("limiter ptu needs TokensPerMinute > 0")
		}
	default:
		return fmt.Errorf("unknown limiter %q; known: fixed, sliding, ptu", d.Limiter)
	}
	if d.TokensPerMinute < 0 || d.RequestsPerMinute < 0 {
		return errors.New("limits must not be negative")
	}
	if d.Phase < 0 || d.Phase >= time.Minute {
		return fmt.Errorf("phase %v is not in [0, 60 s)", d.Phase)
	}
	if d.RequestWindow < 0 || d.RequestWindow > time.Minute || d.Burst < 0 {
		return errors.New("field RequestWindow must be in (0, 60 s] and Burst > 0")
	}
	if d.Latency != nil && (d.Latency.Jitter < 0 || d.Latency.Jitter >= 1) {
		return errors.New("field Jitter must be in [0, 1)")
	}
	return nil
}

func knownRetryForm(form RetryForm) bool {
	for _, known := range retryForms {
		if form == known {
			return true
		}
	}
	return false
}
