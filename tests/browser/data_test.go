package browser_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"spillway/tests/browser"
)

// What the charts show is computed by pure functions of data.js from what the status
// says.
func TestWhatIsDrawn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	p := browser.Start(t).Open(t, 1280, 900)
	p.Navigate(s.url + "/spillway/")
	// Twelve steps from a full minute on, of one deployment that is paid for and one
	// that takes what spills. The paid one's limit is 100 tokens a minute.
	p.Evaluate(`import("/spillway/data.js").then((data) => { window.data = data; window.at = Date.parse("2026-08-01T14:00:00Z");
		const of = (from, n, tokens, spilled, fill) => ({ requests: Array(n).fill(1), errors: Array(n).fill(0), tokens: Array(n).fill(tokens), spilled: Array(n).fill(spilled), fill });
		window.made = (instance, from, n) => ({ instance, started: "2026-08-01T13:00:00Z", now: new Date(at + (from + n - 1) * 10000).toISOString(),
			pools: [{ name: "p", model: "m", members: [{ deployment: "ptu", priority: 1 }, { deployment: "payg", priority: 2 }] }],
			deployments: [{ id: "ptu", breaker: "closed", tokens: { limit: 100 } }, { id: "payg", breaker: "closed" }], events: [],
			history: { stepSeconds: 10, start: at / 1000 + from * 10,
				deployments: { ptu: of(from, n, 20, 0, Array.from({ length: n }, (_, i) => ((from + i) % 6) / 5)), payg: of(from, n, 7, 7) },
				pools: { p: of(from, n, 27, 7) } } });
		return 1; })`, nil)
	tests := []struct {
		name, expression, want string
	}{
		{"tokens and spill begin anew with each minute", `data.fillOf(made("a", 0, 8), made("a", 0, 8).pools[0], 900).steps.map((s) => [s.taken, s.spilled])`,
			`[[0,7],[20,14],[40,21],[60,28],[80,35],[100,42],[0,7],[20,14]]`},
		{"by the minute each is the whole, and the last as far as it is", `data.fillOf(made("a", 0, 8), made("a", 0, 8).pools[0], 3600).steps.map((s) => [s.time - at / 1000, s.taken, s.spilled])`,
			`[[0,100,42],[60,20,14]]`},
		{"without a limit the tokens of the first priority are added up", `(() => { const s = made("a", 0, 3); delete s.deployments[0].tokens; return data.fillOf(s, s.pools[0], 900).steps.map((step) => step.taken); })()`,
			`[20,40,60]`},
		{"spillover is who is never first", `[...data.spillOf(made("a", 0, 1))]`, `["payg"]`},
		{"the present step is left out of a rate", `data.lately(made("a", 0, 8).history, "deployments", "requests", 60)`, `12`},
		{"a later answer continues the history", `data.joinStatus(made("a", 0, 8), made("a", 7, 3)).history.deployments.ptu.fill`,
			`[0,0.2,0.4,0.6,0.8,1,0,0.2,0.4,0.6]`},
		{"one hour is kept", `(() => { const h = data.joinStatus(made("a", 0, 360), made("a", 359, 5)).history; return [h.deployments.ptu.requests.length, h.start - at / 1000]; })()`, `[360,40]`},
		{"another instance begins anew", `data.joinStatus(made("a", 0, 8), made("b", 7, 3)).history.deployments.ptu.requests.length`, `3`},
		{"a gap begins anew", `data.joinStatus(made("a", 0, 8), made("a", 9, 3)).history.deployments.ptu.requests.length`, `3`},
		{"a breaker that opened, was tried and closed", `(() => { const s = made("a", 0, 12);
			s.events = [["opened", 10], ["half_open", 30], ["closed", 40]].map(([kind, after]) => ({ kind, deployment: "ptu", at: new Date(at + after * 1000).toISOString() }));
			return data.outages(s, s.deployments[0], at + 20000, at + 110000).map((p) => [p.kind, (p.from - at) / 1000, (p.to - at) / 1000]); })()`,
			`[["open",20,30],["trial",30,40]]`},
		{"a breaker that was open before the first event", `(() => { const s = made("a", 0, 12); s.deployments[0].breaker = "open";
			return data.outages(s, s.deployments[0], at, at + 110000).map((p) => [p.kind, (p.from - at) / 1000, (p.to - at) / 1000]); })()`, `[["open",0,110]]`},
		{"a throttle ends at its time, when it is lifted, or with the next one", `(() => { const s = made("a", 0, 12);
			const moment = (after) => new Date(at + after * 1000).toISOString();
			s.events = [["throttled", 5, 20], ["throttled", 30, 60], ["lifted", 40], ["throttled", 100, 200]].map(([kind, after, until]) => ({ kind, deployment: "ptu", at: moment(after), until: until && moment(until) }));
			return data.outages(s, s.deployments[0], at, at + 110000).map((p) => [(p.from - at) / 1000, (p.to - at) / 1000]); })()`, `[[5,20],[30,40],[100,110]]`},
	}
	for _, test := range tests {
		var got, want any
		p.Evaluate(test.expression, &got)
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(round(got), want) {
			t.Errorf("%s: %s, want %s", test.name, fmt.Sprint(got), test.want)
		}
	}
}

// round takes away what binary fractions add.
func round(value any) any {
	switch v := value.(type) {
	case float64:
		return float64(int64(v*1000+0.5)) / 1000
	case []any:
		for i := range v {
			v[i] = round(v[i])
		}
	}
	return value
}
