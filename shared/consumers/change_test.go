package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/tests/fakes/faultstore"
)

// What a change may not do is refused before anything has happened: no row is
// written, not even in the log.
func TestRefusedChanges(t *testing.T) {
	w := newWorld(t)
	unfit := errors.New("no pool serves the model")
	d := w.directory(w.table, Options{
		InFile: func(name string) bool { return name == "in-file" },
		Check: func(c config.Consumer) error {
			if c.Models != nil {
				return unfit
			}
			return nil
		},
	})
	first := put(t, d, define(t, "app", "one"))
	put(t, d, define(t, "app", "one"))
	wide := define(t, "app", "first of many")
	for i := range maxCredentials + 1 {
		wide.Keys = append(wide.Keys, hashOf(fmt.Sprint(i)))
	}
	changes := len(w.logRows())
	taken, invalid := new(TakenError), new(InvalidError)
	for _, test := range []struct {
		name   string
		change Change
		ok     func(error) bool
	}{
		{"new, and there already", Change{Consumer: define(t, "app", "one"), By: "ops", New: true}, is(ErrExists)},
		{"seen long ago", Change{Consumer: define(t, "app", "one"), By: "ops", ETag: first.ETag}, is(ErrChanged)},
		{"seen, and not there", Change{Consumer: define(t, "other", "two"), By: "ops", ETag: "1"}, is(ErrNotFound)},
		{"in the file", Change{Consumer: define(t, "in-file", "two"), By: "ops"}, is(ErrInFile)},
		{"unfit", Change{Consumer: parse(t, "x", `{"models":["m"],"keys":["0123456789abcdef"]}`), By: "ops"}, is(unfit)},
		{"nobody could be it", Change{Consumer: config.Consumer{Name: "x"}, By: "ops"}, as(&invalid)},
		{"no name", Change{Consumer: config.Consumer{}, By: "ops"}, as(&invalid)},
		{"by nobody", Change{Consumer: define(t, "x", "two")}, as(&invalid)},
		{"too many keys", Change{Consumer: wide, By: "ops"}, as(&invalid)},
	} {
		if _, err := d.Put(t.Context(), test.change); !test.ok(err) {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
	if got := len(w.logRows()); got != changes {
		t.Errorf("%d log rows of refused changes", got-changes)
	}
	_, err := d.Put(t.Context(), Change{Consumer: define(t, "other", "two", "one"), By: "ops"})
	if !errors.As(err, &taken) || taken.Consumer != "app" || taken.Made || strings.Contains(err.Error(), hashOf("one").Reveal()) {
		t.Errorf("a key of another consumer: error %v", err)
	}
	wantKey(t, d, "one", "app")
	wantKey(t, d, "two", "")
	wantError(t, "remove nobody", d.Remove(t.Context(), Change{Consumer: config.Consumer{Name: "other"}, By: "ops"}), ErrNotFound)
	wantError(t, "remove from the file", d.Remove(t.Context(), Change{Consumer: config.Consumer{Name: "in-file"}, By: "ops"}), ErrInFile)
	wantError(t, "remove as seen long ago", d.Remove(t.Context(), Change{Consumer: config.Consumer{Name: "app"}, By: "ops", ETag: first.ETag}), ErrChanged)
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func as[E error](target *E) func(error) bool {
	return func(err error) bool { return errors.As(err, target) }
}

// The log says who changed what, when, and how it ended, and of keys no more than the
// beginnings of their hashes.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.directory(w.table, Options{})
		put(t, d, define(t, "app", "one"))
		<-time.After(time.Second)
		next := define(t, "app", "two")
		next.TokensPerMinute = 100
		put(t, d, next)
		<-time.After(time.Second)
		_, err := d.Put(t.Context(), Change{Consumer: define(t, "other", "two"), By: "somebody"})
		if err == nil {
			t.Fatal("two consumers have one key")
		}
		<-time.After(time.Second)
		remove(t, d, "app")
		one, two := hashOf("one").String(), hashOf("two").String()
		var got []string
		for _, row := range w.logRows() {
			c := row.Columns
			got = append(got, fmt.Sprintf("%v %v %v: %v (%v)", c[columnBy], c[columnAction], c[columnConsumer], c[columnWhat], c[columnOutcome]))
			if when, ok := c[columnWhen].(time.Time); !ok || !strings.HasPrefix(row.Row, logRow(when)) {
				t.Errorf("the row %s is of %v", row.Row, c[columnWhen])
			}
		}
		want := []string{
			"ops add app: key added: " + one + " (done)",
			"ops set app: tokensPerMinute: none → 100; key added: " + two + "; key removed: " + one + " (done)",
			"somebody add other: key added: " + two + " (failed: the key " + two + " belongs to consumer app)",
			"ops remove app: removed (done)",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// trip lets one operation of a store meet a fault, the one with the given number.
type trip struct {
	store.Store
	bad store.Store
	at  int
}

func (s *trip) next() store.Store {
	s.at--
	if s.at == -1 {
		return s.bad
	}
	return s.Store
}

func (s *trip) Get(ctx context.Context, key store.Key) (store.Row, error) {
	return s.next().Get(ctx, key)
}

func (s *trip) Insert(ctx context.Context, key store.Key, c store.Columns) (string, error) {
	return s.next().Insert(ctx, key, c)
}

func (s *trip) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	return s.next().Replace(ctx, key, c, etag)
}

func (s *trip) Delete(ctx context.Context, key store.Key, etag string) error {
	return s.next().Delete(ctx, key, etag)
}

// Whichever operation of a change meets whichever fault of the network once, the
// change is made, its maker is told so, and nothing stale is left.
func TestOneFault(t *testing.T) {
	for _, fault := range []faultstore.Fault{
		faultstore.Refused, faultstore.RequestLost, faultstore.AnswerLost, faultstore.LateApply,
		faultstore.Conflicted, faultstore.ConflictedApplied, faultstore.Busy, faultstore.BusyApplied,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				met := int64(0)
				for at := range 16 {
					w := newWorld(t)
					plain := w.directory(w.table, Options{})
					bad, err := faultstore.New(w.table, faultstore.Options{Rates: map[faultstore.Fault]float64{fault: 1}, Late: [2]time.Duration{0, time.Second}})
					if err != nil {
						t.Fatal(err)
					}
					tripped := func() *Directory { return w.directory(&trip{Store: w.table, bad: bad, at: at}, Options{}) }
					entry, err := tripped().Put(t.Context(), Change{Consumer: define(t, "app", "one"), By: "ops", New: true})
					if err != nil {
						t.Errorf("operation %d of adding: %v", at, err)
					}
					entry, err = tripped().Put(t.Context(), Change{Consumer: define(t, "app", "two"), By: "ops", ETag: entry.ETag})
					if err != nil {
						t.Errorf("operation %d of changing: %v", at, err)
					}
					bad.Wait()
					wantKey(t, plain, "one", "")
					wantKey(t, plain, "two", "app")
					err = tripped().Remove(t.Context(), Change{Consumer: config.Consumer{Name: "app"}, By: "ops", ETag: entry.ETag})
					if err != nil {
						t.Errorf("operation %d of removing: %v", at, err)
					}
					bad.Wait()
					<-time.After(5 * time.Second)
					wantKey(t, plain, "two", "")
					met += bad.Count(fault)
				}
				if met < 10 {
					t.Errorf("%v happened %d times, want at least 10", fault, met)
				}
			})
		})
	}
}

