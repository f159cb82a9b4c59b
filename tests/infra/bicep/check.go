package bicep

import (
	"fmt"
	"maps"
	"path"
	"slices"
)

// functions are the functions of the language that the templates may call. One
// that is missing here must be looked up before it is added.
var functions = map[string]bool{
	"bool": true, "empty": true, "environment": true, "guid": true, "int": true, "last": true, "readEnvironmentVariable": true,
	"resourceGroup": true, "split": true, "subscription": true, "subscriptionResourceId": true, "toLower": true, "union": true,
	"uniqueString": true,
}

// decorators are those that the templates may use.
var decorators = map[string]bool{
	"allowed": true, "description": true, "maxLength": true, "maxValue": true, "minLength": true, "minValue": true, "secure": true,
}

// Check returns what is wrong with files that refer to one another, by path; a
// line for each, with file and line number, in order.
func Check(files map[string]*File) []string {
	c := &checker{files: files}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c.file = files[name]
		c.names()
		for _, d := range c.file.All("module") {
			c.module(d)
		}
		for _, d := range c.file.All("using") {
			c.parameters(d)
		}
	}
	return c.problems
}

type checker struct {
	files    map[string]*File
	file     *File
	problems []string
}

func (c *checker) report(line int, format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", c.file.Path, line, fmt.Sprintf(format, args...)))
}

// names checks that each name is declared once, and that params and vars are
// used. A parameter file's params are for the file that it names.
func (c *checker) names() {
	declared := map[string]*Decl{}
	outputs := map[string]bool{}
	for _, d := range c.file.Decls {
		switch {
		case d.Name == "":
		case d.Keyword == "output":
			if outputs[d.Name] {
				c.report(d.Line, "output %s is declared twice", d.Name)
			}
			outputs[d.Name] = true
		case declared[d.Name] != nil:
			c.report(d.Line, "%s is declared twice", d.Name)
		default:
			declared[d.Name] = d
		}
	}
	used := map[string]bool{}
	for _, d := range c.file.Decls {
		for _, decorator := range d.Decorators {
			if decorator.Kind != Call || !decorators[decorator.Text] {
				c.report(d.Line, "decorator %s is unknown", decorator.Text)
			}
		}
		c.references(d.Value, declared, nil, used)
	}
	given := len(c.file.All("using")) > 0
	for _, d := range c.file.Decls {
		if (d.Keyword == "var" || d.Keyword == "param" && !given) && !used[d.Name] {
			c.report(d.Line, "%s %s is not used", d.Keyword, d.Name)
		}
	}
}

// references checks the names in an expression; local are those that loops
// around it bind.
func (c *checker) references(e *Expr, declared map[string]*Decl, local []string, used map[string]bool) {
	if e == nil {
		return
	}
	switch e.Kind {
	case Name:
		used[e.Text] = true
		if declared[e.Text] == nil && !slices.Contains(local, e.Text) {
			c.report(e.Line, "%s is not declared", e.Text)
		}
	case Call:
		if !functions[e.Text] {
			c.report(e.Line, "function %s is unknown", e.Text)
		}
	case Member:
		c.output(e, declared)
	case For:
		c.references(e.Args[0], declared, local, used)
		c.references(e.Args[1], declared, append(slices.Clone(local), e.Names...), used)
		return
	case Object:
		c.keys(e)
	}
	for _, arg := range e.Args {
		c.references(arg, declared, local, used)
	}
	for _, f := range e.Fields {
		c.references(f.Key, declared, local, used)
		c.references(f.Value, declared, local, used)
	}
}

func (c *checker) keys(e *Expr) {
	seen := map[string]bool{}
	for _, f := range e.Fields {
		if seen[f.Key.Text] {
			c.report(f.Key.Line, "property %s is given twice", f.Key.Text)
		}
		seen[f.Key.Text] = true
	}
}

// output checks module.outputs.name, module[i].outputs.name included.
func (c *checker) output(e *Expr, declared map[string]*Decl) {
	outputs := e.Args[0]
	if outputs.Kind != Member || outputs.Text != "outputs" {
		return
	}
	module := outputs.Args[0]
	if module.Kind == Index {
		module = module.Args[0]
	}
	d := declared[module.Text]
	if module.Kind != Name || d == nil || d.Keyword != "module" {
		return
	}
	if target := c.target(d); target != nil && target.Decl("output", e.Text) == nil {
		c.report(e.Line, "%s has no output %s", d.Type, e.Text)
	}
}

// target is the file that a module or using names.
func (c *checker) target(d *Decl) *File {
	return c.files[path.Join(path.Dir(c.file.Path), d.Type)]
}

// module checks that a module's file exists and gets the parameters it wants.
func (c *checker) module(d *Decl) {
	target := c.target(d)
	if target == nil {
		c.report(d.Line, "there is no file %s", d.Type)
		return
	}
	body := d.Body()
	if body == nil {
		c.report(d.Line, "module %s has no body", d.Name)
		return
	}
	given := body.At("params")
	for _, name := range given.Keys() {
		if target.Decl("param", name) == nil {
			c.report(d.Line, "%s has no param %s", d.Type, name)
		}
	}
	for _, param := range target.All("param") {
		value := given.At(param.Name)
		if value == nil && param.Value == nil {
			c.report(d.Line, "%s needs param %s", d.Type, param.Name)
		}
		c.secret(d, param, value)
	}
}

// secret checks that a secure parameter is handed on only to a secure one.
func (c *checker) secret(d, param *Decl, value *Expr) {
	value.Walk(func(e *Expr) bool {
		if source := c.file.Decl("param", e.Text); e.Kind == Name && source != nil && source.Decorated("secure") && !param.Decorated("secure") {
			c.report(d.Line, "%s is secure, param %s of %s is not", e.Text, param.Name, d.Type)
		}
		return true
	})
}

// parameters checks a parameter file against the template that it is for.
func (c *checker) parameters(d *Decl) {
	target := c.target(d)
	if target == nil {
		c.report(d.Line, "there is no file %s", d.Type)
		return
	}
	for _, given := range c.file.All("param") {
		if target.Decl("param", given.Name) == nil {
			c.report(given.Line, "%s has no param %s", d.Type, given.Name)
		}
	}
	for _, param := range target.All("param") {
		if param.Value == nil && c.file.Decl("param", param.Name) == nil {
			c.report(d.Line, "%s needs param %s", d.Type, param.Name)
		}
	}
}
