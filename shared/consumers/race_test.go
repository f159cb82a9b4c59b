package consumers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
)

// Schedules that random histories meet too rarely.

// gate stops whoever comes first, until it is opened.
type gate struct{ reached, opened chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

// pass stops the first one. Only one goroutine uses a gate.
func (g *gate) pass() {
	select {
	case <-g.reached:
	default:
		close(g.reached)
		<-g.opened
	}
}

// gated is a store with a gate before it replaces one row, and one after it has read
// one. Either may be nil.
type gated struct {
	store.Store
	key           store.Key
	replace, read *gate
}

func (s *gated) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	if key == s.key && s.replace != nil {
		s.replace.pass()
	}
	return s.Store.Replace(ctx, key, c, etag)
}

func (s *gated) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := s.Store.Get(ctx, key)
	if key == s.key && s.read != nil {
		s.read.pass()
	}
	return row, err
}

// dying is a store whose user dies after it has replaced a row.
type dying struct {
	store.Store
	after store.Key
}

func (s *dying) Replace(ctx context.Context, key store.Key, c store.Columns, etag string) (string, error) {
	etag, err := s.Store.Replace(ctx, key, c, etag)
	if key == s.after {
		panic(errCrash)
	}
	return etag, err
}

// begin puts a consumer over a store, in the background. The channel gets the error,
// or errCrash if the writer died.
func (w *world) begin(s store.Store, name string, keys ...string) <-chan error {
	ended := make(chan error, 1)
	d := w.directory(s, Options{})
	consumer := define(w.t, name, keys...)
	go func() {
		defer func() {
			if recover() != nil {
				ended <- errCrash
			}
		}()
		_, err := d.Put(context.Background(), Change{Consumer: consumer, By: "ops"})
		ended <- err
	}()
	return ended
}

// plain is a directory over the table itself.
func (w *world) plain() *Directory { return w.directory(w.table, Options{}) }

var (
	keyRow   = keyCredential(hashOf("key")).indexKey()
	firstRow = consumerKey("first")
)

// takeOverTooLate has a second consumer's writer see the claim of the key that a first
// one's writer has made, which is then let through its gate and dies. Before the
// second one takes the claim over, the first is put again, and that change is promised
// the key: so the second must be refused it.
func (w *world) takeOverTooLate(claimed *gate, dead <-chan error) {
	w.t.Helper()
	seen := newGate()
	second := w.begin(&gated{Store: w.table, key: keyRow, replace: seen}, "second", "key")
	<-seen.reached
	close(claimed.opened)
	<-dead
	put(w.t, w.plain(), define(w.t, "first", "key"))
	close(seen.opened)
	if err := <-second; !errors.As(err, new(*TakenError)) {
		w.t.Errorf("the second consumer was given the key of the first: error %v", err)
	}
	wantKey(w.t, w.plain(), "key", "first")
}

// A writer claims a key and dies before it has confirmed that. A second consumer's
// writer, which has seen the claim and not yet that the first lists the key, is too
// late to take it over.
func TestUnconfirmedClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		put(t, w.plain(), define(t, "first", "other"))
		claimed := newGate()
		dead := w.begin(&dying{&gated{Store: w.table, key: firstRow, replace: claimed}, firstRow}, "first", "key")
		<-claimed.reached
		w.takeOverTooLate(claimed, dead)
	})
}

// As before, and a third writer of the first consumer, whose own claim is long gone,
// finds the claim of the one that will die. It must not confirm it: the first does not
// list the key again yet.
func TestConfirmedForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		put(t, w.plain(), define(t, "first", "other"))
		confirming, claimed := newGate(), newGate()
		late := w.begin(&gated{Store: w.table, key: keyRow, replace: confirming}, "first", "key")
		<-confirming.reached
		put(t, w.plain(), define(t, "first", "other"))
		dead := w.begin(&dying{&gated{Store: w.table, key: firstRow, replace: claimed}, firstRow}, "first", "key")
		<-claimed.reached
		close(confirming.opened)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		w.takeOverTooLate(claimed, dead)
	})
}

// A reader has seen the claim of a first consumer, which a second one then takes over.
// That the first lists the key a moment later does not make it the first's.
func TestClaimMovesWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		put(t, w.plain(), define(t, "first", "other"))
		claimed, read := newGate(), newGate()
		first := w.begin(&gated{Store: w.table, key: firstRow, replace: claimed}, "first", "key")
		<-claimed.reached
		reader := w.directory(&gated{Store: w.table, key: keyRow, read: read}, Options{})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			wantKey(t, reader, "key", "second")
		}()
		<-read.reached
		put(t, w.plain(), define(t, "second", "key"))
		close(claimed.opened)
		if taken := new(TakenError); !errors.As(<-first, &taken) || !taken.Made {
			t.Errorf("the first consumer was not told that its key is the second's")
		}
		close(read.opened)
		<-answered
	})
}

// slowLog is a store whose log rows come late.
type slowLog struct {
	store.Store
	late time.Duration
}

func (s *slowLog) Insert(ctx context.Context, key store.Key, c store.Columns) (string, error) {
	if key.Partition == logPartition {
		<-time.After(s.late)
	}
	return s.Store.Insert(context.WithoutCancel(ctx), key, c)
}

// A log row that came after polls which are later than its time is seen all the same.
// One that came too late for that is written again.
func TestLateLogRow(t *testing.T) {
	for _, late := range []time.Duration{time.Second, 2900 * time.Millisecond, 3100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			put(t, w.plain(), define(t, "app", "key"))
			<-time.After(2 * watchFor)
			reader := w.plain()
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
						_, _ = reader.ByKey(context.Background(), hashOf("key"))
					}
				}
			}()
			<-time.After(watchFor)
			if err := <-w.begin(&slowLog{w.table, late}, "app", "other"); err != nil && late < logTime {
				t.Error(err)
			} else if err == nil && late > logTime {
				t.Error("a change was made although its log row always came too late")
			}
			<-time.After(5 * time.Second)
			want := ""
			if late > logTime {
				want = "app"
			}
			wantKey(t, reader, "key", want)
			close(stop)
			synctest.Wait()
		})
	}
}

// A writer that was frozen before it wrote the consumer's row, and dies right after
// it, cannot log again. Everybody knows after 5 seconds all the same, because they
// have been looking since its log row.
func TestFrozenWriterDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		put(t, w.plain(), define(t, "first", "key"))
		<-time.After(2 * watchFor)
		reader := w.plain()
		wantKey(t, reader, "key", "first")
		dead := w.begin(&dying{&frozen{w.table, firstRow, watchFor - 10*time.Second}, firstRow}, "first", "other")
		for alive := true; alive; {
			select {
			case <-dead:
				alive = false
			case <-time.After(time.Second):
				wantKey(t, reader, "key", "first")
			}
		}
		<-time.After(5 * time.Second)
		wantKey(t, reader, "key", "")
		wantKey(t, reader, "other", "first")
	})
}
