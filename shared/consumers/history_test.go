package consumers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// answer is who a key belongs to: the consumer's name and, as its limit, which
// change made it. The zero value is nobody.
type answer struct {
	name    string
	version int64
}

func answerOf(c *config.Definition) answer {
	if c == nil {
		return answer{}
	}
	return answer{c.Name, c.TokensPerMinute}
}

// moment is what was true from a time on.
type moment struct {
	at    time.Time
	truth map[string]answer // By key.
}

// witness is the table itself. It sees every write that happens, and knows at every
// moment whose each key is.
type witness struct {
	t        *testing.T
	inner    *memory.Store
	keys     []string
	mu       sync.Mutex
	timeline []moment
	promised map[int64]bool // Changes whose maker was told that they are made.
}

func (w *witness) Get(ctx context.Context, key store.Key) (store.Row, error) {
	return w.inner.Get(ctx, key)
}

func (w *witness) Query(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	return w.inner.Query(ctx, f)
}

func (w *witness) Insert(ctx context.Context, key store.Key, c store.Columns) (etag string, err error) {
	w.write(key, func() error { etag, err = w.inner.Insert(ctx, key, c); return err })
	return etag, err
}

func (w *witness) Replace(ctx context.Context, key store.Key, c store.Columns, old string) (etag string, err error) {
	w.write(key, func() error { etag, err = w.inner.Replace(ctx, key, c, old); return err })
	return etag, err
}

func (w *witness) Delete(ctx context.Context, key store.Key, etag string) (err error) {
	w.write(key, func() error { err = w.inner.Delete(ctx, key, etag); return err })
	return err
}

// write lets a write happen and checks what must hold at every moment.
func (w *witness) write(key store.Key, do func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if do() != nil || key.Partition == logPartition {
		return
	}
	if name, ok := strings.CutPrefix(key.Partition, prefix); ok && !w.logged(name) {
		w.t.Errorf("the row of %s was written without a log row that polls still look at", name)
	}
	w.note()
}

// logged tells whether the log has a row that makes everybody look at the consumer.
func (w *witness) logged(name string) bool {
	filter := store.Filter{Partition: logPartition, RowFrom: logRow(time.Now().Add(-watchFor + 5*time.Second)), RowTo: "a"}
	for row := range w.inner.Query(context.Background(), filter) {
		if row.Columns[columnConsumer] == name {
			return true
		}
	}
	return false
}

// note adds the present moment to the timeline: whose each key is by the index and
// the consumers' rows. What was promised must be so. The caller holds mu.
func (w *witness) note() {
	now := moment{time.Now(), make(map[string]answer)}
	listed := make(map[string]*config.Definition)
	for row := range w.inner.Query(context.Background(), store.Filter{Prefix: prefix}) {
		name := strings.TrimPrefix(row.Partition, prefix)
		if c, err := decodeConsumer(name, row.Columns); err == nil {
			listed[name] = &config.Definition{Consumer: c}
		}
	}
	for _, key := range w.keys {
		row, err := w.inner.Get(context.Background(), keyCredential(hashOf(key)).indexKey())
		if err != nil {
			continue
		}
		name, _, _ := decodeIndex(row.Columns)
		if c := listed[name]; c != nil && lists(c.Consumer, keyCredential(hashOf(key))) {
			now.truth[key] = answerOf(c)
		}
	}
	for name, c := range listed {
		for _, key := range w.keys {
			if w.promised[c.TokensPerMinute] && lists(c.Consumer, keyCredential(hashOf(key))) && now.truth[key].name != name {
				w.t.Errorf("%s was promised %s, which belongs to %+v", name, key, now.truth[key])
			}
		}
	}
	w.timeline = append(w.timeline, now)
}

// promise notes that the maker of a change was told that it is made.
func (w *witness) promise(version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.promised[version] = true
	w.note()
}

// was tells whether an answer was true at a moment of the span.
func (w *witness) was(key string, a answer, from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.timeline) - 1; i >= 0; i-- {
		m := w.timeline[i]
		if !m.at.After(to) && m.truth[key] == a {
			return true
		}
		if m.at.Before(from) {
			return false // It held when the span began, and was another answer.
		}
	}
	return a == answer{}
}

