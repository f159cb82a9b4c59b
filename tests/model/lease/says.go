package lease

// event is a kind of step.
type event int

const (
	tick event = iota
	skip
	crash
	crashLate
	die
	ages
	reconfigure
	learns
	spend
	reserve
	refuse
	settle
	overrun
	refills
	looks
	prefetches
	visits
	reaps
	givesBack
	trims
	rechecks
	recalls
	answers
	answerLost
	lands
	answersLate
	conflicts
	sentTwice
	looksForIt
	requestLost
	unavailable
	gaveUp
	events
)

// The labels of the steps that are no instance's.
const (
	landsLate  = "the late write happens"
	timerRolls = "the timer moves a row on"
	amountSet  = "the amount is changed"
)

// says are the labels of the steps, by the instance.
var says = func() (labels [events][instances]string) {
	for e, text := range map[event]string{
		tick:        ": its clock passes an edge",
		skip:        ": its clock passes two edges",
		crash:       " crashes and starts anew",
		crashLate:   " crashes, its write is on its way",
		die:         ": its lease dies early",
		ages:        ": what it knows of the rows grows old",
		reconfigure: " is told another amount",
		learns:      " is told the amount that was set last",
		spend:       " spends",
		reserve:     " reserves",
		refuse:      " cannot serve",
		settle:      " settles for less",
		overrun:     " settles for more",
		refills:     " reads, to refill",
		looks:       " reads again, for a row that had no room",
		prefetches:  " reads, to prefetch",
		visits:      " reads another shard",
		reaps:       " reads, for the next window",
		givesBack:   " reads, to give back",
		trims:       " reads, to have fewer shards",
		rechecks:    " reads, to see what of its lease a cut has left",
		recalls:     " looks for its nonce",
		answers:     " has its answer",
		answerLost:  ": its write happens, the answer is lost",
		lands:       ": its write happens",
		answersLate: ": its write happens, the answer takes its time",
		conflicts:   ": the row has changed",
		sentTwice:   ": its write happens, and is sent again: the row has changed",
		looksForIt:  " looks whether its write happened",
		requestLost: ": the request is lost",
		unavailable: ": the store cannot be asked",
		gaveUp:      " gives up, its write is on its way",
	} {
		for i := range instances {
			labels[e][i] = who(int8(i)+1) + text
		}
	}
	return labels
}()
