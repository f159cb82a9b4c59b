package lease

import (
	"slices"
	"testing"

	"spillway/shared/quota"
)

// Each limit is found under its own id, also where two have the same hash, and as long
// as it was not removed.
func TestLimits(t *testing.T) {
	for _, collide := range []bool{false, true} {
		s := newLimits()
		made := func(key string, p quota.Period) *Limit { return newLimit(nil, limitKey{key, p}) }
		a, b, c := made("a", quota.Minute), made("b", quota.Minute), made("a", quota.Month)
		s.add(a)
		if collide {
			s.place[s.hash(b.id())] = s.place[s.hash(a.id())]
		}
		s.add(b)
		s.add(c)
		check := func(want ...*Limit) {
			t.Helper()
			for _, l := range []*Limit{a, b, c} {
				if got := s.get(l.id()); (got == l) != slices.Contains(want, l) || got != nil && got != l {
					t.Errorf("collide %t: %v gives %v, want one of %v", collide, l.id(), got, want)
				}
			}
			if n := len(slices.Collect(s.each)); n != len(want) {
				t.Errorf("collide %t: %d limits in all, want %d", collide, n, len(want))
			}
		}
		check(a, b, c)
		s.remove(b)
		check(a, c)
		s.add(b)
		check(a, b, c)
		s.remove(a)
		if collide {
			delete(s.place, s.hash(b.id())) // As if it were a's as well.
		}
		check(b, c)
		s.remove(c)
		s.remove(b)
		check()
		s.add(a)
		check(a)
		if len(s.all) > 3 {
			t.Errorf("collide %t: %d places for 3 limits", collide, len(s.all))
		}
	}
}
