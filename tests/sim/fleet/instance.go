package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/clock"
	"spillway/tests/rig"
	"spillway/tests/sim/script"
)

// errGone is what a process that is no more gets from everything it asks.
var errGone = errors.New("fleet: the process is gone")

// instance is one gateway process: the gateway, its clocks, and what surrounds
// it, so that it can be stopped, killed and frozen.
//
// A frozen process runs no instruction. Its goroutines cannot be stopped here,
// so they are cut off instead: while it is frozen nothing passes out of it or
// into it (no request, no call to the table or to a backend, no answer of
// either, no byte to a client), and both of its clocks stand still. Whatever a
// goroutine still decides counts as decided just before; it takes effect when
// the process thaws. Then the wall clock has jumped and the monotonic clock has
// not. Timers inside the process are not held back: one that should fire after
// the thaw may have fired before it.
type instance struct {
	play  *play
	index int
	rig   *rig.Rig
	clock *clock.Clock
	skew  time.Duration
	// ctx ends when the process does.
	ctx  context.Context
	kill context.CancelFunc
	open sync.WaitGroup // requests inside
	// tending is the work beside requests, stop ends it; nil: there is none.
	tending sync.WaitGroup
	stop    context.CancelFunc

	mu       sync.Mutex
	serving  bool          // the load balancer may choose it; guarded by mu, as all below
	dead     bool          // it has crashed, or ended
	frozenAt time.Time     // zero: it runs
	slept    time.Duration // how long it was frozen, in all
	thawed   chan struct{} // closed when it runs again
	heard    int64         // answers of the table after all faults have ended
	inside   int           // requests
}

// start starts the process.
func (p *play) start(t *testing.T, index int) {
	ctx, kill := context.WithCancel(context.Background())
	i := &instance{play: p, index: index, skew: p.schedule.Instances[index].Skew, ctx: ctx, kill: kill, serving: true}
	i.clock = clock.New(i.clocks)
	i.rig = rig.NewWith(t, p.yaml, app.Options{
		Log:       zerolog.New(diary{p.history, i}),
		Instance:  instanceName(index),
		Store:     p.tamper.store(i, &link{instance: i, inner: p.table}),
		Clock:     i.clock,
		Transport: p.tamper.transport(&door{instance: i, inner: p.transport}),
		Counter:   script.Counter(),
		Random:    script.Dice(script.Mix(p.schedule.Seed<<8 + uint64(index))),
	})
	if p.schedule.Tended {
		tending, stop := context.WithCancel(ctx)
		i.stop = stop
		i.tending.Go(func() { i.rig.Tend(tending) })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instances = append(p.instances, i)
}

func instanceName(index int) string { return "i" + string(rune('a'+index)) }

// clocks are those of the process: the wall clock, which may be skewed, and the
// monotonic one, which stops while it is frozen.
func (i *instance) clocks() (wall time.Time, monotonic time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	if !i.frozenAt.IsZero() {
		now = i.frozenAt
	}
	return now.Add(i.skew).Round(0), now.Sub(i.play.origin) - i.slept + time.Hour
}

// gone tells whether the process has ended.
func (i *instance) gone() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dead
}

// pass lets something into the process or out of it, once it is not frozen. It
// fails when the process is gone.
func (i *instance) pass() error {
	for {
		i.mu.Lock()
		thawed, frozen, dead := i.thawed, !i.frozenAt.IsZero(), i.dead
		i.mu.Unlock()
		if dead {
			return errGone
		}
		if !frozen {
			return nil
		}
		select {
		case <-thawed:
		case <-i.ctx.Done():
		}
	}
}

// freeze stops the process for a time.
func (i *instance) freeze(d time.Duration) {
	i.mu.Lock()
	if i.dead || !i.serving {
		i.mu.Unlock()
		return
	}
	i.frozenAt, i.thawed = time.Now(), make(chan struct{})
	i.mu.Unlock()
	i.play.fired(kindFreeze)
	select {
	case <-time.After(d):
	case <-i.ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.slept += time.Since(i.frozenAt)
	i.frozenAt = time.Time{}
	close(i.thawed)
}

// crash ends the process from one instant to the next. What it held stays held,
// and what it was about to write or to record is lost.
func (i *instance) crash() {
	h := i.play.history
	i.mu.Lock()
	if i.dead || !i.serving {
		i.mu.Unlock()
		return
	}
	i.dead, i.serving = true, false
	inside := i.inside
	i.mu.Unlock()
	i.play.fired(kindCrash)
	if inside > 0 {
		i.play.fired(kindCrashBusy)
	}
	i.play.crashes(i.index)
	h.take(i.play.tamper.records(i.rig.Records()))
	i.kill()
}

// drain is how long a process that was told to end waits for open requests.
const drain = 15 * time.Second

// terminate ends the process as a host does that was sent SIGTERM: open requests
// may finish, those that do not are cut; then it gives back what it holds.
func (i *instance) terminate() {
	i.mu.Lock()
	if i.dead || !i.serving {
		i.mu.Unlock()
		return
	}
	i.serving = false
	inside := i.inside
	i.mu.Unlock()
	i.play.fired(kindTerminate)
	if inside > 0 {
		i.play.fired(kindTerminateBusy)
	}
	timer := time.AfterFunc(drain, i.kill)
	i.open.Wait()
	timer.Stop()
	i.end()
}

// end gives back and ends. No request is open.
func (i *instance) end() {
	if i.stop != nil {
		i.stop()
		i.tending.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	i.play.tamper.close(i.rig.App, ctx)
	cancel()
	i.mu.Lock()
	i.serving, i.dead = false, true
	i.mu.Unlock()
	i.play.history.take(i.play.tamper.records(i.rig.Records()))
	i.kill()
}
