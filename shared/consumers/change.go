package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"spillway/shared/config"
	"spillway/shared/store"
)

const (
	// changeTime is when a writer gives up.
	changeTime = 10 * time.Second
	// maxCredentials bounds what one change has to look at.
	maxCredentials = 64
	// maxBy is the longest name of who makes a change, in bytes.
	maxBy = 200
)

// Change is a change of one consumer.
type Change struct {
	// Consumer is the whole new definition. Remove looks at its name only.
	Consumer config.Consumer
	// By names who makes the change, for the log: the name of an admin key, or
	// cli: and a user. 1 to 200 bytes.
	By string
	// ETag, if set, is that of the Entry that the change was made from. If the
	// consumer has changed since, the change is refused.
	ETag string
	// New refuses the change if there is such a consumer.
	New bool
}

// Put adds a consumer or replaces its definition, and returns it as it is now. It
// takes 10 s at most, and goes on when ctx ends once it has begun. Errors:
// *InvalidError, ErrInFile, ErrExists, ErrNotFound (an ETag was given, and there is
// no such consumer), ErrChanged, *TakenError, ErrFormat, ErrUnavailable, ErrUnknown.
func (d *Directory) Put(ctx context.Context, c Change) (Entry, error) {
	if err := d.validate(&c); err != nil {
		return Entry{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
	defer cancel()
	w := d.newWriter(&c)
	for {
		entry, err := w.put(ctx)
		if !w.again(err) {
			return entry, w.end(ctx, err)
		}
	}
}

// Remove removes a consumer; c.Consumer holds no more than its name. It also
// removes one that cannot be read, or that the file defines too. Time and errors:
// as Put; ErrNotFound if there is no such consumer.
func (d *Directory) Remove(ctx context.Context, c Change) error {
	if err := checkChange(&c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
	defer cancel()
	w := d.newWriter(&c)
	for {
		err := w.remove(ctx)
		if !w.again(err) {
			return w.end(ctx, err)
		}
	}
}

// validate checks all that can be said without the store.
func (d *Directory) validate(c *Change) error {
	if err := checkChange(c); err != nil {
		return err
	}
	name := c.Consumer.Name
	if d.o.InFile(name) {
		return ErrInFile
	}
	definition := c.Consumer.Encode()
	parsed, err := config.ParseConsumer(name, definition)
	if err != nil {
		return &InvalidError{err}
	}
	if n := len(credentials(&parsed)); n > maxCredentials {
		return &InvalidError{fmt.Errorf("the consumer has %d keys, applications and roles, more than %d", n, maxCredentials)}
	}
	if err := d.o.Check(parsed); err != nil {
		return &InvalidError{err}
	}
	c.Consumer = parsed
	return nil
}

func checkChange(c *Change) error {
	if !validName(c.Consumer.Name) {
		return &InvalidError{errors.New("this is no name of a consumer")}
	}
	if c.By == "" || len(c.By) > maxBy || !utf8.ValidString(c.By) {
		return &InvalidError{fmt.Errorf("who makes the change must have a name of 1 to %d bytes", maxBy)}
	}
	return nil
}

// stored is what the table has of a consumer.
type stored struct {
	etag     string           // Of the row; empty: there is none.
	consumer *config.Consumer // Nil: nothing that can be read.
	at       time.Time        // Of the last change.
	err      error            // Why it cannot be read.
}

// exists tells whether there is a consumer, which may be one that cannot be read.
func (s stored) exists() bool { return s.etag != "" && !errors.Is(s.err, errRemoved) }

// lists tells whether the credential is the stored consumer's. One that cannot be
// read may list anything.
func (s stored) lists(c credential) bool {
	return s.exists() && (s.consumer == nil || lists(s.consumer, c))
}

// current reads what the table has.
func (w *writer) current(ctx context.Context, name string) (stored, error) {
	row, err := w.get(ctx, consumerKey(name))
	if errors.Is(err, store.ErrNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, err
	}
	s := stored{etag: row.ETag}
	s.at, _ = row.Columns[columnAt].(time.Time)
	s.consumer, s.err = decodeConsumer(name, row.Columns)
	return s, nil
}

// admits tells whether the change may be made of what is stored.
func (c *Change) admits(s stored) error {
	switch {
	case c.New && s.exists():
		return ErrExists
	case c.ETag != "" && !s.exists():
		return ErrNotFound
	case c.ETag != "" && c.ETag != s.etag:
		return ErrChanged
	case errors.Is(s.err, ErrFormat):
		return ErrFormat
	}
	return nil
}

// put goes through the steps of a change once.
func (w *writer) put(ctx context.Context) (Entry, error) {
	next := &w.change.Consumer
	before, err := w.current(ctx, next.Name)
	if err != nil {
		return Entry{}, err
	}
	if err := w.change.admits(before); err != nil {
		return Entry{}, err
	}
	action := "set"
	if !before.exists() {
		action = "add"
	}
	if err := w.begin(ctx, action, describe(before.consumer, next)); err != nil {
		return Entry{}, err
	}
	claims, err := w.claim(ctx, before)
	var dropped []index
	if err == nil {
		dropped, err = w.indexed(ctx, without(before.consumer, next))
	}
	if err != nil {
		w.disclaim(ctx, claims)
		return Entry{}, harmless(err)
	}
	at := w.after(before)
	etag, err := w.write(ctx, consumerKey(next.Name), before.etag, func(nonce string) store.Columns {
		return encodeConsumer(next, nonce, w.change.By, at)
	})
	if err != nil {
		if !errors.Is(err, ErrUnknown) {
			w.disclaim(ctx, claims)
		}
		return Entry{}, err
	}
	w.effective(ctx)
	if err := w.confirm(ctx, claims, etag); err != nil {
		return Entry{}, err
	}
	w.deleteAll(ctx, dropped)
	next.Since = at
	return Entry{Name: next.Name, Consumer: next, ETag: etag, By: w.change.By, At: at}, nil
}

// after is the moment of a change: now, and later than what it changes, since of two
// amounts of a limit the later one is in force. A moment that nobody can have
// written stands in nobody's way.
func (w *writer) after(before stored) time.Time {
	const step, skew = time.Microsecond, time.Minute
	now := w.directory.o.Clock.Now().Truncate(store.TimeResolution)
	if next := before.at.Add(step); next.After(now) && next.Before(now.Add(skew)) {
		return next
	}
	return now
}

// remove goes through the steps of a removal once.
func (w *writer) remove(ctx context.Context) error {
	name := w.change.Consumer.Name
	before, err := w.current(ctx, name)
	if err != nil {
		return err
	}
	if !before.exists() {
		if w.directory.o.InFile(name) {
			return ErrInFile
		}
		return ErrNotFound
	}
	if err := w.change.admits(before); err != nil && !errors.Is(err, ErrFormat) {
		return err
	}
	if err := w.begin(ctx, "remove", "removed"); err != nil {
		return err
	}
	dropped, err := w.indexed(ctx, without(before.consumer, nil))
	if err != nil {
		return err
	}
	at := w.after(before)
	_, err = w.write(ctx, consumerKey(name), before.etag, func(nonce string) store.Columns {
		return encodeRemoved(nonce, w.change.By, at)
	})
	if err != nil {
		return err
	}
	w.effective(ctx)
	w.deleteAll(ctx, dropped)
	return nil
}

// harmless is the error of a step before the change itself: whatever became of it,
// nothing has changed for anybody.
func harmless(err error) error {
	if errors.Is(err, ErrUnknown) {
		return ErrUnavailable
	}
	return err
}

// without are the credentials of a consumer that it no longer has; either may be
// nil.
func without(before, after *config.Consumer) []credential {
	if before == nil {
		return nil
	}
	var kept []credential
	if after != nil {
		kept = credentials(after)
	}
	return slices.DeleteFunc(credentials(before), func(c credential) bool { return slices.Contains(kept, c) })
}
