package app

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// Little that is alive lets 32 MiB of garbage pile up; much lets pile up as much as is
// alive, as Go does by itself.
func TestCollectorsPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 8 << 20: 400, 16 << 20: 200, 32 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d bytes alive GOGC is %d, want %d", live, got, want)
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
	for deadline := time.Now().Add(10 * time.Second); ; runtime.GC() {
		set := debug.SetGCPercent(100)
		debug.SetGCPercent(set)
		if set != 100 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("GOGC stays at 100")
		}
	}
}
