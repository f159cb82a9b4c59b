package fleet

import (
	"fmt"
	"strings"
	"time"
)

// Tell writes what happened for a person.
func (out *Outcome) Tell() string {
	var b strings.Builder
	s := &out.Schedule
	since := func(t time.Time) time.Duration { return t.Sub(out.origin) }
	fmt.Fprintf(&b, "world %d, from %v, faults end at %v, audit from %v\n%s", s.World, s.Start, s.Stop, s.Audit, s.yaml(1))
	for _, f := range s.Table {
		fmt.Fprintf(&b, "table: %v from %v to %v, rate %.2f, Date off by %v\n", f.Kind, f.From, f.To, f.Rate, f.Date)
	}
	for _, t := range s.Troubles {
		fmt.Fprintf(&b, "%s at %v: %+v\n", backendName(t.Backend), t.At, t.Fault)
	}
	for index, it := range s.Instances {
		fmt.Fprintf(&b, "%s: born %v, off by %v, fate %d at %v for %v\n", instanceName(index), it.Born, it.Skew, it.Fate, it.At, it.For)
	}
	for _, r := range out.history.requests {
		fmt.Fprintf(&b, "%s %s c%d max %d: entered %v, done %v: %d", r.id, instanceName(max(r.instance, 0)), r.Consumer, r.Max, since(r.entered.at), since(r.done.at), r.status)
		switch {
		case r.lost:
			b.WriteString(", lost in a crash")
		case r.left.happened():
			fmt.Fprintf(&b, ", client left at %v", since(r.left.at))
		}
		for _, a := range r.attempts {
			fmt.Fprintf(&b, "; %s %v to %v: %d, charge %d", backendName(a.backend), since(a.asked.at), since(a.ended.at), a.status, a.charge)
		}
		for i := range r.records {
			fmt.Fprintf(&b, "; recorded %d by %q, %+v", r.records[i].Status, r.records[i].Backend, r.records[i].Tokens)
		}
		b.WriteString("\n")
	}
	for i := range out.history.lines {
		l := &out.history.lines[i]
		fmt.Fprintf(&b, "%v %s says %s %s%s %s %d\n", since(l.at), instanceName(l.instance), l.Event, l.Deployment, l.Limit, l.Reason, l.Units)
	}
	for i := range out.history.writes {
		w := &out.history.writes[i]
		fmt.Fprintf(&b, "%v %s wrote %s %s: granted %v of window %v, %v ahead; %v\n", since(w.at), instanceName(w.instance), w.key.Partition, w.key.Row,
			w.after["Granted"], w.after["Window"], w.after["NextGranted"], w.after["State"])
	}
	return b.String()
}
