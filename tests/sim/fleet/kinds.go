package fleet

import (
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/tally"
)

// The kinds of faults that the run counts itself.
const (
	kindDate = "table: Date off by 2 s"

	kindCrash         = "instance: crash"
	kindCrashBusy     = "instance: crash with requests open"
	kindFreeze        = "instance: freeze"
	kindSkew          = "instance: wall clock off by up to 2 s"
	kindTerminate     = "instance: SIGTERM"
	kindTerminateBusy = "instance: SIGTERM with requests open"
	kindStorm         = "instance: cold start, several at once"
	kindSkipped       = "instance: timer run skipped"
	kindDoubled       = "instance: timer run doubled"
	kindOverlapping   = "instance: timer runs overlap"

	kindThrottleMillis   = "backend: 429 with retry-after-ms"
	kindThrottleSeconds  = "backend: 429 with Retry-After alone"
	kindThrottleBare     = "backend: 429 without a time"
	kindThrottleNegative = "backend: 429 with a time of -1"

	kindLeaveBefore = "client: left before the first byte"
	kindLeaveAfter  = "client: left after the first byte"
	kindSlow        = "client: slow reader"
)

// backendFaults are those that the backends count.
var backendFaults = map[azureopenai.FaultKind]string{
	azureopenai.FaultStatus:           "backend: 5xx",
	azureopenai.FaultRefuse:           "backend: connection refused",
	azureopenai.FaultReset:            "backend: reset before the headers",
	azureopenai.FaultCut:              "backend: reset in mid-answer",
	azureopenai.FaultHangAfterHeaders: "backend: stall after the first byte",
	azureopenai.FaultStreamError:      "backend: error event in a 200 stream",
	azureopenai.FaultLowerLimit:       "backend: limit cut",
}

// tableFaults are those that schedules draw. A table whose rows are all lost is
// not among them: it forgets what was granted.
var tableFaults = append(faultstore.All(), faultstore.Busy, faultstore.BusyApplied, faultstore.ConflictedApplied, faultstore.ReadRefused)

// tableFault names a fault of the table's.
func tableFault(f faultstore.Fault) string { return "table: " + f.String() }

// kinds are all kinds of faults.
func kinds() []string {
	all := []string{
		kindDate, kindCrash, kindCrashBusy, kindFreeze, kindSkew, kindTerminate, kindTerminateBusy, kindStorm, kindSkipped, kindDoubled, kindOverlapping,
		kindThrottleMillis, kindThrottleSeconds, kindThrottleBare, kindThrottleNegative,
		kindLeaveBefore, kindLeaveAfter, kindSlow,
	}
	for _, name := range backendFaults {
		all = append(all, name)
	}
	for _, f := range tableFaults {
		all = append(all, tableFault(f))
	}
	return all
}

// Missing returns the kinds of faults that fired less often than so many times:
// a run without its faults proves nothing.
func Missing(total tally.Counts, least int64) []string {
	wanted := tally.Counts{}
	for _, kind := range kinds() {
		wanted[kind] = least
	}
	return total.Missing(wanted)
}
