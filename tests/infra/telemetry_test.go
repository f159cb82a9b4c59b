package infra

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dashboard is what the tests look at of Grafana's format.
type dashboard struct {
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Description string
			AllValue                string
			Query                   any
			Datasource              source
		}
	}
	Panels []dashboardPanel
}

type dashboardPanel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  source
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		RefID, Expr, LegendFormat string
		Datasource                source
	}
}

type source struct{ Type, UID string }

// alert is a rule as Prometheus reads it.
type alert struct {
	Alert       string
	Expr        string
	For         string `yaml:"for"`
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Description string }
}

// notShown are metrics that are on no panel and in no alert: what all exporters have.
var notShown = set("target_info")

// What dashboard and alerts read, the gateway exports: the metrics, their labels, and
// the values that labels are asked for. Counters are read as rates. Gauges of what all
// instances share are never added up.
func TestExpressionsReadWhatIsExported(t *testing.T) {
	metrics := exported(t)
	for where, expr := range expressions(t) {
		q, err := parsePromQL(expr)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		for _, s := range q.selectors {
			metric := metrics[s.metric]
			if metric == nil {
				t.Errorf("%s reads %s, which is not exported", where, s.metric)
				continue
			}
			for _, m := range s.matchers {
				if problem := metric.lacks(m); problem != "" {
					t.Errorf("%s reads %s{%s}: %s", where, s.metric, m.label, problem)
				}
			}
			if shared := metric.kind == "GAUGE" && !notAddedUp(q, s); shared {
				t.Errorf("%s takes the %s of %s, of which every instance tells the same", where, s.aggregator, s.metric)
			}
		}
		for _, g := range q.groupings {
			for _, label := range g.labels {
				if !slices.ContainsFunc(g.metrics, func(name string) bool { return metrics[name] == nil || metrics[name].values[label] != nil }) {
					t.Errorf("%s groups %v by %s, which none of them has", where, g.metrics, label)
				}
			}
		}
		for _, c := range q.calls {
			for _, name := range c.metrics {
				growth := c.function == "rate" || c.function == "increase"
				if metric := metrics[name]; growth && metric != nil && metric.kind == "GAUGE" {
					t.Errorf("%s takes the %s of %s, a gauge", where, c.function, name)
				}
			}
		}
	}
}

// notAddedUp tells whether a gauge is read as one that instances share must be. What is
// in flight is each instance's own.
func notAddedUp(q *query, s selector) bool {
	absent := slices.ContainsFunc(q.calls, func(c call) bool { return c.function == "absent" && slices.Contains(c.metrics, s.metric) })
	return s.metric == "up" || absent || s.aggregator == "max" || s.aggregator == "min" ||
		s.metric == "spillway_deployment_in_flight" && s.aggregator == "sum"
}

