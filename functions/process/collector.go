package process

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
)

// garbage is how much may pile up, in bytes, before it is collected, whatever is
// alive. By Go's own default that is as much as is alive, which for a gateway is so
// little that it would collect eight times a second at half load, and one request of a
// hundred would wait for it: their p99 is 1.2 ms then, with this 0.4 ms. Twice as much
// changes neither that nor the processor time.
const garbage = 32 << 20

// The bounds of what GOGC is set to: Go's default, and ten times that.
const (
	leastPercent = 100
	mostPercent  = 1000
)

const (
	// perScanned is how much garbage may pile up for each byte that a collection looks
	// through for pointers, as long as all of it stays below a part of the memory, one
	// in heapsPart. Looking through is what a collection costs, whatever it finds.
	perScanned = 4
	heapsPart  = 4
)

// TuneCollector keeps the garbage collector from running more often than every 32 MiB
// of garbage, and where memory allows it from looking through much more than that, from
// now on and for the whole process: the objects of a hundred thousand consumers take it
// longer than all the rest. Where GOGC or GOMEMLIMIT is set it leaves the choice to them.
func TuneCollector() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	after(leastPercent, usable(os.ReadFile))
}

// after sets GOGC anew after each collection. The value changes little once it fits,
// and setting it stops all goroutines for a moment, so small changes are not made.
func after(percent int, memory uint64) {
	runtime.AddCleanup(new([16]byte), func(percent int) {
		heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
		metrics.Read(heap)
		if want := percentFor(heap[0].Value.Uint64(), heap[1].Value.Uint64(), memory); want > percent*5/4 || want < percent*4/5 {
			debug.SetGCPercent(want)
			percent = want
		}
		after(percent, memory)
	}, percent)
}

// percentFor is the value of GOGC that lets enough garbage pile up beside what is alive
// and what of it is looked through, all in bytes. Memory of 0 bytes is not known.
func percentFor(live, scanned, memory uint64) int {
	spare := max(memory/heapsPart, live) - live
	allowed := max(garbage, min(perScanned*scanned, spare))
	return int(min(max(allowed*100/max(live, 1), leastPercent), mostPercent))
}

// usable is how many bytes of memory this process may use: those of the machine, or
// fewer if its control group has fewer; 0: not known, as where there is no Linux.
func usable(read func(file string) ([]byte, error)) uint64 {
	var least uint64
	for _, file := range []string{"/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(file)
		if err != nil {
			continue
		}
		kibibytes, total := bytes.CutPrefix(text, []byte("MemTotal:"))
		if total {
			text = kibibytes
		}
		fields := bytes.Fields(text)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseUint(string(fields[0]), 10, 50) // More is no limit.
		if err != nil {
			continue
		}
		if total {
			n <<= 10
		}
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}
