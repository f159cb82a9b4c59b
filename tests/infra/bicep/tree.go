// Package bicep reads the part of the Bicep language that this project's
// templates are written in, and finds what is wrong with them: names that are not
// declared or not used, parameters that a module lacks or does not know, outputs
// that do not exist. It is no compiler: it knows neither the types of values nor
// the resource types of Azure.
package bicep

import "strings"

// File is one .bicep or .bicepparam file.
type File struct {
	Path  string // As it was given to Parse.
	Decls []*Decl
}

// Decl is a statement of a file.
type Decl struct {
	Keyword    string // targetScope, using, param, var, resource, module or output.
	Name       string // Symbolic name; "" for targetScope and using.
	Type       string // Of a param or output: the type; of a resource: type@version; of a module or using: the path.
	Existing   bool   // A resource that the template does not make.
	Value      *Expr  // What stands after "="; nil if nothing does.
	Decorators []*Expr
	Line       int
}

// Kind tells what an expression is.
type Kind int

// The kinds of expressions.
const (
	Literal  Kind = iota // Number, true, false or null, in Text.
	Text                 // String in Text, with ${ } where Args are put in.
	Name                 // Identifier in Text.
	Call                 // Function Text of Args.
	Member               // Member Text of Args[0].
	Index                // Args[0][Args[1]].
	Object               // Fields.
	Array                // Args.
	For                  // Binds Names to the items of Args[0] in Args[1].
	If                   // Args[1] if Args[0].
	Operator             // Text over Args: unary, binary or ?:.
)

// Expr is an expression.
type Expr struct {
	Kind   Kind
	Text   string
	Names  []string
	Args   []*Expr
	Fields []Field
	Line   int
}

// Field is a property of an object.
type Field struct {
	Key   *Expr // A Text.
	Value *Expr
}

// Decl returns the declaration of a name, nil if there is none.
func (f *File) Decl(keyword, name string) *Decl {
	for _, d := range f.Decls {
		if d.Keyword == keyword && d.Name == name {
			return d
		}
	}
	return nil
}

// All returns the declarations of a keyword.
func (f *File) All(keyword string) []*Decl {
	var found []*Decl
	for _, d := range f.Decls {
		if d.Keyword == keyword {
			found = append(found, d)
		}
	}
	return found
}

// Decorated tells whether the declaration has a decorator, such as secure.
func (d *Decl) Decorated(name string) bool {
	for _, decorator := range d.Decorators {
		if decorator.Text == name {
			return true
		}
	}
	return false
}

// Body is the object of a resource or module, inside its loop or condition.
func (d *Decl) Body() *Expr {
	e := d.Value
	for e != nil && e.Kind != Object {
		switch e.Kind {
		case For, If:
			e = e.Args[1]
		case Array: // A loop stands in brackets.
			e = e.Args[0]
		default:
			return nil
		}
	}
	return e
}

// At returns the value at a path of property names, such as properties.sku.name;
// nil if there is none.
func (e *Expr) At(path string) *Expr {
	for name := range strings.SplitSeq(path, ".") {
		if e == nil {
			return nil
		}
		e = e.field(name)
	}
	return e
}

func (e *Expr) field(name string) *Expr {
	for _, f := range e.Fields {
		if f.Key.Text == name {
			return f.Value
		}
	}
	return nil
}

// Keys are the names of an object's properties, in order.
func (e *Expr) Keys() []string {
	var keys []string
	if e != nil {
		for _, f := range e.Fields {
			keys = append(keys, f.Key.Text)
		}
	}
	return keys
}

// Walk calls visit for the expression and all in it. visit returns false where
// it must not go deeper.
func (e *Expr) Walk(visit func(*Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, arg := range e.Args {
		arg.Walk(visit)
	}
	for _, f := range e.Fields {
		f.Key.Walk(visit)
		f.Value.Walk(visit)
	}
}
