package browser_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/functions/console"
	"spillway/functions/console/activity"
	"spillway/tests/browser"
)

// hostile are names that a page which takes text for markup would run.
var hostile = []string{
	`<script>document.title='owned'</script>`,
	`"><img src=x onerror="document.title='owned'">`,
	`</th></tr></table><iframe srcdoc="<script>parent.document.title='owned'</script>">`,
	`javascript:alert(1)//'"` + "`${alert(1)}`",
	`__proto__`, `constructor`, `{{7*7}}`, "a\u202etxt.exe", strings.Repeat("long", 30),
}

// crowd makes a gateway's status a full house: an hour's history, many deployments in
// all conditions, as many consumers as are shown, hostile names, the table down.
func crowd(body []byte) []byte {
	var s console.Status
	if json.Unmarshal(body, &s) != nil {
		return body
	}
	start := s.Now.Unix()/activity.StepSeconds - activity.Steps + 1
	s.Started, s.Instances = s.Now.Add(-26*time.Hour), 12
	s.Store = console.Store{Kind: "tables", Degraded: true, Message: "The shared state does not answer."}
	s.History.Start = start * activity.StepSeconds
	s.Pools[0].Name, s.Pools[0].Model = "production", hostile[1]
	s.History.Pools["production"] = s.History.Pools["gpt-4o"]
	for i, name := range hostile {
		made := s.Deployments[i%len(s.Deployments)]
		made.ID = fmt.Sprintf("backend-%d/%s", i, name)
		made.Breaker = []string{"closed", "open", "half-open"}[i%3]
		until := s.Now.Add(time.Duration(20+i) * time.Second)
		made.OpenUntil, made.ThrottledUntil = &until, &until
		made.Counts.Requests, made.Counts.Prompt = int64(math.Pow(7, float64(i))), 1<<(3*i)
		s.Deployments = append(s.Deployments, made)
	}
	for _, d := range s.Deployments {
		s.History.Deployments[d.ID] = hour(start)
		for i := range 8 {
			at := s.Now.Add(-time.Duration(7*i+len(d.ID)%5) * time.Minute)
			until := at.Add(time.Duration(10+i*9) * time.Second)
			s.Events = append(s.Events, activity.Event{At: at, Kind: "throttled", Deployment: d.ID, Reason: "answer", Until: &until, Status: 429})
		}
	}
	for i, kind := range []string{"opened", "half_open", "opened", "half_open", "closed"} {
		s.Events = append(s.Events, activity.Event{At: s.Now.Add(time.Duration(i-30) * time.Minute), Kind: kind, Deployment: s.Deployments[3].ID, Reason: hostile[0]})
	}
	slices.SortStableFunc(s.Events, func(a, b activity.Event) int { return a.At.Compare(b.At) })
	for name := range s.History.Pools {
		s.History.Pools[name] = hour(start)
	}
	for i := range console.MaxConsumers - len(s.Consumers.MostActive) {
		c := s.Consumers.MostActive[i%2]
		c.Name = fmt.Sprintf("%d %s", i, hostile[i%len(hostile)])
		s.Consumers.MostActive = append(s.Consumers.MostActive, c)
	}
	s.Consumers.Seen = 400
	text, err := json.Marshal(s)
	if err != nil {
		return body
	}
	return text
}

// hour is the history of a deployment that fills by the minute, more at some times
// than at others.
func hour(start int64) (s activity.Series) {
	for i := range int64(activity.Steps) {
		demand := 1 + 0.7*math.Sin(float64(i)/40)
		minute := float64((start+i)%6+1) / 6
		s.Requests = append(s.Requests, int64(20*demand))
		s.Errors = append(s.Errors, 0)
		s.Tokens = append(s.Tokens, int64(900*demand))
		s.Spilled = append(s.Spilled, int64(max(0, demand*minute-0.9)*1500))
		s.Fill = append(s.Fill, activity.Share(min(1, demand*minute*1.1)))
	}
	return s
}

