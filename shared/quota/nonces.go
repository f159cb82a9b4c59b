package quota

import "strings"

const (
	// remembered is how many of its writes a row remembers: all who share it may give
	// back at the same moment, and each may have to look whether its own write happened.
	remembered = InstancesPerShard
	// maxNonces bounds Nonces, in bytes.
	maxNonces = 1024
)

// Signed returns the row as a write leaves it: with the write's nonce, a text without
// spaces that no other write has, before those of the writes that came last. by is the
// instance that writes. An empty nonce is of a write that nobody will ask about.
func (r Row) Signed(nonce, by string) Row {
	r.By = by
	if nonce == "" {
		return r
	}
	nonces := strings.SplitN(nonce+" "+r.Nonces, " ", remembered+1)
	r.Nonces = strings.TrimRight(strings.Join(nonces[:min(len(nonces), remembered)], " "), " ")
	for len(r.Nonces) > maxNonces {
		r.Nonces = r.Nonces[:max(strings.LastIndexByte(r.Nonces, ' '), 0)]
	}
	return r
}

// Happened tells, by a row as it is now, whether a write happened that was to replace the
// row before and to leave the row wrote. known is false where that cannot be told: more
// writes have come since than a row remembers, the row is another one, or one of them
// was made by a program that remembers none.
//
// A write replaces the row that its writer has read, and no other. So where the nonce of
// that row is still remembered, all that came since is, too.
func Happened(before, wrote, now Row) (happened, known bool) {
	switch {
	case now.remembers(wrote):
		return true, true
	case now.remembers(before):
		return false, true
	default:
		return false, false
	}
}

// LastNonce returns the row with the nonce of its last write alone, for who keeps many
// rows in memory that nobody else writes: 32 nonces are half a kilobyte.
func (r Row) LastNonce() Row {
	last, _, _ := strings.Cut(r.Nonces, " ")
	r.Nonces = strings.Clone(last)
	return r
}

// remembers tells whether the write that left the other row is among the last of this one.
func (r Row) remembers(other Row) bool {
	nonce, _, _ := strings.Cut(other.Nonces, " ")
	if nonce == "" {
		return false
	}
	for held := range strings.SplitSeq(r.Nonces, " ") {
		if held == nonce {
			return true
		}
	}
	return false
}
