package clock

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// exchange shows the clock one answer of a server whose time is the local one plus
// offset, with equal ways there and back.
func exchange(c *Clock, local time.Time, offset, roundTrip time.Duration) {
	date := local.Add(roundTrip / 2).Add(offset).Truncate(time.Second)
	c.Observe(date, local, local.Add(roundTrip))
}

func TestZeroClockIsLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		if got := c.Now(); !got.Equal(time.Now()) || c.Offset() != 0 {
			t.Errorf("%v with offset %v, want local time %v", got, c.Offset(), time.Now())
		}
		if got := c.Read().Time(); !got.Equal(time.Now()) {
			t.Errorf("read %v, want %v", got, time.Now())
		}
		before := c.Now()
		<-time.After(time.Minute)
		if got := c.Now().Sub(before); got != time.Minute {
			t.Errorf("a minute took %v, want %v", got, time.Minute)
		}
	})
}

// TestOffsetIsLearned: the error shrinks with the samples, from a second to about the
// round trip, whatever the offset is.
func TestOffsetIsLearned(t *testing.T) {
	for _, offset := range []time.Duration{3300 * time.Millisecond, -90 * time.Second, 2 * time.Hour, -1234 * time.Millisecond} {
		var c Clock
		random := rand.New(rand.NewPCG(1, 2))
		local := epoch
		for i := range 200 {
			exchange(&c, local, offset, 20*time.Millisecond)
			wrong := (c.Offset() - offset).Abs()
			if bound := 520 * time.Millisecond; wrong > bound {
				t.Fatalf("offset %v: %v off after %d samples, want at most %v", offset, wrong, i+1, bound)
			}
			local = local.Add(time.Duration(random.Int64N(int64(5 * time.Second))))
		}
		if wrong := (c.Offset() - offset).Abs(); wrong > 60*time.Millisecond {
			t.Errorf("offset %v: %v off after 200 samples, want at most %v", offset, wrong, 60*time.Millisecond)
		}
	}
}

// TestRightClockIsLeftAlone: while the local clock may be right it is not touched:
// instances kept by NTP agree better than a Date header could make them.
func TestRightClockIsLeftAlone(t *testing.T) {
	var c Clock
	local := epoch
	for range 100 {
		exchange(&c, local, 0, 15*time.Millisecond)
		if c.Offset() != 0 {
			t.Fatalf("offset %v at %v, want none", c.Offset(), local)
		}
		local = local.Add(777 * time.Millisecond)
	}
}

// TestOneWrongDate: a single wrong header moves nothing, not even between good ones.
func TestOneWrongDate(t *testing.T) {
	var c Clock
	for i := range 20 {
		exchange(&c, epoch.Add(time.Duration(i)*1234*time.Millisecond), 0, 10*time.Millisecond)
		exchange(&c, epoch.Add(time.Duration(i)*1234*time.Millisecond+time.Millisecond), time.Duration(i+1)*time.Hour, 10*time.Millisecond)
		if c.Offset() != 0 {
			t.Fatalf("offset %v after a wrong date, want 0", c.Offset())
		}
	}
}

// TestSteppedClockIsFollowed: when the local clock was set, the second sample that
// says so is believed.
func TestSteppedClockIsFollowed(t *testing.T) {
	var c Clock
	for i := range 50 {
		exchange(&c, epoch.Add(time.Duration(i)*time.Second), 0, 10*time.Millisecond)
	}
	after := epoch.Add(-time.Hour) // Local time was set back by an hour.
	exchange(&c, after, time.Hour, 10*time.Millisecond)
	if c.Offset() != 0 {
		t.Errorf("one sample moved the clock by %v, want 0", c.Offset())
	}
	exchange(&c, after.Add(time.Second), time.Hour, 10*time.Millisecond)
	if wrong := (c.Offset() - time.Hour).Abs(); wrong > 520*time.Millisecond {
		t.Errorf("offset %v, want about an hour", c.Offset())
	}
}

