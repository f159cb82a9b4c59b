package quota

// Kept is a row as a process keeps it for itself: one line of the processor's cache, in
// which the garbage collector has nothing to follow. There may be hundreds of thousands,
// of which each write leaves another one. Who wrote last, and the nonces of writes, are
// not kept: within a process no answer is lost, and a row that has nonces is none to keep.
// It is a store.Placed. Only Keep makes it.
type Kept struct {
	granted, nextGranted, limit, nextLimit, limitSince int64

	// The window, with the three numbers of shards in the bits below.
	windowShards int64

	holders, nextHolders, prevHolders uint32

	place uint32
}

// shardBits is how many bits a number of shards takes: it is at most MaxShards.
const shardBits = 7

// Keep returns the row as it is kept. Its columns must be as Decode has them.
func (r Row) Keep() Kept {
	return Kept{
		granted: r.Granted, nextGranted: r.NextGranted,
		limit: r.Limit, nextLimit: r.NextLimit, limitSince: r.LimitSince,
		windowShards: ((int64(r.Window)<<shardBits|r.Shards)<<shardBits|r.NextShards)<<shardBits | r.WantShards,
		holders:      uint32(r.Holders), nextHolders: uint32(r.NextHolders), prevHolders: uint32(r.PrevHolders),
	}
}

// Row returns the row that is kept.
func (k *Kept) Row() Row {
	const mask = 1<<shardBits - 1
	return Row{
		Window:  Window(k.windowShards >> (3 * shardBits)),
		Granted: k.granted, NextGranted: k.nextGranted,
		Limit: k.limit, NextLimit: k.nextLimit, LimitSince: k.limitSince,
		Holders: int64(k.holders), NextHolders: int64(k.nextHolders), PrevHolders: int64(k.prevHolders),
		Shards: k.windowShards >> (2 * shardBits) & mask, NextShards: k.windowShards >> shardBits & mask,
		WantShards: k.windowShards & mask,
	}
}

// Columns implements store.Record.
func (k *Kept) Columns() map[string]any { return k.Row().Columns() }

// Place implements store.Placed.
func (k *Kept) Place() *uint32 { return &k.place }
