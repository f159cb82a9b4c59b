package lease

// keeps are how many units of a window an instance may keep when it gives back.
func (m *machine) keeps() []int8 {
	if m.Surplus {
		return []int8{0, 1}
	}
	return []int8{0}
}

// giveBack stops what the lease does not keep from being spent and plans to give it back.
func (m *machine) giveBack(s *State, i int, keep int8) bool {
	in := &s.all[i]
	// The clock may have passed the edge since it was last looked at.
	if in.window == 0 || in.remaining <= keep && in.next <= keep {
		return false
	}
	w := in.window - 1
	shard, _, ready := m.home(s, i, w)
	if !ready {
		return true
	}
	if !s.rows[shard].exists {
		return false
	}
	row := m.rolled(s, i, shard, w)
	if row.Window != windowOf(w) && m.defect != refundIntoAnyWindow {
		return false
	}
	f := write{kind: give, shard: shard, window: w, generation: true}
	f.units = min(max(in.remaining-keep, 0), int8(row.Granted))
	row, _ = row.GiveBack(row.Window, int64(f.units))
	if row.Shards == row.NextShards {
		f.next = min(max(in.next-keep, 0), int8(row.NextGranted))
		if m.defect == aheadGivenBackNow {
			f.next = min(max(in.next-keep, 0), int8(row.Granted))
			row, _ = row.GiveBack(windowOf(w), int64(f.next))
		} else {
			row, _ = row.GiveBackNext(windowOf(w), int64(f.next))
		}
	}
	if f.units+f.next == 0 {
		return false
	}
	if m.defect != refundWhileSpending {
		in.remaining -= f.units
		in.granted -= f.units
		in.next -= f.next
	}
	m.send(s, i, row, f)
	return true
}
