package bicep

import (
	"fmt"
	"slices"
)

// Parse reads a file. The error names the line of the first thing that cannot be
// read.
func Parse(path, text string) (file *File, err error) {
	tokens, err := lex(text, 1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p := &parser{tokens: tokens}
	file = &File{Path: path}
	for p.skipNewlines(); p.err == nil && p.peek().kind != endToken; p.skipNewlines() {
		file.Decls = append(file.Decls, p.statement())
		if !p.at("\n") && p.peek().kind != endToken {
			p.fail("the end of the line")
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("%s: %w", path, p.err)
	}
	return file, nil
}

// parseExpr reads an expression that stands in a string.
func parseExpr(text string, line int) (*Expr, error) {
	tokens, err := lex(text, line)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	e := p.expr()
	if p.peek().kind != endToken {
		p.fail("the end of the expression")
	}
	return e, p.err
}

// parser reads tokens. After its first error it returns empty trees.
type parser struct {
	tokens []token
	next   int
	err    error
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != endToken {
		p.next++
	}
	return t
}

// at tells whether the next token is a symbol, a word, or for "\n" a newline.
func (p *parser) at(text string) bool {
	t := p.peek()
	if t.kind == newlineToken {
		return text == "\n"
	}
	return (t.kind == symbolToken || t.kind == wordToken) && t.text == text
}

// accept takes the next token if it is this one.
func (p *parser) accept(text string) bool {
	if p.err != nil || !p.at(text) {
		return false
	}
	p.take()
	return true
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.fail(text)
	}
}

func (p *parser) word() string {
	if t := p.peek(); p.err == nil && t.kind == wordToken {
		return p.take().text
	}
	p.fail("a name")
	return ""
}

func (p *parser) text() string {
	if t := p.peek(); p.err == nil && t.kind == stringToken {
		return p.take().text
	}
	p.fail("a string")
	return ""
}

func (p *parser) fail(want string) {
	if p.err == nil {
		t := p.peek()
		p.err = fmt.Errorf("line %d: %q where %s should be", t.line, t.text, want)
		p.next = len(p.tokens) - 1
	}
}

func (p *parser) skipNewlines() {
	for p.accept("\n") {
	}
}

func (p *parser) statement() *Decl {
	d := new(Decl)
	for p.accept("@") {
		d.Decorators = append(d.Decorators, p.expr())
		p.skipNewlines()
	}
	d.Line = p.peek().line
	d.Keyword = p.word()
	switch d.Keyword {
	case "using":
		d.Type = p.text()
		return d
	case "targetScope":
	case "var":
		d.Name = p.word()
	case "param":
		d.Name = p.word()
		if !p.at("=") {
			d.Type = p.typeName()
		}
		if !p.at("=") {
			return d
		}
	case "output":
		d.Name, d.Type = p.word(), p.typeName()
	case "resource", "module":
		d.Name, d.Type = p.word(), p.text()
		d.Existing = p.accept("existing")
	default:
		p.fail("a statement, not " + d.Keyword)
	}
	p.expect("=")
	d.Value = p.expr()
	return d
}

// typeName reads the types that the templates use: a name, and arrays of it.
func (p *parser) typeName() string {
	name := p.word()
	for p.accept("[") {
		p.expect("]")
		name += "[]"
	}
	return name
}

// binary are the operators between two values, those that bind weakest first.
var binary = [][]string{
	{"??"}, {"||"}, {"&&"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"+", "-"}, {"*", "/", "%"},
}

func (p *parser) expr() *Expr {
	e := p.binary(0)
	if line := p.peek().line; p.accept("?") {
		yes := p.expr()
		p.expect(":")
		return &Expr{Kind: Operator, Text: "?:", Args: []*Expr{e, yes, p.expr()}, Line: line}
	}
	return e
}

func (p *parser) binary(level int) *Expr {
	if level == len(binary) {
		return p.unary()
	}
	e := p.binary(level + 1)
	for p.err == nil && p.peek().kind == symbolToken && slices.Contains(binary[level], p.peek().text) {
		t := p.take()
		e = &Expr{Kind: Operator, Text: t.text, Args: []*Expr{e, p.binary(level + 1)}, Line: t.line}
	}
	return e
}

func (p *parser) unary() *Expr {
	if t := p.peek(); p.accept("!") || p.accept("-") {
		return &Expr{Kind: Operator, Text: t.text, Args: []*Expr{p.unary()}, Line: t.line}
	}
	e := p.primary()
	for p.err == nil {
		line := p.peek().line
		switch {
		case p.accept("."):
			e = &Expr{Kind: Member, Text: p.word(), Args: []*Expr{e}, Line: line}
		case p.accept("["):
			e = &Expr{Kind: Index, Args: []*Expr{e, p.expr()}, Line: line}
			p.expect("]")
		default:
			return e
		}
	}
	return e
}

func (p *parser) primary() *Expr {
	t := p.peek()
	switch {
	case p.err != nil:
	case t.kind == stringToken:
		p.take()
		return &Expr{Kind: Text, Text: t.text, Args: t.in, Line: t.line}
	case t.kind == numberToken:
		return &Expr{Kind: Literal, Text: p.take().text, Line: t.line}
	case p.accept("{"):
		return p.object(t.line)
	case p.accept("["):
		return &Expr{Kind: Array, Args: p.list("]"), Line: t.line}
	case p.accept("("):
		e := p.expr()
		p.expect(")")
		return e
	case t.kind == wordToken:
		return p.named(p.take())
	}
	p.fail("a value")
	return new(Expr)
}

// named reads what begins with a word.
func (p *parser) named(t token) *Expr {
	switch {
	case t.text == "true" || t.text == "false" || t.text == "null":
		return &Expr{Kind: Literal, Text: t.text, Line: t.line}
	case t.text == "for":
		return p.loop(t.line)
	case t.text == "if" && p.at("("):
		p.expect("(")
		condition := p.expr()
		p.expect(")")
		return &Expr{Kind: If, Args: []*Expr{condition, p.expr()}, Line: t.line}
	case p.accept("("):
		return &Expr{Kind: Call, Text: t.text, Args: p.list(")"), Line: t.line}
	}
	return &Expr{Kind: Name, Text: t.text, Line: t.line}
}

// loop reads "for item in items: value" and "for (item, i) in items: value".
func (p *parser) loop(line int) *Expr {
	e := &Expr{Kind: For, Line: line}
	if p.accept("(") {
		e.Names = []string{p.word()}
		p.expect(",")
		e.Names = append(e.Names, p.word())
		p.expect(")")
	} else {
		e.Names = []string{p.word()}
	}
	p.expect("in")
	items := p.expr()
	p.expect(":")
	e.Args = []*Expr{items, p.expr()}
	return e
}

// list reads values up to a bracket, separated by commas or newlines.
func (p *parser) list(end string) []*Expr {
	var values []*Expr
	for p.skipNewlines(); p.err == nil && !p.accept(end); {
		values = append(values, p.expr())
		p.separator(end)
	}
	return values
}

func (p *parser) object(line int) *Expr {
	e := &Expr{Kind: Object, Line: line}
	for p.skipNewlines(); p.err == nil && !p.accept("}"); {
		t := p.peek()
		key := &Expr{Kind: Text, Line: t.line}
		if t.kind == stringToken {
			p.take()
			key.Text, key.Args = t.text, t.in
		} else {
			key.Text = p.word()
		}
		p.expect(":")
		e.Fields = append(e.Fields, Field{Key: key, Value: p.expr()})
		p.separator("}")
	}
	return e
}

// separator takes what must stand between two items.
func (p *parser) separator(end string) {
	if p.at(end) {
		return
	}
	if !p.accept(",") && !p.at("\n") {
		p.fail(end)
	}
	p.skipNewlines()
}
