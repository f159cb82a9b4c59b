package browser_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/functions/console/activity"
	"spillway/tests/await"
	"spillway/tests/browser"
	"spillway/tests/fakes/azureopenai"
)

// pictures is where screenshots are kept, for people and for CI.
const pictures = "../../bin/console"

// signIn opens the console and signs in by keyboard alone.
func signIn(p *browser.Page, s *site, key string) {
	p.Navigate(s.url + "/spillway/")
	p.Evaluate("document.getElementById('key').focus()", nil)
	p.Type(key)
	p.Press("Enter")
}

const signedIn = "!document.getElementById('room').hidden && document.querySelectorAll('#deployments tbody tr').length > 0"

// cell is an expression for what the page shows of a deployment in a column.
func cell(table, row, column string) string {
	return fmt.Sprintf(`(() => { const t = document.getElementById(%q);
		const i = [...t.tHead.rows[0].cells].findIndex((c) => c.textContent === %q);
		return [...t.tBodies[0].rows].find((r) => r.cells[0].textContent === %q)?.cells[i]?.textContent ?? ""; })()`, table, column, row)
}

func show(t *testing.T, p *browser.Page, expression string) string {
	t.Helper()
	var text string
	p.Evaluate(expression, &text)
	return text
}

// Who has no admin key gets no further than the form, and is told why; the key that
// does is nowhere but in the page's memory.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	p := browser.Start(t).Open(t, 1280, 900)
	for _, test := range []struct{ name, key, want string }{
		{"a wrong key", "nobody-knows-this-one", "does not know this key"},
		{"a consumer's key", searchKey, "key of a consumer"},
		{"no key at all", "two words", "not a key"},
	} {
		signIn(p, s, test.key)
		p.Await("!document.getElementById('problem').hidden")
		if got := p.Text("#problem"); !strings.Contains(got, test.want) {
			t.Errorf("%s: the page says %q, want it to say %q", test.name, got, test.want)
		}
	}
	signIn(p, s, adminKey)
	p.Await(signedIn)
	kept := show(t, p, `JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, document.documentElement.outerHTML, document.getElementById("key").value])`)
	if strings.Contains(kept, adminKey) {
		t.Errorf("the key is kept outside of the page's memory: %.300s", kept)
	}
	for _, address := range p.Requests() {
		if strings.Contains(address, adminKey) {
			t.Errorf("the key is part of an address: %s", address)
		}
	}
	p.Click("#sign-out")
	p.Await("document.getElementById('room').hidden && !document.getElementById('sign-in').hidden")
}

// What an operator sees under load: numbers that are the gateway's own, a breaker soon
// after it opened, a file that a spreadsheet reads; and nothing that a browser complains
// of, nor a call of anybody else.
func TestConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t, "{ store: memory }")
	traffic := s.startLoad(t)
	p := browser.Start(t).Open(t, 1280, 900)
	signIn(p, s, adminKey)
	p.Await(signedIn)
	p.Await(cell("deployments", "payg-sweden/gpt-4o", "Calls") + " > 3")

	t.Run("the numbers are those of the status", func(t *testing.T) { sameNumbers(t, p, s, traffic) })
	t.Run("a breaker that opens is seen", func(t *testing.T) { breakerOpens(t, p, s) })
	t.Run("usage is saved as a file", func(t *testing.T) { usageAsFile(t, p, s, traffic) })
	t.Run("a pause holds", func(t *testing.T) {
		p.Click("#pause")
		p.Await(`document.getElementById("live").textContent === "paused"`)
		p.Click("#pause")
		p.Await(`document.getElementById("live").textContent === "live"`)
	})
	t.Run("anybody can read it", func(t *testing.T) {
		accessible(t, p, "live", look{1280, "light"}, look{1280, "dark"}, look{390, "light"}, look{390, "dark"})
	})

	for _, complaint := range p.Complaints() {
		t.Errorf("the browser complains: %s", complaint)
	}
	for _, address := range p.Requests() {
		if !strings.HasPrefix(address, s.url+"/spillway/") && !strings.HasPrefix(address, "blob:"+s.url) {
			t.Errorf("the page asks for %s", address)
		}
	}
	s.stop(t)
	p.Await(`document.getElementById("trouble").textContent.includes("does not answer")`)
	if got := p.Text("#live"); got != "no answer" {
		t.Errorf("with the gateway gone the page says %q, want %q", got, "no answer")
	}
}

// sameNumbers compares the page with the status while nothing happens.
func sameNumbers(t *testing.T, p *browser.Page, s *site, traffic *load) {
	traffic.quiet(func() {
		status := s.status(t)
		for _, d := range status.Deployments {
			want := strconv.FormatInt(d.Counts.Requests, 10)
			p.Await(fmt.Sprintf("%s.replaceAll(',', '') === %q", cell("deployments", d.ID, "Calls"), want))
		}
		for _, d := range status.Deployments {
			tokens := strconv.FormatInt(d.Counts.Completion, 10)
			if got := strings.ReplaceAll(show(t, p, cell("share-table", d.ID, "Completion tokens")), ",", ""); got != tokens {
				t.Errorf("%s: the page shows %s completion tokens, want %s", d.ID, got, tokens)
			}
			share := percent(d.Share)
			if got := show(t, p, cell("share-table", d.ID, "Share")); got != share && d.Share > 0 {
				t.Errorf("%s: the page shows a share of %s, want %s", d.ID, got, share)
			}
		}
		for _, c := range status.Consumers.MostActive {
			want := strconv.FormatInt(c.Requests, 10)
			if got := strings.ReplaceAll(show(t, p, cell("consumers", c.Name, "Calls")), ",", ""); got != want {
				t.Errorf("%s: the page shows %s calls, want %s", c.Name, got, want)
			}
		}
		if len(status.Consumers.MostActive) != 2 {
			t.Errorf("%d consumers, want 2", len(status.Consumers.MostActive))
		}
		p.Await(`document.querySelectorAll("#fill-chart canvas").length === 1`)
	})
}

