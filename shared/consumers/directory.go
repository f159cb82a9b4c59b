package consumers

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/clock"
	"spillway/shared/config"
)

// Directory knows the consumers of the table. All methods are safe for concurrent
// use. It runs no goroutine of its own except those that a call started, and each
// of them ends within 2 seconds.
type Directory struct {
	o      Options
	view   atomic.Pointer[view]
	origin string        // Begins the nonces, and no other Directory's.
	nonces atomic.Uint64 // Counts the nonces made.

	mu         sync.RWMutex
	keys       cache[config.KeyHash] // Guarded by mu, like apps and roles.
	apps       cache[string]
	roles      cache[string]
	records    map[string]*record // By the consumer's name. Guarded by mu.
	watched    map[string]watch   // Consumers that the log names. Guarded by mu.
	generation uint64             // Counts what was learned from the log. Guarded by mu.
	run        *run               // The poll that works now, or nil. Guarded by mu.
	rest       clock.Deadline     // Until then the store is left alone. Guarded by mu.
	budget     budget             // Guarded by mu.

	diary diary
}

// New returns a Directory. It asks nothing yet.
func New(o Options) (*Directory, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	d := &Directory{
		o:       o,
		origin:  rand.Text(),
		records: make(map[string]*record),
		watched: make(map[string]watch),
		budget:  budget{left: burst},
		diary:   diary{told: make(map[tale]clock.Deadline)},
	}
	d.keys = newCache(d, keyCredential)
	d.apps = newCache(d, appCredential)
	d.roles = newCache(d, roleCredential)
	return d, nil
}

// ByKey returns the consumer that has a key with that hash; nil without an error
// is nobody. The same pointer is returned for as long as nobody has written its row.
// An error says that it could not be found out now (ErrUnavailable, ErrBusy), or that
// ctx ended.
//
// What is known is answered at once, except that a view of the table older than
// 4.5 s, or a change of the consumer, is waited for: at most 150 ms each. What is
// not known is waited for at most 2 s.
func (d *Directory) ByKey(ctx context.Context, hash config.KeyHash) (*config.Definition, error) {
	return d.keys.find(ctx, hash)
}

// ByApp returns the consumer that lists the application, as ByKey does. The id is
// in lower case.
func (d *Directory) ByApp(ctx context.Context, id string) (*config.Definition, error) {
	return d.apps.find(ctx, id)
}

// ByRole returns the consumer that lists the role and no applications, as ByKey
// does.
func (d *Directory) ByRole(ctx context.Context, role string) (*config.Definition, error) {
	return d.roles.find(ctx, role)
}

// Refresh starts a poll in the background if one is due at an instant that the
// Directory's clock has just told. It never waits: whoever needs a fresh view does so
// when it asks for a consumer. To call it once per request keeps the view of a busy
// instance fresh, so that nobody has to wait.
func (d *Directory) Refresh(now clock.Instant) {
	if d.view.Load().due(now) {
		d.startPoll(now)
	}
}

// Settle waits for what the Directory does in the background, if it does anything,
// at most until ctx ends: for a process that is about to freeze.
func (d *Directory) Settle(ctx context.Context) {
	for {
		done := d.busy()
		if done == nil {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// busy is closed when one of the things that are under way has ended; nil: there
// are none.
func (d *Directory) busy() <-chan struct{} {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.run != nil {
		return d.run.done
	}
	for _, done := range []<-chan struct{}{d.keys.busy(), d.apps.busy(), d.roles.busy()} {
		if done != nil {
			return done
		}
	}
	return nil
}

// newNonce returns a text that no other write has.
func (d *Directory) newNonce() string { return fmt.Sprintf("%s-%d", d.origin, d.nonces.Add(1)) }

// diary keeps the same event from being told again and again.
type diary struct {
	mu   sync.Mutex
	told map[tale]clock.Deadline // Until when it is not told again. Guarded by mu.
}

// tale is an event as far as it is the same.
type tale struct {
	kind     EventKind
	consumer string
}

const (
	// silence is how long the same event is not told again.
	silence = 10 * time.Minute
	// maxTales bounds the events that are remembered.
	maxTales = 1000
)

// tell raises an event, unless it was told already. No lock may be held.
func (d *Directory) tell(e Event) {
	if d.diary.note(tale{e.Kind, e.Consumer}, d.o.Clock.Read()) {
		d.o.Events(e)
	}
}

// note tells whether the event is new.
func (y *diary) note(t tale, now clock.Instant) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if until, known := y.told[t]; known && !until.PassedAt(now) {
		return false
	}
	if len(y.told) >= maxTales {
		clear(y.told)
	}
	y.told[t] = now.Until(now.Time().Add(silence))
	return true
}
