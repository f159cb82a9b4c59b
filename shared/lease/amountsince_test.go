package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// asks for units: of a cut as of a raise. It holds on to it until it is told a later one.
func TestTheRowTellsOfALaterAmount(t *testing.T) {
	for _, amount := range []int64{300, 2000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			first := time.Now()
			a, b := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
			knows, stale := a.LimitSince("k", 1000, quota.Month, first), b.LimitSince("k", 1000, quota.Month, first)
			reserve(t, knows, 100, lease.Granted)
			reserve(t, stale, 100, lease.Granted)
			pass(time.Second)
			second := time.Now()
			a.LimitSince("k", amount, quota.Month, second)
			reserve(t, knows, 50, lease.Granted)
			reserve(t, stale, 20, lease.Granted)
			reserve(t, stale, amount-270, lease.Granted)
			reserve(t, stale, 1, lease.Full)
			if got := stale.Amount(); got != amount {
				t.Errorf("amount %d, want %d", got, amount)
			}
			b.LimitSince("k", 1000, quota.Month, first) // It still has not read of it.
			if got := stale.Amount(); got != amount {
				t.Errorf("told the earlier amount: %d, want %d", got, amount)
			}
			reserve(t, stale, 1, lease.Full)
			reserve(t, knows, 1, lease.Full)
			b.LimitSince("k", amount+7, quota.Month, second.Add(time.Second))
			reserve(t, stale, 7, lease.Granted)
		})
	}
}

// of them takes by an amount of before does not come on top.
func TestACutIsWrittenBeforeTheLeaseGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
		now := time.Now()
		knows, stale := a.LimitSince("k", 1000, quota.Month, now), b.LimitSince("k", 1000, quota.Month, now)
		hoard(t, knows, 300, 100)
		a.LimitSince("k", 400, quota.Month, now.Add(time.Second))
		reserve(t, knows, 1, lease.Granted) // It holds 199 more.
		reserve(t, stale, 500, lease.TooLarge)
		reserve(t, stale, 101, lease.Full)
		reserve(t, stale, 100, lease.Granted)
		reserve(t, knows, 199, lease.Granted)
		reserve(t, knows, 1, lease.Full)
	})
}

// that stands in a row.
func TestMomentsAheadOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		now := time.Now()
		told := w.engine(lease.Deny, nil).LimitSince("k", 100, quota.Month, now.Add(time.Hour))
		reserve(t, told, 1, lease.Granted)
		if row := w.row("k", quota.Month, 0); row.LimitSince != 0 {
			t.Errorf("the row has %d", row.LimitSince)
		}
		row := w.row("k", quota.Month, 0)
		row.LimitSince = now.AddDate(20, 0, 0).UnixMicro()
		w.put("k", quota.Month, 0, row.Columns())
		reads := w.engine(lease.Deny, nil).LimitSince("k", 300, quota.Month, now)
		reserve(t, reads, 299, lease.Granted)
		reserve(t, reads, 1, lease.Full)
		if row := w.row("k", quota.Month, 0); row.LimitSince != now.UnixMicro() || row.Limit != 300 {
			t.Errorf("the row has %d since %d", row.Limit, row.LimitSince)
		}
	})
}

// it is told the later amount: what others took in between counts.
func TestAmountsBetweenTwoThatAreEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
		start := time.Now()
		l := a.LimitSince("k", 100, quota.Month, start)
		hoard(t, l, 60, 10)
		pass(time.Minute)
		reserve(t, b.LimitSince("k", 300, quota.Month, start.Add(time.Second)), 200, lease.Granted)
		a.LimitSince("k", 100, quota.Month, start.Add(2*time.Second))
		reserve(t, l, 1, lease.Full)
	})
}

// yet turn out that others have taken what the cut leaves.
func TestNothingIsSpentBeforeTheCutIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 1000, quota.Month)
		hoard(t, l, 300, 100)
		e.Limit("k", 500, quota.Month)
		w.store.once("replace", fault{delay: 50 * time.Millisecond})
		began := time.Now()
		first := make(chan time.Duration)
		go func() {
			reserve(t, l, 1, lease.Granted)
			first <- time.Since(began)
		}()
		pass(20 * time.Millisecond)
		reserve(t, l, 1, lease.Granted)
		for _, took := range []time.Duration{<-first, time.Since(began)} {
			if took < 50*time.Millisecond {
				t.Errorf("granted after %s, before the row was written", took)
			}
		}
	})
}

// An instance that was told of neither a raise nor of its end has not missed anything if
