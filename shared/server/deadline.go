package server

import "time"

// deadline bounds what is read from a connection, or what is written to it. To
// set one takes longer than to wish for one, and most wishes are changed before
// anything waits: it is set where something does. The connection's mu guards it.
type deadline struct {
	set     func(time.Time) error // of the connection
	wanted  time.Time
	current time.Time // as it is set
	busy    bool      // something is read or written
}

// want changes the deadline; zero: there is none.
func (d *deadline) want(t time.Time) {
	d.wanted = t
	if d.busy {
		d.apply()
	}
}

// about wants a deadline that may as well pass earlier by the slack: one that does, and
// is set, stays as it is. Requests that follow each other closely share theirs.
func (d *deadline) about(t time.Time, slack time.Duration) {
	if early := t.Sub(d.current); early >= 0 && early <= slack {
		t = d.current
	}
	d.want(t)
}

// begin is called before something is read or written, and end after it.
func (d *deadline) begin() {
	d.busy = true
	d.apply()
}

func (d *deadline) end() { d.busy = false }

func (d *deadline) apply() {
	if !d.wanted.Equal(d.current) {
		d.force(d.wanted)
	}
}

// force sets the system's deadline, whatever is wanted.
func (d *deadline) force(t time.Time) {
	d.current = t
	_ = d.set(t) // fails on a closed connection alone, which what follows finds out
}
