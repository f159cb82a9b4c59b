package judge_test

import (
	"strings"
	"testing"
	"time"

	"spillway/tests/prove/judge"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a moment: order, and seconds since the start.
func at(order int64, seconds float64) judge.Moment {
	return judge.Moment{Order: order, At: start.Add(time.Duration(seconds * float64(time.Second)))}
}

// served is a request that the PTU has accepted.
func served(id string, charge int64, read, left judge.Moment) (judge.Journey, judge.Booking) {
	return judge.Journey{ID: id, Charge: charge, Started: read.At, Ended: left.At, Status: 200, Read: read,
			Sent: []judge.Departure{{Backend: "ptu", Moment: left}}},
		judge.Booking{ID: id, Charge: charge, Arrived: left.At, Noted: left.At, Accepted: true}
}

// spilled is a request that was sent elsewhere.
func spilled(id string, charge int64, read, left judge.Moment) judge.Journey {
	return judge.Journey{ID: id, Charge: charge, Started: read.At, Ended: left.At, Status: 200, Read: read,
		Sent: []judge.Departure{{Backend: "payg", Moment: left}}}
}

// evidence is a PTU of 1,000 tokens that has accepted one request, and one
// request that was spilled.
func evidence(reserve int64, on judge.Journey, b judge.Booking, off judge.Journey) judge.Evidence {
	return judge.Evidence{
		PTU: "ptu", Limit: 1000, Reserve: reserve, Start: start, Windows: 2,
		Journeys: []judge.Journey{on, off}, Bookings: []judge.Booking{b},
		Charged: map[int64]int64{b.Noted.Truncate(time.Minute).Unix(): b.Charge},
	}
}

func TestVerdictOnASpilledRequest(t *testing.T) {
	tests := []struct {
		name       string
		reserve    int64
		charge     int64 // of the request on the PTU
		read, left judge.Moment
		spill      int64
		from, to   judge.Moment
		want       judge.Result
	}{
		{"the PTU had room", 0, 500, at(1, 1), at(2, 1), 500, at(3, 2), at(4, 2), judge.Result{Fitted: 1}},
		{"one token too many", 0, 501, at(1, 1), at(2, 1), 500, at(3, 2), at(4, 2), judge.Result{Full: 1}},
		{"the room is spoken for by a request on its way", 0, 501, at(1, 1), at(2, 1), 500, at(3, 1), at(4, 1), judge.Result{Full: 1}},
		{"decided at the same time as the request that filled it", 0, 501, at(1, 1), at(3, 1), 500, at(2, 1), at(4, 1), judge.Result{Undecided: 1}},
		{"decided before the request that filled it came", 0, 501, at(3, 1), at(4, 1), 500, at(1, 1), at(2, 1), judge.Result{Fitted: 1}},
		{"decided at the same time, but there is room for both", 0, 400, at(1, 1), at(3, 1), 500, at(2, 1), at(4, 1), judge.Result{Fitted: 1}},
		{"a new window has room", 0, 900, at(1, 59), at(2, 59), 500, at(3, 60), at(4, 60), judge.Result{Fitted: 1}},
		{"the window ends in the middle of the decision", 0, 900, at(1, 1), at(2, 1), 500, at(3, 59.9), at(4, 60.1), judge.Result{Undecided: 1}},
		{"below the reserve", 600, 500, at(1, 1), at(2, 1), 100, at(3, 2), at(4, 2), judge.Result{Kept: 1}},
		{"above the reserve", 600, 400, at(1, 1), at(2, 1), 100, at(3, 2), at(4, 2), judge.Result{Fitted: 1}},
		{"below the reserve and too large", 600, 500, at(1, 1), at(2, 1), 501, at(3, 2), at(4, 2), judge.Result{Full: 1}},
		{"the reserve is reached at the same time", 600, 500, at(1, 1), at(3, 1), 100, at(2, 1), at(4, 1), judge.Result{Undecided: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on, booking := served("on", tt.charge, tt.read, tt.left)
			got, err := judge.Weigh(evidence(tt.reserve, on, booking, spilled("off", tt.spill, tt.from, tt.to)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Fitted != tt.want.Fitted || got.Full != tt.want.Full || got.Kept != tt.want.Kept || got.Undecided != tt.want.Undecided {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if sum := got.Full + got.Refused + got.Kept + got.Fitted + got.Undecided; got.Spilled != 1 || sum != 1 {
				t.Errorf("%d spilled, %d verdicts; want one of each", got.Spilled, sum)
			}
		})
	}
}

// A request that left the gateway in one window and was charged in the next
// takes room of the first as long as it is on its way, and of the second after.
func TestARequestThatStraddlesAnEdgeConvictsNobody(t *testing.T) {
	on, booking := served("on", 900, at(1, 59.99), at(2, 59.99))
	booking.Arrived, booking.Noted = start.Add(60*time.Second), start.Add(60*time.Second)
	early, err := judge.Weigh(evidence(0, on, booking, spilled("off", 500, at(3, 59.995), at(4, 59.995))))
	if err != nil || early.Fitted != 0 || early.Undecided != 1 {
		t.Errorf("in the first window: %+v, %v; want it undecided", early, err)
	}
	late, err := judge.Weigh(evidence(0, on, booking, spilled("off", 500, at(3, 61), at(4, 61))))
	if err != nil || late.Full != 1 {
		t.Errorf("in the second window: %+v, %v; want it full", late, err)
	}
}

func TestFiguresOfAReplay(t *testing.T) {
	on, booking := served("on", 800, at(1, 1), at(2, 1))
	e := evidence(0, on, booking, spilled("off", 300, at(3, 2), at(4, 2)))
	e.Journeys = append(e.Journeys,
		judge.Journey{ID: "refused", Charge: 500, Started: start, Status: 429, Read: at(5, 3), Sent: []judge.Departure{{Backend: "ptu", Moment: at(6, 3)}}},
		judge.Journey{ID: "moved", Charge: 250, Started: start.Add(time.Minute), Status: 200, Read: at(7, 63),
			Sent: []judge.Departure{{Backend: "ptu", Moment: at(8, 63)}, {Backend: "payg", Moment: at(9, 63)}}},
		judge.Journey{ID: "lost", Charge: 10, Started: start, Status: 502, Read: at(10, 5)})
	e.Bookings = append(e.Bookings,
		judge.Booking{ID: "refused", Charge: 500, Arrived: start, Noted: start.Add(3 * time.Second)},
		judge.Booking{ID: "moved", Charge: 250, Arrived: start, Noted: start.Add(63 * time.Second)})
	e.Rejected429 = 2
	got, err := judge.Weigh(e)
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 5 || got.Client429 != 1 || got.Backend429 != 2 || got.OtherErrors != 1 || got.Spilled != 2 || got.Refused != 1 || got.Full != 1 {
		t.Errorf("counts are wrong: %+v", got)
	}
	if got.Overshoot != 300 {
		t.Errorf("overshoot %d, want 300: 1,300 tokens were sent in the first window", got.Overshoot)
	}
	first, second := got.Windows[0], got.Windows[1]
	if first.Charged != 800 || first.Sent != 1300 || first.Wanted != 1610 || second.Charged != 0 || second.Sent != 250 || second.Wanted != 250 {
		t.Errorf("windows are wrong: %+v", got.Windows)
	}
	if fill := got.Fill(e.Limit); fill[0] != 0.8 || fill[1] != 0 {
		t.Errorf("fill %v, want 0.8 and 0", fill)
	}
}

func TestEvidenceThatContradictsItselfIsVoid(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*judge.Evidence)
		want  string
	}{
		{"a request that nobody sent", func(e *judge.Evidence) { e.Bookings[0].ID = "else" }, "nobody has sent"},
		{"a booking is lost", func(e *judge.Evidence) { e.Bookings = nil }, "charged 500 tokens, the requests it accepted add up to 0"},
		{"a name twice", func(e *judge.Evidence) { e.Journeys[1].ID = "on" }, "two requests"},
		{"sent before it was read", func(e *judge.Evidence) { e.Journeys[1].Read.Order = 0 }, "before it was read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on, booking := served("on", 500, at(1, 1), at(2, 1))
			e := evidence(0, on, booking, spilled("off", 500, at(3, 2), at(4, 2)))
			tt.spoil(&e)
			if _, err := judge.Weigh(e); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
