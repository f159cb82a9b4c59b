package quota

const (
	// MaxShards bounds the shards of a limit.
	MaxShards = 64
	// InstancesPerShard is how many instances one shard serves well: a row takes
	// about a hundred conditional writes a second before most of them conflict.
	InstancesPerShard = 32
	// RequestsPerShard is how many of the largest requests must fit into a
	// shard's share, so that little is stranded in each.
	RequestsPerShard = 4
)

// Share is the part of a limit that one of several shards grants. The shares of
// all shards add up to the limit. A shard outside 0 ≤ shard < shards has none.
func Share(limit, shards, shard int64) int64 {
	if shards < 1 || shard < 0 || shard >= shards || limit <= 0 {
		return 0
	}
	share := limit / shards
	if shard < limit%shards {
		share++
	}
	return share
}

// Ask says how much an instance would take, all in units.
type Ask struct {
	// Want is what waiting requests need beyond the lease; it is met or nothing is.
	Want int64
	// Floor is the least that is worth a write.
	Floor int64
	// Demand is what the instance expects to spend in the next ten seconds.
	Demand int64
	// Left is what the shard may still grant.
	Left int64
	// Holders is how many instances share the shard; less than 1 counts as 1.
	Holders int64
}

// Chunk returns how many units to take: max(Want, Floor, min(⌈Left/2·Holders⌉,
// Demand)), at most Left, and nothing if Want does not fit. Half of an even share
// each time is guided self-scheduling (Polychronopoulos and Kuck, 1987): large
// chunks early, small ones late, so that the end of a limit is spread fairly and
// little is stranded.
func Chunk(a Ask) int64 {
	if a.Left <= 0 || a.Want > a.Left {
		return 0
	}
	guided := ceilDiv(a.Left, 2*max(a.Holders, 1))
	return min(max(a.Want, a.Floor, min(guided, a.Demand), 0), a.Left)
}

// ShardsFor returns how many shards a limit should have, given how many it has,
// how many instances share it and the largest request: a power of two near
// ⌈instances/InstancesPerShard⌉, while RequestsPerShard of the largest request fit
// into a share. It shrinks only when a quarter of the instances are left that it is
// made for, and by half at a time, so that it does not swing: instances that a full
// limit refuses hold nothing, and look as if they were gone.
func ShardsFor(current, instances, limit, largest int64) int64 {
	want := int64(1)
	for want < MaxShards && want*InstancesPerShard < instances {
		want *= 2
	}
	switch {
	case want >= current:
	case instances*4 > current*InstancesPerShard:
		want = current
	default:
		want = current / 2
	}
	want = min(want, MaxShards)
	for want > 1 && limit/want/RequestsPerShard < largest {
		want /= 2
	}
	return want
}

// ceilDiv is ⌈a/b⌉ for a ≥ 0, b > 0, without overflow.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}
