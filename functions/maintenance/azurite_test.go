package maintenance_test

import (
	"testing"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store/aztable"
	"spillway/tests/await"
	"spillway/tests/fakes/azurite"
)

// Against Microsoft's storage emulator: names with anything in them are rolled,
// and what is idle is swept, beyond one page of a query's answer.
func TestOnAzurite(t *testing.T) {
	c := new(clock.Clock)
	s, err := aztable.Open(t.Context(), aztable.Options{
		Connection: azurite.Start(t), Table: "maintenance", OnServerDate: c.Observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	limits := []maintenance.Limit{
		{Key: "deployment/büro & co/gpt-4o?/tokens", Period: quota.Minute},
		{Key: "deployment/b/gpt-4o/requests", Period: quota.TenSeconds},
	}
	now := time.Now()
	for _, l := range limits {
		put(t, s, l, 0, spent(l.Period.Window(now.Add(-5*time.Minute)), 1000, 400))
	}
	month := maintenance.Limit{Key: "consumer/a/month", Period: quota.Month}
	put(t, s, month, 0, spent(month.Period.Window(now), 1000, 400))
	const many = 1100
	seed := make(chan int)
	done := make(chan struct{})
	for range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range seed {
				l := maintenance.Limit{Key: "consumer/" + time.Duration(n).String(), Period: quota.Minute}
				if _, err := s.Insert(t.Context(), keyOf(l, 0), spent(quota.Minute.Window(now.Add(-25*time.Hour)), 10, 5).Columns()); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for n := range many {
		seed <- n
	}
	close(seed)
	for range 16 {
		<-done
	}
	i := start(t, setup{store: s, clock: c, limits: limits, deployments: []string{ptu}})
	var rolled, swept int
	await.That(t, "runs have rolled and swept all that is due", func() bool {
		r := i.run(t)
		rolled, swept = rolled+r.Rolled, swept+r.Swept
		return rolled >= len(limits) && swept >= many
	})
	if rolled != len(limits) || swept != many {
		t.Errorf("%d rows rolled, %d swept; want %d and %d", rolled, swept, len(limits), many)
	}
	if _, ok := get(t, s, month, 0); !ok {
		t.Error("the row of the month is gone")
	}
}
