package infra

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// query is what an expression of PromQL reads. The parser knows as much of the language
// as dashboard and alerts use, and the kinds of values, so that rate(x) is an error.
type query struct {
	selectors []selector
	groupings []grouping
	calls     []call
}

// selector reads one metric.
type selector struct {
	metric     string
	matchers   []matcher
	aggregator string // the innermost around it; "" if there is none
}

type matcher struct{ label, operator, value string }

// grouping are labels by which the metrics in its scope are summed up or matched.
type grouping struct{ labels, metrics []string }

// call is a function and what it is given.
type call struct {
	function string
	metrics  []string
}

// labels are all labels that the result may have.
func (q *query) labels() []string {
	var all []string
	for _, g := range q.groupings {
		all = append(all, g.labels...)
	}
	return all
}

// The kinds of values.
const (
	scalar  = "scalar"
	vector  = "vector"
	ranged  = "range vector"
	literal = "string"
)

// functions are the arguments and the result of each.
var functions = map[string][]string{
	"rate":               {ranged, vector},
	"increase":           {ranged, vector},
	"max_over_time":      {ranged, vector},
	"avg_over_time":      {ranged, vector},
	"absent":             {vector, vector},
	"scalar":             {vector, scalar},
	"histogram_quantile": {scalar, vector, vector},
}

// aggregators have the kind of a first argument before the vector, if they need one.
var aggregators = map[string]string{"sum": "", "max": "", "min": "", "count": "", "group": "", "topk": scalar}

var precedence = map[string]int{
	"or": 1, "and": 2, "unless": 2,
	"==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3,
	"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6,
}

var lexeme = regexp.MustCompile(`^\s*(?:([A-Za-z_:][\w:]*)|(\d+[smhdwy](?:\d+[smhdwy])*)|(\d*\.?\d+)|("(?:[^"\\]|\\.)*")|(=~|!~|==|!=|<=|>=|[-+*/%^(){}\[\],=<>]))`)

// promql reads one expression.
type promql struct {
	query
	rest string
	next string // the token that comes; "" at the end
	kind int    // 1 name, 2 duration, 3 number, 4 string, 5 punctuation
}

// fault is what is wrong with an expression; the parser panics with it.
type fault string

// parsePromQL reads an expression whose result is a vector or a number.
func parsePromQL(text string) (q *query, err error) {
	p := &promql{rest: text}
	defer func() {
		if f, ok := recover().(fault); ok {
			q, err = nil, fmt.Errorf("%s, before %q", string(f), p.next+p.rest)
		}
	}()
	p.advance()
	if kind := p.expression(0); kind != vector && kind != scalar {
		p.fail("the result is a %s", kind)
	}
	if p.next != "" {
		p.fail("something follows the expression")
	}
	return &p.query, nil
}

func (p *promql) fail(format string, args ...any) { panic(fault(fmt.Sprintf(format, args...))) }

func (p *promql) advance() {
	match := lexeme.FindStringSubmatchIndex(p.rest)
	if match == nil {
		if strings.TrimSpace(p.rest) != "" {
			p.next = ""
			p.fail("no token")
		}
		p.next, p.kind, p.rest = "", 0, ""
		return
	}
	for group := 1; group <= 5; group++ {
		if match[2*group] >= 0 {
			p.next, p.kind = p.rest[match[2*group]:match[2*group+1]], group
		}
	}
	p.rest = p.rest[match[1]:]
}

// took passes over a token if it is the next one.
func (p *promql) took(text string) bool {
	if p.next != text || p.kind == 4 {
		return false
	}
	p.advance()
	return true
}

func (p *promql) expect(text string) {
	if !p.took(text) {
		p.fail("%q is missing", text)
	}
}

// of takes a token of a kind.
func (p *promql) of(kind int, what string) string {
	text := p.next
	if p.kind != kind {
		p.fail("%s is missing", what)
	}
	p.advance()
	return text
}

// metrics are those of the selectors from one on.
func (p *promql) metrics(from int) []string {
	var names []string
	for _, s := range p.selectors[from:] {
		names = append(names, s.metric)
	}
	return names
}