// errCrash ends a writer, as when its process dies.
var errCrash = errors.New("crash")

// mortal is a store whose user dies before or after one of its operations, or
// stands still during some.
type mortal struct {
	store.Store
	random *rand.Rand
	left   int // Operations until the end; negative: it lives on.
	stalls bool
}

// around does an operation of somebody who may die.
func (m *mortal) around(ctx context.Context, do func(context.Context)) {
	if m.left == 0 && m.random.IntN(2) == 0 {
		panic(errCrash)
	}
	if m.stalls && m.random.IntN(40) == 0 { // It was on its way when the process was frozen.
		<-time.After(time.Duration(m.random.Int64N(int64(40 * time.Second))))
		ctx = context.WithoutCancel(ctx)
	}
	do(ctx)
	if m.left == 0 {
		panic(errCrash)
	}
	m.left--
}

func (m *mortal) Get(ctx context.Context, key store.Key) (row store.Row, err error) {
	m.around(ctx, func(ctx context.Context) { row, err = m.Store.Get(ctx, key) })
	return row, err
}

func (m *mortal) Insert(ctx context.Context, key store.Key, c store.Columns) (etag string, err error) {
	m.around(ctx, func(ctx context.Context) { etag, err = m.Store.Insert(ctx, key, c) })
	return etag, err
}

func (m *mortal) Replace(ctx context.Context, key store.Key, c store.Columns, old string) (etag string, err error) {
	m.around(ctx, func(ctx context.Context) { etag, err = m.Store.Replace(ctx, key, c, old) })
	return etag, err
}

func (m *mortal) Delete(ctx context.Context, key store.Key, etag string) (err error) {
	m.around(ctx, func(ctx context.Context) { err = m.Store.Delete(ctx, key, etag) })
	return err
}

// history is a run of several writers and several readers.
type history struct {
	t       *testing.T
	world   *world
	witness *witness
	pause   time.Duration // Of a writer between two changes, at most.
	mu      sync.Mutex
	version int64          // Of the last change. Guarded by mu.
	tally   map[string]int // Of what happened. Guarded by mu.
}

const (
	historyTime  = 2 * time.Minute
	historyNames = 4
)

// count notes that something happened.
func (h *history) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tally[what]++
}

