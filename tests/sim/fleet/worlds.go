package fleet

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
	"spillway/tests/sim/script"
)

// Wrong is a world that is wrong on purpose, and the rule by which the judge
// must see it.
type Wrong struct {
	Name   string
	Tamper Tamper
	Rule   string
}

// Worlds are the wrong worlds.
func Worlds() []Wrong {
	return []Wrong{
		{"the table ignores If-Match", tables(func(s store.Store) store.Store { return blind{s} }), RuleLimit},
		{"a write that failed counts as made", tables(func(s store.Store) store.Store { return trusting{s} }), RuleLimit},
		{"the table forgets some of what was granted", tables(func(s store.Store) store.Store { return forgetful{s} }), RuleLimit},
		{"limits are told twice as large", Tamper{Factor: 2}, RuleLimit},
		{"no clock is ever corrected", Tamper{Deaf: true}, RuleClock},
		{"instances take the same chunk six times", tables(func(s store.Store) store.Store { return hoarding{s} }), RuleStranded},
		{"instances ask for each row twenty times", tables(func(s store.Store) store.Store { return nervous{s} }), RuleWork},
		{"requests are held up", Tamper{Before: late}, RuleTable},
		{"some requests fail", Tamper{Handler: moody}, RuleTable},
		{"trials are taken over while they run", tables(func(s store.Store) store.Store { return bold{s} }), RuleTrial},
		{"two instances own one trial", tables(func(s store.Store) store.Store { return stubborn{s} }), RuleTrial},
		{"one instance never recovers", Tamper{Handler: broken}, RuleRecovery},
		{"records are lost", records(func(r []usage.Record) []usage.Record { return r[:len(r)*9/10] }), RuleRecord},
		{"records are doubled", records(func(r []usage.Record) []usage.Record { return append(r, r[:(len(r)+9)/10]...) }), RuleRecord},
		{"records tell a token less", records(oneLess), RuleRecord},
		{"refused requests have been served", Tamper{Handler: after}, RuleRefusal},
		{"instances that end give nothing back", Tamper{Keeps: true}, RuleRefusal},
		{"backends get some requests twice", Tamper{Before: twice}, RuleRefusal},
	}
}

func tables(wrap func(store.Store) store.Store) Tamper {
	return Tamper{Store: func(_ int, inner store.Store) store.Store { return wrap(inner) }}
}

func records(change func([]usage.Record) []usage.Record) Tamper {
	return Tamper{Records: func(r []usage.Record) []usage.Record { return change(slices.Clone(r)) }}
}

func oneLess(r []usage.Record) []usage.Record {
	for i := range r {
		r[i].Tokens.Completion = max(0, r[i].Tokens.Completion-1)
	}
	return r
}

// ofLimit tells the rows of limits from those of breakers.
func ofLimit(key store.Key) bool {
	_, _, ok := limitOf(key.Partition)
	return ok
}

// blind writes over whatever it finds.
type blind struct{ store.Store }

func (s blind) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	after, err := s.Store.Replace(ctx, key, columns, etag)
	if errors.Is(err, store.ErrConflict) && ofLimit(key) {
		if row, fault := s.Store.Get(ctx, key); fault == nil {
			return s.Store.Replace(ctx, key, columns, row.ETag)
		}
	}
	return after, err
}

// trusting takes every write for made that meets no conflict.
type trusting struct{ store.Store }

func (s trusting) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	after, err := s.Store.Replace(ctx, key, columns, etag)
	if err != nil && !errors.Is(err, store.ErrConflict) && ofLimit(key) {
		return "made", nil
	}
	return after, err
}

// forgetful keeps three quarters.
type forgetful struct{ store.Store }

func (s forgetful) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	columns = maps.Clone(columns)
	if ofLimit(key) {
		columns["Granted"] = column(columns, "Granted") * 3 / 4
	}
	return s.Store.Replace(ctx, key, columns, etag)
}

// hoarding takes what it takes again, and again.
type hoarding struct{ store.Store }

func (s hoarding) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	before, _ := s.Store.Get(ctx, key)
	after, err := s.Store.Replace(ctx, key, columns, etag)
	more, _ := deltas(&write{key: key, before: before.Columns, after: columns})
	for range 5 {
		if err != nil || more <= 0 || !ofLimit(key) {
			break
		}
		columns = maps.Clone(columns)
		columns["Granted"] = column(columns, "Granted") + more
		after, err = s.Store.Replace(ctx, key, columns, after)
	}
	return after, err
}

// nervous asks for everything twenty times.
type nervous struct{ store.Store }

func (s nervous) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := s.Store.Get(ctx, key)
	for range 19 {
		go func() { _, _ = s.Store.Get(context.WithoutCancel(ctx), key) }()
	}
	return row, err
}

// bold takes every trial for one that has not begun.
type bold struct{ store.Store }

func (s bold) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := s.Store.Get(ctx, key)
	return due(row), err
}

func (s bold) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		for row, err := range s.Store.Query(ctx, filter) {
			if !yield(due(row), err) {
				return
			}
		}
	}
}

func due(row store.Row) store.Row {
	if row.Columns["State"] == "half-open" {
		row.Columns = maps.Clone(row.Columns)
		row.Columns["State"], row.Columns["Until"] = "open", time.Now().Add(-time.Minute)
	}
	return row
}

// stubborn writes its claim of a trial over that of another.
type stubborn struct{ store.Store }

func (s stubborn) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	if columns["State"] == "half-open" {
		_, _ = s.Store.Replace(ctx, key, columns, etag)
		columns = maps.Clone(columns)
		columns["Nonce"] = "another"
		row, err := s.Store.Get(ctx, key)
		if err != nil {
			return "", err
		}
		etag = row.ETag
	}
	return s.Store.Replace(ctx, key, columns, etag)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// late holds everything up for a second.
func late(inner http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		<-time.After(time.Second)
		return inner.RoundTrip(r)
	})
}

// twice sends every twentieth request once more.
func twice(inner http.RoundTripper) http.RoundTripper {
	var sent atomic.Int64
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if sent.Add(1)%20 != 0 || r.GetBody == nil {
			return inner.RoundTrip(r)
		}
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again := r.Clone(r.Context())
		again.Body = body
		if extra, err := inner.RoundTrip(again); err == nil {
			_, _ = io.Copy(io.Discard, extra.Body)
			extra.Body.Close()
		}
		return inner.RoundTrip(r)
	})
}

// some is an instance's handler that does something else with one request of
// thirty.
func some(inner, other http.Handler) http.Handler {
	if script.Mix(uint64(time.Now().UnixNano()))%30 == 0 {
		return other
	}
	return inner
}

// moody refuses every thirtieth request.
func moody(_ int, inner http.Handler) http.Handler {
	return some(inner, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
}

// after serves every thirtieth request, and then tells the client otherwise.
func after(_ int, inner http.Handler) http.Handler {
	return some(inner, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusTooManyRequests)
	}))
}

// broken is an instance that answers nobody after a while.
func broken(instance int, inner http.Handler) http.Handler {
	if now := time.Now(); instance != 1 || now.Sub(now.Truncate(24*time.Hour)) < 3*time.Minute {
		return inner
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}
