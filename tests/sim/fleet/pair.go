package fleet

import (
	"fmt"
	"time"
)

// Differences compares two runs of one schedule by what their clients got,
// request by request. When they got it may differ, and who served.
func Differences(one, other *Outcome) []string {
	var found []string
	first := make(map[time.Duration]int)
	for _, r := range one.history.requests {
		first[r.At] = r.status
	}
	for _, r := range other.history.requests {
		if before := first[r.At]; before != r.status {
			found = append(found, fmt.Sprintf("the request at %v got %d, and %d", r.At, before, r.status))
		}
	}
	return found
}
