package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

const (
	// operationTime bounds one operation.
	operationTime = 2 * time.Second
	// tries is how often an operation is tried that could not be asked for.
	tries = 3
	// firstPause is the pause before the second try; it doubles up to lastPause.
	firstPause = 50 * time.Millisecond
	lastPause  = 800 * time.Millisecond
	// logTime is how long a log row may take to be written: later ones would be
	// missed by polls (see lookback).
	logTime = 3 * time.Second
)

// errLost says that a row is not as it was read: somebody else has written it.
var errLost = errors.New("consumers: lost")

// writer makes one change. It is used by one goroutine.
type writer struct {
	directory *Directory
	change    *Change
	deadline  clock.Deadline // When it gives up. Also passes while the process is frozen.

	log     store.Key // The log row; empty until the change has begun.
	logETag string
	entry   store.Columns // What the log row holds.
}

func (d *Directory) newWriter(c *Change) *writer {
	now := d.o.Clock.Read()
	return &writer{directory: d, change: c, deadline: now.Until(now.Time().Add(changeTime))}
}

// again tells whether a change that was overtaken is to be made of what is there
// now: its maker did not say what it was made from.
func (w *writer) again(err error) bool {
	return errors.Is(err, errLost) && w.change.ETag == "" && !w.change.New && !w.over()
}

// over tells whether it is time to give up.
func (w *writer) over() bool { return w.deadline.Passed(w.directory.o.Clock) }

// begin writes the log row, and before it the row that begins the log.
func (w *writer) begin(ctx context.Context, action, what string) error {
	if w.log != (store.Key{}) {
		return nil
	}
	_, err := w.get(ctx, beginning)
	if errors.Is(err, store.ErrNotFound) {
		_, err = w.write(ctx, beginning, "", func(nonce string) store.Columns {
			return store.Columns{columnFormat: format, columnNonce: nonce}
		})
	}
	if err != nil && !errors.Is(err, errLost) { // Lost: somebody else wrote it.
		return harmless(err)
	}
	for range tries {
		late, err := w.writeLog(ctx, action, what)
		if err != nil || !late {
			return harmless(err)
		}
	}
	return ErrUnavailable
}

// writeLog writes a log row. Late is one that was written too long after its time,
// so that nobody may look for it any more.
func (w *writer) writeLog(ctx context.Context, action, what string) (late bool, err error) {
	c := w.directory.o.Clock
	now := c.Read()
	due := now.Until(now.Time().Add(logTime))
	w.log = logKey(now.Time(), w.directory.newNonce())
	w.entry = store.Columns{
		columnFormat: format, columnWhen: now.Time(), columnBy: w.change.By, columnAction: action,
		columnConsumer: w.change.Consumer.Name, columnWhat: what, columnOutcome: "begun",
	}
	w.logETag, err = w.write(ctx, w.log, "", func(nonce string) store.Columns {
		w.entry[columnNonce] = nonce
		return w.entry
	})
	return due.Passed(c), err
}

// effective is called when the consumer's row has been written: this Directory
// looks again at once. A writer that took so long that others may have stopped to
// look logs once more.
func (w *writer) effective(ctx context.Context) {
	w.directory.doubt(map[string]bool{w.change.Consumer.Name: true})
	if !w.over() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), operationTime)
	defer cancel()
	now := w.directory.o.Clock.Now()
	w.entry[columnWhen] = now
	_, _ = w.directory.o.Store.Insert(ctx, logKey(now, w.directory.newNonce()), w.entry)
}

// end writes the outcome into the log, as far as possible, and returns the error
// for the caller.
func (w *writer) end(ctx context.Context, err error) error {
	if errors.Is(err, errLost) {
		err = ErrChanged
	}
	if w.logETag == "" {
		return err
	}
	outcome := "done"
	if err != nil {
		outcome = "failed: " + err.Error()
	}
	if errors.Is(err, ErrUnknown) {
		outcome = "unknown"
	}
	w.entry[columnOutcome] = outcome
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	_, _ = w.directory.o.Store.Replace(ctx, w.log, w.entry, w.logETag)
	return err
}

// get reads a row, more than once if need be. Errors: store.ErrNotFound,
// ErrUnavailable.
func (w *writer) get(ctx context.Context, key store.Key) (store.Row, error) {
	for try := range tries {
		if try > 0 && !w.pause(ctx, try) {
			break
		}
		row, err := w.getOnce(ctx, key)
		if err == nil || errors.Is(err, store.ErrNotFound) {
			return row, err
		}
	}
	return store.Row{}, ErrUnavailable
}

func (w *writer) getOnce(ctx context.Context, key store.Key) (store.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	return w.directory.o.Store.Get(ctx, key)
}

// write inserts a row, if etag is empty, or replaces the one of that ETag, and
// returns the new ETag. An unknown outcome is found out by reading the row: the
// nonce that encode is given tells this write from all others. Errors: errLost,
// ErrUnavailable (nothing was written), ErrUnknown, *InvalidError.
func (w *writer) write(ctx context.Context, key store.Key, etag string, encode func(nonce string) store.Columns) (string, error) {
	nonce := w.directory.newNonce()
	columns := encode(nonce)
	written := ""
	err := w.insist(ctx, key, etag, nonce, func(ctx context.Context) (err error) {
		if etag == "" {
			written, err = w.directory.o.Store.Insert(ctx, key, columns)
		} else {
			written, err = w.directory.o.Store.Replace(ctx, key, columns, etag)
		}
		return err
	}, func(row store.Row) { written = row.ETag })
	return written, err
}

// delete deletes the row of that ETag. That it is gone already is as good. Errors:
// as write.
func (w *writer) delete(ctx context.Context, key store.Key, etag string) error {
	err := w.insist(ctx, key, etag, "", func(ctx context.Context) error {
		err := w.directory.o.Store.Delete(ctx, key, etag)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}, nil)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// errGone says that there is no row any more where there was one.
var errGone = fmt.Errorf("%w: gone", errLost)

// insist tries a conditional write until its outcome is known. Between two tries
// it reads the row: with the nonce the write has happened (found is told); as it
// was before, it is tried again, and the same condition holds for both tries, so
// that only one of them can happen.
func (w *writer) insist(ctx context.Context, key store.Key, etag, nonce string, once func(context.Context) error, found func(store.Row)) error {
	sent := false // A try may have happened, or may still happen.
	for try := 0; ; try++ {
		if !sent && try >= tries || try > 0 && !w.pause(ctx, try) {
			break
		}
		err := w.try(ctx, once)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrInvalid):
			return &InvalidError{err}
		case errors.Is(err, store.ErrUnavailable):
			continue
		}
		sent = sent || errors.Is(err, store.ErrAmbiguous)
		row, err := w.get(ctx, key)
		switch {
		case errors.Is(err, store.ErrNotFound) && etag != "":
			return errGone
		case errors.Is(err, store.ErrNotFound), err == nil && row.ETag == etag:
			// As it was before.
		case err != nil:
			sent = true
		case nonce != "" && row.Columns[columnNonce] == nonce:
			found(row)
			return nil
		default:
			return errLost
		}
	}
	if sent {
		return ErrUnknown
	}
	return ErrUnavailable
}

func (w *writer) try(ctx context.Context, once func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	return once(ctx)
}

// pause waits before the next try; false if it is time to give up.
func (w *writer) pause(ctx context.Context, try int) bool {
	most := min(firstPause<<min(try-1, 8), lastPause)
	timer := time.NewTimer(w.directory.jitter(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return !w.over()
	case <-ctx.Done():
		return false
	}
}
