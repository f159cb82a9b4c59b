package lease

import (
	"time"

	"spillway/shared/quota"
)

// Outcome is the kind of a Verdict.
type Outcome uint8

// The outcomes of Reserve. Granted is the zero value.
const (
	// Granted: the units are reserved.
	Granted Outcome = iota
	// Unmetered: the units are reserved although the store is down and no row
	// granted them. They are debited when it is back, within the same window.
	Unmetered
	// Full: no room now. RetryAt is when there may be: the window's end, or the
	// end of a correction by a backend. What others give back before is not foreseen.
	Full
	// TooLarge: more than the whole limit. Waiting cannot help.
	TooLarge
	// Contended: other instances' writes used up the time. Try again at RetryAt,
	// a moment from now.
	Contended
	// Refused: the store is down and the policy does not allow more.
	Refused
	// Canceled: the caller's context ended while it waited.
	Canceled
)

// String returns the outcome's name.
func (o Outcome) String() string {
	names := [...]string{"granted", "unmetered", "full", "too large", "contended", "refused", "canceled"}
	if int(o) >= len(names) {
		return "unknown"
	}
	return names[o]
}

// Verdict is the answer of Reserve: a value, since a full limit is no error.
type Verdict struct {
	Outcome Outcome
	// RetryAt is the soonest moment at which the same request may be granted. It
	// is zero where the units were granted, are too many, or nobody waits.
	RetryAt time.Time
}

// OK tells whether the units are reserved.
func (v Verdict) OK() bool {
	return v.Outcome == Granted || v.Outcome == Unmetered
}

// Reservation is units set aside for one request. The zero value is a reservation
// of nothing. It is not safe for concurrent use, and must be settled through one
// copy only.
type Reservation struct {
	limit      *Limit // nil once settled.
	units      int64
	generation uint32
	correction uint32
}

// Reserved returns the number of units set aside, also after Settle.
func (r *Reservation) Reserved() int64 {
	return r.units
}

// Settle ends the reservation with what the request really took. The difference
// goes back to the lease it came from or, when more was taken, is a debt that the
// next acquisition pays; after the window's edge it is dropped. A negative actual
// counts as zero. Only the first call of Settle or Cancel does anything.
func (r *Reservation) Settle(actual int64) {
	l := r.limit
	if l == nil {
		return
	}
	r.limit = nil
	l.settle(r.generation, r.correction, r.units-min(max(actual, 0), quota.MaxUnits))
}

// Cancel ends the reservation of a request that took nothing.
func (r *Reservation) Cancel() {
	r.Settle(0)
}