// percent is a share as the page writes it. Halves are rounded up, as in the browser: an
// eighth is 13 %, where strconv makes an even 12 of it.
func percent(share float64) string {
	digits := 0
	if share < 0.1 {
		digits = 1
	}
	return new(big.Rat).SetFloat64(100*share).FloatString(digits) + " %"
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0.125: "13 %", 0.135: "14 %", 0.0625: "6.3 %", 0.1: "10 %", 0.5: "50 %", 1: "100 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %s, want %s", share, got, want)
		}
	}
}

// breakerOpens lets a backend fail. The page polls every two seconds, so what the
// status says shows with the next poll but one at the latest.
func breakerOpens(t *testing.T, p *browser.Page, s *site) {
	fault := s.backends["embedding"].Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500})
	began := time.Now()
	await.That(t, "the breaker has opened", func() bool {
		return slices.ContainsFunc(s.status(t).Events, func(e activity.Event) bool {
			return e.Kind == "opened" && e.Deployment == "embedding/text-embedding-3-small"
		})
	})
	polls := func() int {
		return len(slices.DeleteFunc(p.Requests(), func(address string) bool { return !strings.Contains(address, "/spillway/status") }))
	}
	before := polls()
	p.Await(`document.querySelector("#breakers-chart .open") && /open/.test(` + cell("deployments", "embedding/text-embedding-3-small", "Breaker") + ")")
	if n := polls() - before; n > 2 {
		t.Errorf("the page shows it after %d polls, want 2 at most", n)
	}
	t.Logf("on the page %s after the fault", time.Since(began).Round(10*time.Millisecond))
	if got := p.Text("#announce"); !strings.Contains(got, "embedding/text-embedding-3-small is open") {
		t.Errorf("a screen reader is told %q", got)
	}
	s.backends["embedding"].Remove(fault)
}

// usageAsFile saves the usage, and compares it with the ledger.
func usageAsFile(t *testing.T, p *browser.Page, s *site, traffic *load) {
	traffic.quiet(func() {
		const query = "/spillway/usage?from=30d&by=day,consumer&format=json"
		whole := s.status(t).Totals.Requests
		var report struct{ Total struct{ Requests int64 } }
		await.That(t, fmt.Sprintf("the ledger, which is written once a second, has all %d requests", whole), func() bool {
			if err := json.Unmarshal(s.get(t, query), &report); err != nil {
				t.Fatal(err)
			}
			return report.Total.Requests >= whole
		})
		p.Click("#usage-csv")
		name, content := p.Download()
		if !strings.HasPrefix(name, "usage-") || filepath.Ext(name) != ".csv" {
			t.Errorf("the file is called %q", name)
		}
		rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := slices.Index(rows[0], "requests")
		var sum int64
		for _, row := range rows[1:] {
			n, err := strconv.ParseInt(row[column], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if sum != report.Total.Requests || len(rows) < 3 {
			t.Errorf("the file has %d requests in %d rows, want %d", sum, len(rows), report.Total.Requests)
		}
	})
	p.Click("#usage-load")
	p.Await(`document.querySelectorAll("#usage-table tbody tr").length >= 2 && document.querySelector("#usage-chart canvas")`)
}

// look is how somebody looks at the page: so many pixels wide, in a theme.
type look struct {
	width  int
	scheme string
}

// accessible holds the page to the rules of axe-core, with all of its tables open, and
// keeps pictures of it with none.
func accessible(t *testing.T, p *browser.Page, name string, looks ...look) {
	for _, l := range looks {
		p.Size(l.width, 900)
		p.Scheme(l.scheme)
		p.Await(fmt.Sprintf("innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches", l.width, l.scheme))
		// Bars grow for a moment, and a fading colour is another one.
		p.Await("document.getAnimations().length === 0")
		p.Evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(1))))", nil)
		var wide int
		p.Evaluate("document.documentElement.scrollWidth", &wide)
		if wide > l.width {
			t.Errorf("%s at %+v: the page is %d px wide and scrolls sideways, want at most %d", name, l, wide, l.width)
		}
		p.Screenshot(filepath.Join(pictures, fmt.Sprintf("%s-%d-%s.png", name, l.width, l.scheme)))
		p.Evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })", nil)
		for _, v := range p.Violations() {
			if v.Impact == "serious" || v.Impact == "critical" {
				t.Errorf("%s at %+v: %s", name, l, v)
			} else {
				t.Logf("%s at %+v: %s", name, l, v)
			}
		}
		p.Evaluate("document.querySelectorAll('details').forEach((d) => { d.open = false; })", nil)
	}
}
