package faultstore_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

func TestOutageAndReadOnly(t *testing.T) {
	inner := memory.New()
	s, err := faultstore.New(inner, faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetReadOnly(true)
	_, err = s.Insert(ctx, key, one)
	want(t, "insert while writes fail", err, store.ErrUnavailable)
	_, err = s.Get(ctx, key)
	want(t, "get while writes fail", err, store.ErrNotFound)
	s.SetReadOnly(false)
	etag, err := s.Insert(ctx, key, one)
	want(t, "insert", err, nil)
	s.SetOutage(true)
	_, err = s.Get(ctx, key)
	want(t, "get in an outage", err, store.ErrUnavailable)
	want(t, "query in an outage", query(s), store.ErrUnavailable)
	want(t, "delete in an outage", s.Delete(ctx, key, etag), store.ErrUnavailable)
	s.SetOutage(false)
	want(t, "delete", s.Delete(ctx, key, etag), nil)
	if s.Count(faultstore.Outage) != 3 || s.Count(faultstore.WriteRefused) != 1 {
		t.Errorf("%d outages and %d refused writes, want 3, 1", s.Count(faultstore.Outage), s.Count(faultstore.WriteRefused))
	}
}

func TestWriteOnly(t *testing.T) {
	s, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetWriteOnly(true)
	etag, err := s.Insert(ctx, key, one)
	want(t, "insert while reads fail", err, nil)
	_, err = s.Get(ctx, key)
	want(t, "get while reads fail", err, store.ErrUnavailable)
	want(t, "query while reads fail", query(s), store.ErrUnavailable)
	_, err = s.Replace(ctx, key, two, etag)
	want(t, "replace while reads fail", err, nil)
	s.SetWriteOnly(false)
	if got := value(t, s, key); got != int64(2) || s.Count(faultstore.ReadRefused) != 2 {
		t.Errorf("the row holds %v, %d reads were refused, want %v, 2", got, s.Count(faultstore.ReadRefused), int64(2))
	}
}

func TestSlowdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 4 * time.Millisecond
		s, err := faultstore.New(memory.New(), faultstore.Options{Latency: [2]time.Duration{latency, latency}})
		if err != nil {
			t.Fatal(err)
		}
		took := func() time.Duration {
			start := time.Now()
			_, err := s.Get(ctx, key)
			want(t, "get", err, store.ErrNotFound)
			return time.Since(start)
		}
		if d := took(); d != latency {
			t.Errorf("an operation takes %v, want %v", d, latency)
		}
		s.SetSlowdown(50)
		if d := took(); d != 50*latency {
			t.Errorf("an operation fifty times as slow takes %v, want %v", d, 50*latency)
		}
		// A deadline that it does not meet loses it, as ever.
		short, cancel := context.WithTimeout(ctx, 10*latency)
		defer cancel()
		_, err = s.Insert(short, key, one)
		want(t, "insert", err, store.ErrAmbiguous)
		s.SetSlowdown(1)
		if d := took(); d != latency || s.Count(faultstore.Slowed) != 2 {
			t.Errorf("an operation takes %v afterwards; %d were slowed, want %v, 2", d, s.Count(faultstore.Slowed), latency)
		}
	})
}

func TestLoseTable(t *testing.T) {
	s, inner, etag := always(t, faultstore.Delayed)
	if err := s.SetRates(nil); err != nil {
		t.Fatal(err)
	}
	s.LoseTable(memory.New())
	_, err := s.Get(ctx, key)
	want(t, "get", err, store.ErrNotFound)
	_, err = s.Replace(ctx, key, two, etag)
	want(t, "replace", err, store.ErrNotFound)
	_, err = s.Insert(ctx, key, two)
	want(t, "insert", err, nil)
	if got := value(t, inner, key); got != int64(1) || s.Count(faultstore.TableLost) != 1 {
		t.Errorf("the lost table holds %v; %d were lost, want %v, 1", got, s.Count(faultstore.TableLost), int64(1))
	}
}

// Dates come with the answers that arrive, in whole seconds.
func TestServerDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type observation struct{ date, sent, received time.Time }
		var seen []observation
		s, err := faultstore.New(memory.New(), faultstore.Options{
			Latency:      [2]time.Duration{700 * time.Millisecond, 700 * time.Millisecond},
			OnServerDate: func(date, sent, received time.Time) { seen = append(seen, observation{date, sent, received}) },
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = s.Insert(ctx, key, one)
		want(t, "insert", err, nil)
		s.SetDateOffset(-2 * time.Second)
		want(t, "query", query(s), nil)
		s.SetOutage(true)
		_, err = s.Get(ctx, key)
		want(t, "get in an outage", err, store.ErrUnavailable)
		at := func(d time.Duration) time.Time { return start.Add(d * time.Millisecond) }
		wanted := []observation{{at(0), at(0), at(700)}, {at(-1000), at(700), at(1400)}}
		if len(seen) != len(wanted) {
			t.Fatalf("%d dates, want %d", len(seen), len(wanted))
		}
		for i, o := range seen {
			if !o.date.Equal(wanted[i].date) || !o.sent.Equal(wanted[i].sent) || !o.received.Equal(wanted[i].received) {
				t.Errorf("answer %d: %v, want %v", i, o, wanted[i])
			}
		}
		if s.Count(faultstore.DateOff) != 1 {
			t.Errorf("%d dates were off, want 1", s.Count(faultstore.DateOff))
		}
	})
}