// Every metric is on the dashboard, or on the list of those that are not.
func TestEveryMetricIsShown(t *testing.T) {
	shown := maps.Clone(notShown)
	for where, expr := range expressions(t) {
		if q, err := parsePromQL(expr); err == nil && strings.HasPrefix(where, "panel ") {
			for _, s := range q.selectors {
				shown[family(s.metric)] = true
			}
		}
	}
	for name := range exported(t) {
		if name != "up" && !shown[family(name)] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// family is the name of a metric without what a histogram's series are told apart by.
func family(name string) string {
	return regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
}

// The dashboard is one that Grafana can lay out and a reader understands.
func TestTheDashboardIsInOrder(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 39 {
		t.Errorf("schema version %d is older than Grafana 10.4's, want at least 39", d.SchemaVersion)
	}
	ids, taken := map[int]string{}, map[[2]int]string{}
	prometheus := source{"prometheus", "${datasource}"}
	for _, p := range d.Panels {
		if ids[p.ID] != "" || p.ID <= 0 {
			t.Errorf("%q and %q have the id %d", ids[p.ID], p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("%q is outside of the grid: %+v", p.Title, g)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[cell]; other != "" && other != p.Title {
					t.Errorf("%q lies over %q", p.Title, other)
				}
				taken[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != prometheus || len(p.Targets) == 0 {
			t.Errorf("%q lacks its description, its unit, its data source or its targets", p.Title)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.RefID == "" || target.Datasource != prometheus {
				t.Errorf("%q: target %q is not its own, or of another data source", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			q, err := parsePromQL(plain(target.Expr))
			for label := range matches(target.LegendFormat, `\{\{\s*(\w+)\s*\}\}`) {
				if err == nil && !slices.Contains(q.labels(), label) {
					t.Errorf("%q: the legend has %s, which the result has not", p.Title, label)
				}
			}
		}
	}
}

// The variables of the dashboard are those that its expressions use, and their values
// come from labels that there are.
func TestVariablesOfTheDashboard(t *testing.T) {
	metrics, d := exported(t), readDashboard(t)
	defined, used := map[string]bool{}, map[string]bool{}
	for _, v := range d.Templating.List {
		defined[v.Name] = true
		if v.Description == "" {
			t.Errorf("the variable %s is not explained", v.Name)
		}
		if v.Type == "datasource" {
			continue
		}
		text, _ := v.Query.(map[string]any)["query"].(string)
		parts := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(text)
		if parts == nil || metrics[parts[1]] == nil || metrics[parts[1]].values[parts[2]] == nil {
			t.Errorf("the values of %s come from %q, which is not exported", v.Name, text)
		}
		if v.AllValue != ".*" {
			t.Errorf("all of %s is %q, want %q: a request without that label would be left out", v.Name, v.AllValue, ".*")
		}
	}
	for name := range matches(read(t, "infra/grafana/spillway.json"), `\$\{?(\w+)`) {
		if !strings.HasPrefix(name, "__") {
			used[name] = true
		}
	}
	if !maps.Equal(defined, used) {
		t.Errorf("defined are %v, used are %v", defined, used)
	}
}

// Each alert says how much it matters, what it is, and what to do; what it says of
// labels its result has.
func TestAlertsAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] || !strings.HasPrefix(a.Alert, "Spillway") {
			t.Errorf("%q is no name of its own", a.Alert)
		}
		seen[a.Alert] = true
		if !set("critical", "warning", "info")[a.Labels.Severity] || a.Annotations.Summary == "" || a.Annotations.Description == "" {
			t.Errorf("%s lacks its severity, its summary or its description", a.Alert)
		}
		if !regexp.MustCompile(`^(\d+[smh])?$`).MatchString(a.For) {
			t.Errorf("%s waits for %q", a.Alert, a.For)
		}
		q, err := parsePromQL(a.Expr)
		for label := range matches(a.Annotations.Description, `\$labels\.(\w+)`) {
			if err == nil && !slices.Contains(q.labels(), label) && !(strings.HasPrefix(a.Expr, "up{") && label == "instance") {
				t.Errorf("%s names %s, which its result has not", a.Alert, label)
			}
		}
		if opened, closed := strings.Count(a.Annotations.Description, "{{"), strings.Count(a.Annotations.Description, "}}"); opened != closed {
			t.Errorf("%s: the description's templates are not in balance", a.Alert)
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

// expressions are all of PromQL that there is, by where it is.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title+" "+target.RefID] = plain(target.Expr)
		}
	}
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	return all
}

// plain is an expression of the dashboard with its variables replaced, as Grafana does.
func plain(expr string) string {
	expr = strings.NewReplacer("$__rate_interval", "5m", "$__range", "3h").Replace(expr)
	return regexp.MustCompile(`\$\w+`).ReplaceAllString(expr, ".*")
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	d := new(dashboard)
	if err := json.Unmarshal([]byte(read(t, "infra/grafana/spillway.json")), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "infra/prometheus/alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}