// faulty is the witness behind a network.
func (h *history) faulty(seed uint64, rates map[faultstore.Fault]float64) *faultstore.Store {
	s, err := faultstore.New(h.witness, faultstore.Options{
		Seed: seed, Rates: rates,
		Latency: [2]time.Duration{time.Millisecond, 30 * time.Millisecond},
		Delay:   [2]time.Duration{100 * time.Millisecond, 3 * time.Second},
		Late:    [2]time.Duration{0, 3 * time.Second},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// write makes random changes.
func (h *history) write(seed uint64, until time.Time) {
	random := rand.New(rand.NewPCG(seed, 1))
	faults := h.faulty(seed, map[faultstore.Fault]float64{
		faultstore.Refused: 0.02, faultstore.RequestLost: 0.02, faultstore.AnswerLost: 0.02, faultstore.LateApply: 0.02,
		faultstore.Conflicted: 0.01, faultstore.ConflictedApplied: 0.02, faultstore.Delayed: 0.02,
	})
	defer faults.Wait()
	for time.Now().Before(until) {
		m := &mortal{Store: faults, random: random, left: -1, stalls: true}
		if random.IntN(3) == 0 {
			m.left = random.IntN(16)
		}
		h.change(h.world.directory(m, Options{}), random)
		<-time.After(time.Duration(random.Int64N(int64(h.pause))))
	}
}

// change makes one random change, and may die of it.
func (h *history) change(d *Directory, random *rand.Rand) {
	defer func() {
		if fault := recover(); fault != nil && fault != any(errCrash) {
			panic(fault)
		} else if fault != nil {
			h.count("crash")
		}
	}()
	h.mu.Lock()
	h.version++
	version := h.version
	h.mu.Unlock()
	name := fmt.Sprint("app-", random.IntN(historyNames))
	if random.IntN(4) == 0 {
		h.ended("remove", d.Remove(h.t.Context(), Change{Consumer: config.Consumer{Name: name}, By: "ops"}))
		return
	}
	var keys []string
	for _, i := range random.Perm(len(h.witness.keys))[:1+random.IntN(2)] {
		keys = append(keys, h.witness.keys[i])
	}
	consumer := define(h.t, name, keys...)
	consumer.TokensPerMinute = version
	_, err := d.Put(h.t.Context(), Change{Consumer: consumer, By: "ops"})
	if err == nil {
		h.witness.promise(version)
	}
	h.ended("put", err)
}

// ended counts how a change ended.
func (h *history) ended(what string, err error) {
	taken := new(TakenError)
	switch {
	case err == nil:
		h.count(what)
	case errors.As(err, &taken) && taken.Made:
		h.count("taken at the same moment")
	case errors.As(err, &taken):
		h.count("taken")
	case errors.Is(err, ErrUnknown):
		h.count("unknown")
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrNotFound), errors.Is(err, ErrChanged):
		h.count("refused")
	default:
		h.t.Errorf("%s: %v", what, err)
	}
}

// read asks for random keys, in bursts and after idling, and checks the answers.
func (h *history) read(d *Directory, seed uint64, until time.Time) {
	random := rand.New(rand.NewPCG(seed, 2))
	for time.Now().Before(until) {
		pause := 200 * time.Millisecond
		if random.IntN(50) == 0 {
			pause = 30 * time.Second
		}
		<-time.After(time.Duration(random.Int64N(int64(pause))))
		h.ask(d, h.witness.keys[random.IntN(len(h.witness.keys))])
	}
}

// ask checks one answer: it was true at some moment of the last 5 seconds.
func (h *history) ask(d *Directory, key string) {
	consumer, err := d.ByKey(h.t.Context(), hashOf(key))
	if errors.Is(err, errMoved) {
		h.count("moved")
		return
	}
	if err != nil {
		h.t.Errorf("%s: %v", key, err)
		return
	}
	h.count("asked")
	now := time.Now()
	if a := answerOf(consumer); !h.witness.was(key, a, now.Add(-5*time.Second), now) {
		h.t.Errorf("%v: %s is answered by %+v, which was not so in the last 5 seconds", now.Format("05.000"), key, a)
	}
}

// Several writers change consumers that compete for keys, over a network that loses
// and delays, and die at any point; several instances serve requests. At every moment
// a change of which its maker was told holds, and none is without its log row; every
// answer was true in the last 5 seconds; and when all is quiet everybody knows the
// truth.
func TestHistory(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	tally := make(map[string]int)
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) { playHistory(t, seed, tally) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%v", tally)
	for _, what := range []string{"put", "remove", "taken", "taken at the same moment", "unknown", "crash"} {
		if tally[what] == 0 && !testing.Short() {
			t.Errorf("it never happened: %s", what)
		}
	}
}

func playHistory(t *testing.T, seed uint64, tally map[string]int) {
	w := newWorld(t)
	h := &history{t: t, world: w, tally: tally, pause: []time.Duration{2 * time.Second, 20 * time.Second}[seed%2], witness: &witness{
		t: t, inner: w.table, keys: []string{"one", "two", "three", "four"}, promised: make(map[int64]bool),
	}}
	until := time.Now().Add(historyTime + 4*h.pause)
	var writers, readers sync.WaitGroup
	for i := range uint64(3) {
		writers.Go(func() { h.write(seed*100+i, until) })
	}
	directories := make([]*Directory, 3)
	for i := range directories {
		directories[i] = w.directory(h.faulty(seed*100+uint64(i), nil), Options{})
		readers.Go(func() { h.read(directories[i], seed*100+uint64(i), until.Add(time.Minute)) })
	}
	writers.Wait()
	readers.Wait()
	<-time.After(5 * time.Second) // Some are idle in this time, others are not.
	last := h.witness.timeline[len(h.witness.timeline)-1]
	for i, d := range directories {
		for _, key := range h.witness.keys {
			consumer, err := d.ByKey(t.Context(), hashOf(key))
			if got := answerOf(consumer); err != nil || got != last.truth[key] {
				t.Errorf("in the end %s is answered by %+v (%v) at instance %d, want %+v", key, got, err, i, last.truth[key])
			}
		}
		d.Settle(t.Context())
	}
}

var (
	_ store.Store = (*witness)(nil)
	_ store.Store = (*mortal)(nil)
)
