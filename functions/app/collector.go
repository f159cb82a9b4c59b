package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// garbage is how much may pile up, in bytes, before it is collected, whatever is
// alive. By Go's own default that is as much as is alive, which for a gateway is so
// little that it would collect many times a second, at a tenth of its processor time.
const garbage = 32 << 20

// The bounds of what GOGC is set to: Go's default, and ten times that.
const (
	leastPercent = 100
	mostPercent  = 1000
)

// TuneCollector keeps the garbage collector from running more often than every 32 MiB
// of garbage, from now on and for the whole process. Where GOGC or GOMEMLIMIT is set it
// leaves the choice to them.
func TuneCollector() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	after(leastPercent)
}

// after sets GOGC anew after each collection. The value changes little once it fits,
// and setting it stops all goroutines for a moment, so small changes are not made.
func after(percent int) {
	runtime.AddCleanup(new([16]byte), func(percent int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if want := percentFor(live[0].Value.Uint64()); want > percent*5/4 || want < percent*4/5 {
			debug.SetGCPercent(want)
			percent = want
		}
		after(percent)
	}, percent)
}

// percentFor is the value of GOGC that lets so much garbage pile up beside what is
// alive, in bytes.
func percentFor(live uint64) int {
	return int(min(max(garbage*100/max(live, 1), leastPercent), mostPercent))
}
