package replay

import "testing"

func TestRequestsAreChargedUniformlyWithinTheBounds(t *testing.T) {
	for _, s := range []Scenario{{Low: 1100, High: 1400}, {Low: 40, High: 100}} {
		const sample = 2000
		seen, sum, n := map[int64]int{}, int64(0), 0
		for r := range s.requests(0, 1) {
			booked, err := charge(r.body)
			if err != nil {
				t.Fatal(err)
			}
			if booked != r.charge || booked < s.Low || booked > s.High {
				t.Fatalf("%s is charged %d tokens, announced as %d, want %d to %d", r.id, booked, r.charge, s.Low, s.High)
			}
			seen[booked]++
			sum += booked
			if n++; n == sample {
				break
			}
		}
		// 2,000 draws miss the middle by a tenth of the span with a chance below 10⁻⁵⁰.
		middle, span := (s.Low+s.High)/2, s.High-s.Low
		if mean := sum / sample; mean < middle-span/10 || mean > middle+span/10 {
			t.Errorf("%d to %d: mean %d, want about %d", s.Low, s.High, mean, middle)
		}
		if int64(len(seen)) < span/2 {
			t.Errorf("%d to %d: only %d different charges", s.Low, s.High, len(seen))
		}
	}
}

func TestAllGatewaysGetTheSameRequestsAndNoTwoUsersDo(t *testing.T) {
	s := Scenario{Low: 1100, High: 1400}
	first := func(user int, seed uint64) string {
		for r := range s.requests(user, seed) {
			return string(r.body)
		}
		return ""
	}
	one := first(3, 1)
	if again := first(3, 1); again != one {
		t.Error("the same user and seed give different requests")
	}
	if first(4, 1) == one || first(3, 2) == one {
		t.Error("another user or seed gives the same request")
	}
}
