package lifetime_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lifetime"
)

// An alarm ends its lifetime at the time for which it was set last, whenever its timer
// goes off, and not once it has been taken back.
func TestAlarm(t *testing.T) {
	const never = -1
	type step struct{ after, set time.Duration } // set for so long from then on; never: taken back
	for name, test := range map[string]struct {
		steps []step
		want  time.Duration // since the beginning
	}{
		"set once":                     {[]step{{0, 10}}, 10},
		"set for later":                {[]step{{0, 10}, {5, 10}}, 15},
		"set for later again":          {[]step{{0, 10}, {5, 10}, {7, 10}}, 22},
		"set for earlier":              {[]step{{0, 10}, {5, 2}}, 7},
		"set for now":                  {[]step{{0, 10}, {5, 0}}, 5},
		"set for a time that is over":  {[]step{{0, 10}, {5, -3}}, 5},
		"taken back":                   {[]step{{0, 10}, {5, never}}, never},
		"taken back when moved":        {[]step{{0, 10}, {5, 10}, {7, never}}, never},
		"set again":                    {[]step{{0, 10}, {5, never}, {1, 10}}, 16},
		"set again for earlier":        {[]step{{0, 10}, {5, never}, {1, 1}}, 7},
		"set again after its timer":    {[]step{{0, 10}, {5, never}, {20, 10}}, 35},
		"taken back after having rung": {[]step{{0, 10}, {20, never}}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a lifetime.Alarm
				l := under(t.Context())
				defer l.End(context.Canceled, nil)
				begin, ended := time.Now(), time.Duration(never)
				defer l.AfterFunc(func() { ended = time.Since(begin) / time.Second })()
				for _, s := range test.steps {
					<-time.After(s.after * time.Second)
					if s.set == never {
						a.Stop()
					} else {
						a.Set(time.Now().Add(s.set*time.Second), l, context.DeadlineExceeded, errStalled)
					}
				}
				<-time.After(time.Hour)
				synctest.Wait()
				if ended != test.want {
					t.Errorf("ended after %d s, want %d", ended, test.want)
				}
				if rung := test.want != never; rung != (l.Err() == context.DeadlineExceeded) || rung != (l.Cause() == errStalled) {
					t.Errorf("ended with %v, because of %v", l.Err(), l.Cause())
				}
			})
		})
	}
}

// One alarm serves one lifetime after another, and each gets its own time and cause.
func TestAlarmServesManyLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a lifetime.Alarm
		first, second := under(t.Context()), under(t.Context())
		a.Set(time.Now().Add(time.Minute), first, context.Canceled, nil)
		a.Stop()
		a.Set(time.Now().Add(2*time.Minute), second, context.DeadlineExceeded, errStalled)
		begin := time.Now()
		<-second.Done()
		if took := time.Since(begin); took != 2*time.Minute || second.Cause() != errStalled {
			t.Errorf("the second ended after %v because of %v", took, second.Cause())
		}
		if first.Err() != nil {
			t.Errorf("the first ended with %v", first.Err())
		}
	})
}

// Once an alarm has been taken back it ends nothing, even if its time has come meanwhile.
func TestAlarmAgainstItsTime(t *testing.T) {
	var a lifetime.Alarm
	for range 1000 {
		l := under(t.Context())
		a.Set(time.Now().Add(time.Microsecond), l, context.DeadlineExceeded, errStalled)
		for range 10 {
			runtime.Gosched()
		}
		a.Stop()
		seen := l.Err()
		runtime.Gosched()
		if got := l.Err(); got != seen {
			t.Fatalf("taken back when the lifetime had %v, which became %v", seen, got)
		}
		l.End(context.Canceled, nil)
	}
}
