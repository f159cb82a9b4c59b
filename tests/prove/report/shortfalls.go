package report

import (
	"fmt"
	"slices"

	"spillway/tests/prove/judge"
	"spillway/tests/prove/replay"
)

// What a replay needs in order to prove anything.
const (
	// minWanted is how much clients must ask for in each window, in limits.
	minWanted = 1.5
	// maxUndecided is the share of spilled requests that may stay without verdict.
	maxUndecided = 0.05
)

// Shortfalls are the reasons for which the outcomes do not prove that Spillway
// keeps its promises; none: they do. Those that begin with "void" say that the
// replay was not fit to prove anything.
func Shortfalls(outcomes []replay.Outcome) []string {
	all := []string{}
	add := func(kind string, o replay.Outcome, format string, args ...any) {
		all = append(all, fmt.Sprintf("%s: %s, %s: %s", kind, gateway(o.Contender), o.Scenario.Name(), fmt.Sprintf(format, args...)))
	}
	kinds := make(map[replay.Kind]bool)
	for _, o := range outcomes {
		kinds[o.Contender.Kind] = true
		for _, why := range unfit(o.Result) {
			add("void", o, "%s", why)
		}
		if o.Contender.Kind == replay.Spillway {
			if o.Result.Spilled == 0 {
				add("void", o, "nothing was spilled, so nothing was judged")
			}
			for _, what := range broken(o.Result, o.Contender.MinFill) {
				add("failed", o, "%s", what)
			}
		}
	}
	for _, kind := range []replay.Kind{replay.Spillway, replay.PostPaid} {
		if !kinds[kind] {
			all = append(all, fmt.Sprintf("void: %s: was not there", kind))
		}
	}
	return all
}

// unfit says why one outcome proves nothing.
func unfit(r judge.Result) []string {
	var why []string
	for i, w := range r.Windows {
		if float64(w.Wanted) < minWanted*replay.Limit {
			why = append(why, fmt.Sprintf("only %s tokens were asked for in window %d, too few to saturate the PTU", count(int(w.Wanted)), i+1))
		}
		if w.Charged == 0 {
			why = append(why, fmt.Sprintf("the PTU had no traffic in window %d", i+1))
		}
	}
	if len(r.Windows) == 0 {
		why = append(why, "there was no window")
	}
	if r.OtherErrors > 0 {
		why = append(why, fmt.Sprintf("%s requests ended with neither a 200 nor a 429", count(r.OtherErrors)))
	}
	return why
}

// broken says which of its promises Spillway has broken.
func broken(r judge.Result, minFill float64) []string {
	var what []string
	for _, n := range []struct {
		n    int
		name string
	}{
		{r.Client429, "429s for clients while PAYG had room"},
		{r.Backend429, "429s from backends"},
		{r.Fitted, "requests spilled that would still have fit on the PTU"},
		{int(r.Overshoot), "tokens sent to the PTU beyond its limit"},
	} {
		if n.n > 0 {
			what = append(what, fmt.Sprintf("%s %s", count(n.n), n.name))
		}
	}
	if fill := r.Fill(replay.Limit); len(fill) > 0 && slices.Min(fill) < minFill {
		what = append(what, fmt.Sprintf("the PTU was filled to %s only, at least %s are promised", percent(slices.Min(fill)), percent(minFill)))
	}
	if share(r.Undecided, r.Spilled) > maxUndecided {
		what = append(what, fmt.Sprintf("%s of %s spilled requests are undecided", count(r.Undecided), count(r.Spilled)))
	}
	return what
}