// Names are text, whatever they look like; a full house stays readable; and what does
// not apply is said.
func TestFullHouse(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	for _, key := range []string{searchKey, chatKey} {
		s.ask(t.Context(), key, "gpt-4o")
		s.ask(t.Context(), key, hostileModel)
	}
	p := browser.Start(t).Open(t, 1280, 900)
	p.Rewrite("*/spillway/status*", crowd)
	signIn(p, s, adminKey)
	p.Await(signedIn + fmt.Sprintf(" && document.querySelectorAll('#consumers tbody tr').length === %d", console.MaxConsumers))
	p.Evaluate("document.getElementById('span').value = '3600'; document.getElementById('span').dispatchEvent(new Event('change'))", nil)
	for i, name := range hostile {
		want := strings.ReplaceAll(fmt.Sprintf("backend-%d/%s", i, name), "\u202e", "\uFFFD") // it would turn the order of letters
		if got := show(t, p, cell("deployments", want, "Deployment")); got != want {
			t.Errorf("the page shows %q, want %q", got, want)
		}
	}
	if got := p.Text("#pool"); !strings.Contains(got, hostileModel) {
		t.Errorf("the pools to choose from are %q, want %q among them", got, hostileModel)
	}
	if got := show(t, p, "[document.querySelectorAll('main img, main script, main iframe, main [onerror]').length, document.title.includes('owned')].join()"); got != "0,false" {
		t.Errorf("text has become markup: %s, want 0,false", got)
	}
	if got := p.Text("#store"); got != "table down" || p.Text("#degraded") == "" {
		t.Errorf("while the table is down the page says %q and %q", got, p.Text("#degraded"))
	}
	accessible(t, p, "full", look{1280, "light"}, look{390, "dark"})
	for _, complaint := range p.Complaints() {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// The page works while the table is down, but for what only the table has.
func TestTableDown(t *testing.T) {
	t.Parallel()
	s := newSite(t, `{ store: tables, connection: "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=AAAA;TableEndpoint=http://127.0.0.1:9/devstoreaccount1;", onUnavailable: allow }`)
	for range 5 {
		s.ask(t.Context(), searchKey, "gpt-4o")
	}
	p := browser.Start(t).Open(t, 1280, 900)
	signIn(p, s, adminKey)
	p.Await(signedIn + ` && document.getElementById("store").textContent === "table down"`)
	p.Await(`!document.getElementById("degraded").hidden && !document.getElementById("usage-problem").hidden`)
	if got := p.Text("#live"); got != "live" {
		t.Errorf("the page says %q, want %q", got, "live")
	}
	p.Evaluate("document.getElementById('sign-out').click()", nil)
	p.Await("!document.getElementById('sign-in').hidden")
	p.Screenshot(pictures + "/sign-in-1280-light.png")
}

// Behind a balancer each poll may reach another instance. The page shows one whole
// history after the other, never a part of one as if it were the other's.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	s.ask(t.Context(), searchKey, "gpt-4o")
	p := browser.Start(t).Open(t, 1280, 900)
	polls := 0
	p.Rewrite("*/spillway/status*", func(body []byte) []byte {
		var status console.Status
		if json.Unmarshal(body, &status) != nil {
			return body
		}
		polls++ // one answer at a time
		status.Instance, status.Instances = fmt.Sprintf("instance-%d", polls/2%2), 2
		text, err := json.Marshal(status)
		if err != nil {
			return body
		}
		return text
	})
	signIn(p, s, adminKey)
	p.Await(signedIn)
	for _, name := range []string{"instance-1", "instance-0"} {
		p.Await(fmt.Sprintf(`document.getElementById("instance").textContent.startsWith("%s, one of 2 instances")`, name))
	}
	asked := 0
	for _, address := range p.Requests() {
		if strings.HasSuffix(address, "/spillway/status") {
			asked++
		}
	}
	if asked < 3 { // to sign in, and after each change
		t.Errorf("the whole history was asked for %d times, want 3 at least", asked)
	}
	for _, complaint := range p.Complaints() {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// A page that nobody sees asks nothing, and asks at once when it is seen again.
func TestHiddenPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	p := browser.Start(t).Open(t, 1280, 900)
	signIn(p, s, adminKey)
	p.Await(signedIn)
	p.Screenshot(pictures + "/empty-1280-light.png")
	hide := func(hidden bool) {
		p.Evaluate(fmt.Sprintf(`Object.defineProperty(document, "hidden", { value: %t, configurable: true }); document.dispatchEvent(new Event("visibilitychange"))`, hidden), nil)
	}
	hide(true)
	before := len(p.Requests())
	p.Evaluate("new Promise((over) => setTimeout(() => over(1), 2500))", nil) // longer than between two polls
	if after := len(p.Requests()); after > before+1 {                         // one may have been under way
		t.Errorf("hidden, the page has asked %d times", after-before)
	}
	before = len(p.Requests())
	hide(false)
	p.AwaitRequests(before + 1)
}
