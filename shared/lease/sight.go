package lease

import (
	"math"

	"spillway/shared/quota"
)

// sight is what the rows looked like when they were last seen. Of the home row it keeps
// only what is asked for between two flights, since there are many limits.
type sight struct {
	seen      bool // The home row was seen in this window: what is said of it and far hold.
	visited   bool // Another row was, in this window. Till then far is what a row starts with.
	exhausted bool // The rows could not serve a request: they had no more than left.
	asking    bool // They are being asked again all the same.

	// Of the home row, by the amount in force now: which shard it is of how many, and its
	// Granted, Limit and LimitSince.
	shard, shards         int16
	granted, limit, since int64

	far int64 // Units that another row had left, the most of those visited last.
}

// room is the home shard's share of the limit less what it has granted.
func (s *sight) room() int64 {
	return quota.Share(s.limit, int64(s.shards), int64(s.shard)) - s.granted
}

// near is how many units the home row had left.
func (s *sight) near() int64 {
	return max(s.room(), 0)
}

// left is the most that any row is known to have left.
func (s *sight) left() int64 {
	return max(s.near(), s.far)
}

// reach is left, less what the home row has granted beyond its share: that much of
// the lease may not be spent.
func (s *sight) reach() int64 {
	room := s.room()
	return max(room, s.far, 0) + min(room, 0)
}

// boundless is a reach that bounds nothing.
const boundless = math.MaxInt64 / 2

// sighted takes over how far the rows reach after what was seen of them has changed.
func (l *Limit) sighted() {
	l.reach = boundless
	if s := &l.supply; s.seen {
		l.reach = s.reach()
	}
}

// saw notes what a row, as it stands in the present window, has left. guest: it is
// not of the home shard.
func (l *Limit) saw(row quota.Row, shard int64, guest bool) {
	s := &l.supply.sight
	s.seen = true
	if guest {
		s.far = max(s.far, row.Left(shard))
	} else {
		s.granted, s.limit, s.since = row.Granted, row.Limit, row.LimitSince
		s.shards, s.shard = int16(row.Shards), int16(shard)
		if !s.visited && row.Shards > 1 {
			s.far = quota.Share(row.Limit, row.Shards, 0)
		}
	}
	l.sighted()
}
