package sim

import (
	"fmt"
	"strings"
)

// tell writes the history for a person, request by request.
func (out *Outcome) tell() string {
	var b strings.Builder
	origin := (&judge{Outcome: out}).start()
	since := func(m mark) string {
		if !m.happened() {
			return "–"
		}
		return fmt.Sprintf("%v#%d", m.at.Sub(origin), m.seq)
	}
	for _, t := range out.Schedule.Troubles {
		fmt.Fprintf(&b, "trouble at %v: %s %+v\n", out.Schedule.Start+t.At, backend(t.Member), t.Fault)
	}
	if s := &out.Schedule; s.Store != nil {
		fmt.Fprintf(&b, "store: %v, down %v, read-only %v\n", s.Store, s.Outage, s.ReadOnly)
		for _, lost := range out.history.stranded {
			fmt.Fprintf(&b, "perhaps lost: %d of %s at %v\n", lost.units, lost.partition, lost.window.Sub(origin))
		}
	}
	for _, r := range out.history.requests {
		fmt.Fprintf(&b, "%s c%d charge %d output %d stream %v", r.id, r.consumer, r.call.charge(), r.call.output(), r.call.Stream)
		fmt.Fprintf(&b, ": entered %s, refused %s, left %s, done %s: %d", since(r.entered), since(r.refused), since(r.left), since(r.done), r.status)
		if told, ok := r.waiting(); ok {
			fmt.Fprintf(&b, " wait %v", told)
		}
		for _, a := range r.attempts {
			fmt.Fprintf(&b, "; %s %s to %s: %d", backend(a.member), since(a.start), since(a.end), a.status)
		}
		for i := range r.records {
			fmt.Fprintf(&b, "; recorded %d, estimated %d, %+v, measured %v", r.records[i].Status, r.records[i].Estimated, r.records[i].Tokens, r.records[i].Measured)
		}
		b.WriteString("\n")
	}
	return b.String()
}
