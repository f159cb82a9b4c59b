// Package replay puts gateways in front of simulated backends and replays the
// same requests against each: parallel users that send one request after
// another without a pause, for a number of full windows of the PTU.
//
// It runs in real time over sockets, and in virtual time in memory inside a
// testing/synctest bubble: see Network.
package replay

import (
	"fmt"
	"time"
)

// The simulated backends. They behave the same in front of every gateway.
const (
	// Limit is the PTU's, in tokens per window of a minute.
	Limit = 10_000
	// PAYGLimit is that of each PAYG backend: more than any scenario asks for.
	PAYGLimit = 100_000_000
	// Fastest and Slowest bound the time that a backend takes to answer; it is
	// uniform between the two. A 429 comes at once.
	Fastest, Slowest = time.Second, 2 * time.Second
	// Pause is how long a user waits after a 429.
	Pause = time.Second

	model = "gpt-4o" // the name of the deployment on each backend too
	ptu   = "ptu"
)

// payg are the names of the PAYG backends.
var payg = []string{"payg-one", "payg-two"}

// Kind is a kind of gateway.
type Kind string

// The kinds of gateway.
const (
	Spillway Kind = "Spillway"
	PostPaid Kind = "post-paid counter"
)

// Contender is a gateway with its setting.
type Contender struct {
	Kind Kind `json:"gateway"`
	// SpillBelow: fewer tokens than this left in the window, and requests go to
	// PAYG.
	SpillBelow int64 `json:"spillBelow"`
	// MinFill is the share of the limit that the PTU must at least be charged with
	// in each window; 0: not demanded.
	MinFill float64 `json:"minFill,omitempty"`
}

// Scenario is a load, and the gateways that it is put on.
type Scenario struct {
	Users int `json:"users"`
	// Low and High bound what the PTU's limiter charges for a request: uniform
	// between the two, in tokens.
	Low        int64       `json:"low"`
	High       int64       `json:"high"`
	Contenders []Contender `json:"-"`
}

// Name says what the load is.
func (s Scenario) Name() string {
	return fmt.Sprintf("%d users, requests of %d–%d tokens", s.Users, s.Low, s.High)
}

// Scenarios are the case that the project was made for, replayed with each
// number of users, and the same with small requests and the most users; fewer
// than 30 would not ask for enough of those.
func Scenarios(users []int) []Scenario {
	const small, large = 100, 1400
	const asked = 600 // the spillBelow of the case
	var all []Scenario
	most := 30
	for _, n := range users {
		most = max(most, n)
		all = append(all, Scenario{Users: n, Low: 1100, High: large, Contenders: []Contender{
			{Kind: Spillway, SpillBelow: asked},
			{Kind: PostPaid, SpillBelow: asked},
			{Kind: PostPaid, SpillBelow: large}, // the best it can be set to: any request fits into what it takes to be left
		}})
	}
	return append(all, Scenario{Users: most, Low: 40, High: small, Contenders: []Contender{
		{Kind: Spillway, SpillBelow: 0, MinFill: 0.98},
		{Kind: PostPaid, SpillBelow: small},
		{Kind: Spillway, SpillBelow: asked, MinFill: 1 - float64(asked)/Limit},
	}})
}