// TestUselessSamples: nothing is learned from an exchange that ended before it began,
// took longer than ten seconds or had no date.
func TestUselessSamples(t *testing.T) {
	var c Clock
	c.Observe(epoch.Add(time.Hour), epoch, epoch.Add(-time.Second))
	c.Observe(epoch.Add(time.Hour), epoch, epoch.Add(time.Minute))
	c.Observe(time.Time{}, epoch, epoch.Add(time.Millisecond))
	if c.Offset() != 0 {
		t.Errorf("offset %v, want none", c.Offset())
	}
}

// TestDriftIsForgiven: clocks that part slowly are followed without a contradiction.
func TestDriftIsForgiven(t *testing.T) {
	var c Clock
	local, offset := epoch, 5*time.Second
	for range 2000 {
		exchange(&c, local, offset, 20*time.Millisecond)
		local = local.Add(10*time.Second + 313*time.Millisecond)
		offset += 200 * time.Microsecond // 20 ppm.
	}
	if wrong := (c.Offset() - offset).Abs(); wrong > 520*time.Millisecond {
		t.Errorf("%v off after %v of drift, want at most %v", wrong, offset-5*time.Second, 520*time.Millisecond)
	}
}

func TestConcurrentUse(t *testing.T) {
	var c Clock
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 200 {
				exchange(&c, epoch.Add(time.Duration(i)*time.Second), 7*time.Second, 10*time.Millisecond)
				c.Now()
				c.Until(epoch).Passed(&c)
			}
		})
	}
	group.Wait()
	if wrong := (c.Offset() - 7*time.Second).Abs(); wrong > 520*time.Millisecond {
		t.Errorf("offset %v, want about 7s", c.Offset())
	}
}

// TestDeadline: either clock may say that it is over.
func TestDeadline(t *testing.T) {
	for _, c := range []struct {
		name            string
		wall, monotonic time.Duration // How far each clock got, of a minute.
		passed          bool
	}{
		{"at once", 0, 0, false},
		{"just before", time.Minute - 1, time.Minute - 1, false},
		{"in time", time.Minute, time.Minute, true},
		{"frozen: the monotonic clock stood still", time.Minute, time.Second, true},
		{"the wall clock was set back", -time.Hour, time.Minute, true},
		{"both behind", time.Second, time.Second, false},
	} {
		wall, monotonic := epoch, time.Duration(0)
		clk := New(func() (time.Time, time.Duration) { return wall, monotonic })
		d := clk.Until(epoch.Add(time.Minute))
		wall, monotonic = epoch.Add(c.wall), c.monotonic
		if got := d.Passed(clk); got != c.passed {
			t.Errorf("%s: passed is %v, want %v", c.name, got, c.passed)
		}
		if !d.Time().Equal(epoch.Add(time.Minute)) {
			t.Errorf("%s: deadline at %v", c.name, d.Time())
		}
	}
	if !(Deadline{}).Passed(new(Clock)) {
		t.Error("the zero deadline has not passed")
	}
}

// TestDeadlineFollowsTheOffset: learning the right time moves the wall clock that the
// deadline is held against.
func TestDeadlineFollowsTheOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		d := c.Until(time.Now().Add(time.Minute))
		if d.Passed(&c) {
			t.Fatal("passed at once")
		}
		exchange(&c, time.Now(), 2*time.Minute, 0)
		if !d.Passed(&c) {
			t.Error("not passed although it is two minutes later")
		}
	})
}

func TestLater(t *testing.T) {
	c := New(func() (time.Time, time.Duration) { return epoch, 0 })
	soon, late := c.Until(epoch.Add(time.Second)), c.Until(epoch.Add(time.Minute))
	if soon.Later(late) != late || late.Later(soon) != late {
		t.Error("the later deadline is not the later one")
	}
}

func BenchmarkRead(b *testing.B) {
	var c Clock
	b.ReportAllocs()
	for b.Loop() {
		c.Read()
	}
}
