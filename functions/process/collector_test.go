package process

import (
	"runtime"
	"runtime/debug"
	"testing"

	"spillway/tests/await"
)

// Little that is alive lets 32 MiB of garbage pile up; much lets pile up as much as is
// alive, as Go does by itself.
func TestCollectorsPercent(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, test := range []struct {
		live uint64
		want int
	}{
		{0, 1000}, {mib, 1000}, {8 * mib, 400}, {16 * mib, 200}, {32 * mib, 100}, {400 * mib, 100}, {64 * gib, 100},
	} {
		if got := percentFor(test.live); got != test.want {
			t.Errorf("percentFor(%d) is %d, want %d", test.live, got, test.want)
		}
	}
}

// The next collection sets it, and what a user has set stays.
func TestCollectorIsTuned(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "50")
	TuneCollector()
	runtime.GC()
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	TuneCollector()
	await.That(t, "a collection has set GOGC", func() bool {
		runtime.GC()
		set := debug.SetGCPercent(100)
		debug.SetGCPercent(set)
		return set != 100
	})
}