func (p *promql) expression(above int) string {
	from := len(p.selectors)
	left := p.operand()
	for precedence[p.next] > above && p.kind != 4 {
		operator, level := p.next, precedence[p.next]
		p.advance()
		var labels []string
		matched := p.took("on") || p.took("ignoring")
		if matched {
			labels = p.labelList()
		}
		right := p.expression(level)
		if matched {
			p.groupings = append(p.groupings, grouping{labels, p.metrics(from)})
		}
		sets := level <= 2
		switch {
		case left != vector && left != scalar, right != vector && right != scalar:
			p.fail("%s between a %s and a %s", operator, left, right)
		case (sets || matched) && (left != vector || right != vector):
			p.fail("%s is of vectors alone", operator)
		case right == vector:
			left = vector
		}
	}
	return left
}

func (p *promql) labelList() []string {
	var labels []string
	p.expect("(")
	for !p.took(")") {
		labels = append(labels, p.of(1, "a label"))
		if !p.took(",") {
			p.expect(")")
			break
		}
	}
	return labels
}

func (p *promql) operand() string {
	name := p.next
	switch {
	case p.kind == 3:
		p.advance()
		return scalar
	case p.kind == 4:
		p.advance()
		return literal
	case p.took("("):
		kind := p.expression(0)
		p.expect(")")
		return kind
	case p.kind != 1:
		p.fail("an operand is missing")
	}
	p.advance()
	first, aggregates := aggregators[name]
	switch {
	case aggregates:
		return p.aggregation(name, first)
	case p.next == "(" && p.kind == 5:
		return p.function(name)
	}
	return p.selector(name)
}

func (p *promql) aggregation(name, first string) string {
	from := len(p.selectors)
	var labels []string
	if p.took("by") {
		labels = p.labelList()
	}
	p.expect("(")
	if first != "" {
		p.argument(name, first)
		p.expect(",")
	}
	p.argument(name, vector)
	p.expect(")")
	for i := range p.selectors[from:] {
		if s := &p.selectors[from+i]; s.aggregator == "" {
			s.aggregator = name
		}
	}
	p.groupings = append(p.groupings, grouping{labels, p.metrics(from)})
	return vector
}

func (p *promql) function(name string) string {
	signature, known := functions[name]
	if !known {
		p.fail("%s is not known here", name)
	}
	from := len(p.selectors)
	arguments := signature[:len(signature)-1]
	p.expect("(")
	for i, kind := range arguments {
		if i > 0 {
			p.expect(",")
		}
		p.argument(name, kind)
	}
	p.expect(")")
	p.calls = append(p.calls, call{name, p.metrics(from)})
	return signature[len(arguments)]
}

func (p *promql) argument(of, want string) {
	if got := p.expression(0); got != want {
		p.fail("%s is given a %s, and wants a %s", of, got, want)
	}
}

func (p *promql) selector(name string) string {
	s := selector{metric: name}
	if p.took("{") {
		for !p.took("}") {
			m := matcher{label: p.of(1, "a label"), operator: p.next}
			if !slices.Contains([]string{"=", "!=", "=~", "!~"}, p.next) {
				p.fail("%s is no matcher", p.next)
			}
			p.advance()
			m.value = strings.Trim(p.of(4, "a value"), `"`)
			s.matchers = append(s.matchers, m)
			if !p.took(",") {
				p.expect("}")
				break
			}
		}
	}
	p.selectors = append(p.selectors, s)
	kind := vector
	if p.took("[") {
		p.of(2, "a duration")
		p.expect("]")
		kind = ranged
	}
	if p.took("offset") {
		p.of(2, "a duration")
	}
	return kind
}

// What the parser must not let pass, or no test that uses it would find it.
func TestPromQLParserFindsFaults(t *testing.T) {
	for _, text := range []string{
		"", "sum(", "sum(a))", "a +", "a{b=}", `a{b="c"`, `a{b~"c"}`, "rate(a)", "rate(a[5m)", "rate(a[5])", "rates(a[5m])", "a[5m]",
		"sum by (a", "a and 1", "1 or 2", "1 + on (b) a", "histogram_quantile(a, b)", `"a"`, "a b", "topk(a)", "a offset b", "a & b",
	} {
		if _, err := parsePromQL(text); err == nil {
			t.Errorf("%q passes", text)
		}
	}
	q, err := parsePromQL(`sum by (b) (max by (b, c) (rate(a{d=~"e|f"}[5m] offset 1h))) / on (b) g > 0.5`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(*q), `{[{a [{d =~ e|f}] max} {g [] }] [{[b c] [a]} {[b] [a]} {[b] [a g]}] [{rate [a]}]}`; got != want {
		t.Errorf("read as %s, want %s", got, want)
	}
}
