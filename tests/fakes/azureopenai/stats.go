package azureopenai

import (
	"maps"
	"time"
)

// Stats are the counters of one deployment since New. Tokens are in the
// service's own count.
type Stats struct {
	// Requests is every request that named this deployment with good
	// credentials; Accepted those the limiter let through; Rejected429 those it
	// did not (throttle faults included); Failed those that ended with another
	// status ≥ 400 or a broken connection.
	Requests, Accepted, Rejected429, Failed int64
	// RejectedBy splits Rejected429 by reason.
	RejectedBy map[ThrottleKind]int64
	// TokensCharged is what the limiter booked, by the Unix second at which the
	// minute (moved by Phase) began. PTU corrections count in the minute in
	// which they were made.
	TokensCharged map[int64]int64
	// PromptTokens, CachedTokens and CompletionTokens are what was really read
	// and generated, aborted answers included.
	PromptTokens, CachedTokens, CompletionTokens int64
	// Streams is how many accepted requests asked for a stream.
	Streams int64
	// Canceled is how many clients left before the end of their answer.
	Canceled int64
	// InFlight is the number of requests being answered now, MaxInFlight the
	// most there ever were.
	InFlight, MaxInFlight int64
	// Faults counts the requests hit, by kind.
	Faults map[FaultKind]int64
}

// Charged is the sum of TokensCharged.
func (s Stats) Charged() int64 {
	var sum int64
	for _, n := range s.TokensCharged {
		sum += n
	}
	return sum
}

// Fill is the share of limit that was charged in the minute that began at
// start, 1 being all of it. Phase is taken into account by the caller: start
// must be the beginning of a window.
func (s Stats) Fill(start time.Time, limit int64) float64 {
	return float64(s.TokensCharged[start.Unix()]) / float64(limit)
}

func (s Stats) clone() Stats {
	s.RejectedBy = maps.Clone(s.RejectedBy)
	s.TokensCharged = maps.Clone(s.TokensCharged)
	s.Faults = maps.Clone(s.Faults)
	return s
}

func newStats() Stats {
	return Stats{RejectedBy: map[ThrottleKind]int64{}, TokensCharged: map[int64]int64{}, Faults: map[FaultKind]int64{}}
}
