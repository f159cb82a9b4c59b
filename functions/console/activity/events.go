package activity

import (
	"slices"
	"time"
)

// Event is something that happened to a deployment, or to the store as a whole.
type Event struct {
	At         time.Time  `json:"at"`
	Kind       string     `json:"kind"` // opened, half_open, closed, throttled, lifted, unusable, degraded or recovered
	Deployment string     `json:"deployment,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Until      *time.Time `json:"until,omitempty"`
	Opens      int        `json:"opens,omitempty"`  // in a row
	Status     int        `json:"status,omitempty"` // of the backend's answer
}

// throttling tells the events that a busy deployment makes by the minute.
func (e Event) throttling() bool { return e.Kind == "throttled" || e.Kind == "lifted" }

// keptEvents is how many events of a sort are kept.
const keptEvents = 200

// events keeps the latest ones. Throttles have a ring of their own: there may be many,
// and they must not wash out when a breaker opened.
type events struct{ throttles, others eventRing }

func (e *events) add(event Event) {
	if event.throttling() {
		e.throttles.add(event)
		return
	}
	e.others.add(event)
}

// since returns the events at or after a moment, oldest first.
func (e *events) since(moment time.Time) []Event {
	all := make([]Event, 0, len(e.throttles.kept)+len(e.others.kept))
	for _, event := range slices.Concat(e.throttles.kept, e.others.kept) {
		if !event.At.Before(moment) {
			all = append(all, event)
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all
}

// eventRing keeps keptEvents events.
type eventRing struct {
	kept []Event
	next int // where the next one goes, once the ring is full
}

func (r *eventRing) add(event Event) {
	if len(r.kept) < keptEvents {
		r.kept = append(r.kept, event)
		return
	}
	r.kept[r.next] = event
	r.next = (r.next + 1) % keptEvents
}