// A writer whose request was on its way for longer than anybody looks at its log row
// logs again, and everybody knows 5 seconds after the change.
func TestLateWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		reader := w.directory(w.table, Options{})
		put(t, reader, define(t, "app", "key"))
		<-time.After(2 * watchFor)
		wantKey(t, reader, "key", "app")
		frozen := w.directory(&frozen{Store: w.table, key: consumerKey("app"), time: 3 * watchFor}, Options{})
		ended := make(chan error)
		go func() {
			ended <- frozen.Remove(t.Context(), Change{Consumer: config.Consumer{Name: "app"}, By: "ops"})
		}()
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(5 * time.Second)
				wantKey(t, reader, "key", "")
				return
			case <-time.After(time.Second):
				wantKey(t, reader, "key", "app")
			}
		}
	})
}

// frozen is a store whose user's process stands still during the write of a row.
type frozen struct {
	store.Store
	key  store.Key
	time time.Duration
}

func (s *frozen) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	if key == s.key {
		<-time.After(s.time)
		ctx = context.WithoutCancel(ctx)
	}
	return s.Store.Replace(ctx, key, c, etag)
}

// An answer that was on its way while the log told of a change is given to who waited
// for it, and to nobody else.
func TestOvertakenAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writer := w.directory(w.table, Options{})
		put(t, writer, define(t, "app", "key"))
		<-time.After(2 * watchFor)
		slow := &slowRow{Store: w.table, key: consumerKey("app")}
		reader := w.directory(slow, Options{})
		wantKey(t, reader, "wrong", "") // Its first poll.
		<-time.After(2600 * time.Millisecond)
		slow.late = 1900 * time.Millisecond
		answered := make(chan struct{})
		go func() {
			wantKey(t, reader, "key", "app")
			close(answered)
		}()
		synctest.Wait()
		remove(t, writer, "app")
		<-time.After(500 * time.Millisecond)
		reader.Refresh(reader.o.Clock.Read())
		<-answered
		slow.late = 0
		wantKey(t, reader, "key", "")
	})
}

// slowRow is a store whose answers about one row are late.
type slowRow struct {
	store.Store
	key  store.Key
	late time.Duration
}

func (s *slowRow) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := s.Store.Get(ctx, key)
	if key == s.key {
		<-time.After(s.late)
	}
	return row, err
}
