package maintenance

import (
	"fmt"
	"strings"
	"time"
)

// Report is what one run did.
type Report struct {
	// Rolled is the number of rows moved to the window that runs.
	Rolled int
	// Probed is the number of deployments that were tried, and Ready how many of
	// those are usable now.
	Probed, Ready int
	// Folded is the number of hours whose usage was folded.
	Folded int
	// Swept is the number of idle rows removed.
	Swept int
	// Expired is the number of expired objects removed.
	Expired int
	// Took is how long the run took.
	Took time.Duration
	// Err joins what went wrong, nil if nothing did. What was left undone is done
	// by a later run.
	Err error
}

// Idle tells whether the run found nothing to do.
func (r Report) Idle() bool {
	return r.Rolled == 0 && r.Probed == 0 && r.Folded == 0 && r.Swept == 0 && r.Expired == 0 && r.Err == nil
}

// Lines tells the run in a few lines, for a log.
func (r Report) Lines() []string {
	lines := []string{fmt.Sprintf("maintenance: %d rows rolled, %d of %d probed deployments ready, %d hours folded, %d idle rows swept, %d expired objects removed, in %v",
		r.Rolled, r.Ready, r.Probed, r.Folded, r.Swept, r.Expired, r.Took.Round(time.Millisecond))}
	if r.Err != nil {
		lines = append(lines, strings.Split(r.Err.Error(), "\n")...)
	}
	return lines
}
