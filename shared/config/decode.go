package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxRepeated is how many values aliases may repeat in all. It stops a small
// text from growing into a huge configuration.
const maxRepeated = 100_000

// decoder fills the configuration from the YAML tree, by the types and tags of
// the Go structs. It is strict: what it does not know, or what has another
// type, is a problem.
type decoder struct {
	*report
	env      lookup
	fields   map[reflect.Type][]field
	aliases  int // aliases around the value at hand
	repeated int // values reached through aliases
}

func newDecoder(doc *document, env lookup) *decoder {
	return &decoder{
		report: &report{document: doc, failed: map[string]bool{}},
		env:    env,
		fields: map[reflect.Type][]field{},
	}
}

// decode fills config from the document.
func (d *decoder) decode(config *Config) {
	v := reflect.ValueOf(config).Elem()
	d.value(v, &field{typ: v.Type()}, d.document.root, nil)
}

// value fills v, the value of field f (or one of its items), from node n.
func (d *decoder) value(v reflect.Value, f *field, n *yaml.Node, p *path) {
	if n.Kind == yaml.AliasNode {
		d.aliases++
		defer func() { d.aliases-- }()
		n = n.Alias
	}
	if d.aliases > 0 && d.repeat(1, p) {
		return
	}
	if isNull(n) {
		d.fail(p, "has no value", "give it one, or remove the key")
		return
	}
	if s, ok := scalarOf(v.Type(), f); ok {
		d.scalar(v, s, f, n, p)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		if spillover, ok := target.Interface().(*Spillover); ok {
			d.spillover(spillover, n, p)
		} else {
			d.value(target.Elem(), f, n, p)
		}
		v.Set(target)
	case reflect.Slice:
		d.list(v, f, n, p)
	case reflect.Struct:
		d.mapping(v, n, p)
	}
}

// repeat counts values reached through aliases, and reports whether they are
// too many to go on.
func (d *decoder) repeat(values int, p *path) bool {
	before := d.repeated
	d.repeated += values
	if before <= maxRepeated && d.repeated > maxRepeated {
		d.fail(p, fmt.Sprintf("aliases repeat more than %d values", maxRepeated), "write the configuration without them")
	}
	return d.repeated > maxRepeated
}

// spillover reads the one value that has two shapes: true or false, or a
// mapping.
func (d *decoder) spillover(s *Spillover, n *yaml.Node, p *path) {
	v := reflect.ValueOf(s).Elem()
	if n.Kind == yaml.ScalarNode {
		d.value(v.FieldByName("Allowed"), &field{typ: boolType}, n, p)
		return
	}
	s.Allowed = true
	d.mapping(v, n, p)
}

// scalar reads a value that is a single text or number.
func (d *decoder) scalar(v reflect.Value, s scalar, f *field, n *yaml.Node, p *path) {
	if n.Kind != yaml.ScalarNode {
		d.fail(p, "wants "+s.wants+", has "+nodeKind(n), "")
		return
	}
	expanded, problem := expand(n.Value, d.env)
	if problem != nil {
		d.fail(p, problem.message, problem.mend)
		return
	}
	if !expanded.variables && !containsTag(s.tags, n) {
		mend := ""
		switch {
		case s.tags[0] == "!!str":
			mend = "put it in quotes"
		case n.ShortTag() == "!!str":
			mend = "write it without quotes, as " + s.wants
		case s.tags[0] == "!!int" && n.ShortTag() == "!!float":
			mend = "write it in decimal digits, as 10000"
		}
		d.fail(p, "wants "+s.wants+", has "+nodeKind(n), mend)
		return
	}
	if expanded.text == "" && v.Type() == textType && p.key != "" {
		return // as if the key were absent; in a list an empty text has no such meaning
	}
	value, problem := s.read(expanded.text, f)
	if problem != nil {
		d.fail(p, shown(n, s.secret)+" "+problem.message, problem.mend)
	}
	if value != nil {
		v.Set(reflect.ValueOf(value))
	}
}

// list reads the items of a list, each by the tags of the list's field.
func (d *decoder) list(v reflect.Value, f *field, n *yaml.Node, p *path) {
	if n.Kind != yaml.SequenceNode {
		d.fail(p, "wants a list, has "+nodeKind(n), "write [ ] around it, or - before each item")
		return
	}
	if len(n.Content) == 0 && f.minItems != "" {
		mend := "remove the key, or list at least one"
		if f.required {
			mend = "list at least one"
		}
		d.fail(p, "is an empty list", mend)
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(items.Index(i), f, item, p.item(i))
	}
	v.Set(items)
}

// mapping reads the keys of a struct, and gives those that are absent their
// defaults.
func (d *decoder) mapping(v reflect.Value, n *yaml.Node, p *path) {
	if n.Kind != yaml.MappingNode {
		d.fail(p, "wants keys and values, has "+nodeKind(n), "")
		d.defaults(v)
		return
	}
	fields := d.fieldsOf(v.Type())
	m := mappingOf(n)
	if d.repeat(len(m.sources), p) {
		return
	}
	for _, wrong := range m.faults {
		at := p
		if wrong.key != "" {
			at = p.in(shorten(wrong.key))
		}
		d.addAt(wrong.node.Line, wrong.node.Column, at.String(), wrong.message, wrong.mend)
	}
	present := make([]bool, len(fields))
	for _, e := range m.entries {
		i := indexOf(fields, e.key.Value)
		if i < 0 {
			keys := keysOf(fields)
			d.addAt(e.key.Line, e.key.Column, p.in(shorten(e.key.Value)).String(), "there is no such key here",
				suggest(e.key.Value, keys, "the keys here are "+strings.Join(keys, ", ")))
			continue
		}
		present[i] = true
		if e.merged {
			d.aliases++
		}
		d.value(v.Field(fields[i].index), &fields[i], e.value, p.in(e.key.Value))
		if e.merged {
			d.aliases--
		}
	}
	for i := range fields {
		d.absent(v.Field(fields[i].index), &fields[i], present[i], p)
	}
}

// absent completes a key that was not written, that is empty, or that could
// not be read: with its default, or a problem if it is required.
func (d *decoder) absent(v reflect.Value, f *field, present bool, parent *path) {
	if present && (f.typ != textType || v.String() != "") && !(f.standard != "" && d.hasFailed(parent.in(f.name))) {
		return
	}
	if f.required {
		switch {
		case !present:
			d.add(parent.in(f.name), "the key is missing", f.example())
		case !d.hasFailed(parent.in(f.name)):
			d.add(parent.in(f.name), "is empty", f.example())
		}
		return
	}
	d.standard(v, f)
}

// example is the mend for a missing key.
func (f *field) example() string {
	if len(f.enum) > 0 {
		return "write " + f.name + ": " + strings.Join(f.enum, " or ")
	}
	return "add it"
}

// defaults gives every field of a struct its default.
func (d *decoder) defaults(v reflect.Value) {
	fields := d.fieldsOf(v.Type())
	for i := range fields {
		d.standard(v.Field(fields[i].index), &fields[i])
	}
}

// standard gives one field its default, if it has any.
func (d *decoder) standard(v reflect.Value, f *field) {
	if v.Kind() == reflect.Struct {
		d.defaults(v)
		return
	}
	if f.standard == "" {
		return
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		v = v.Index(0)
	}
	s, _ := scalarOf(v.Type(), f)
	if value, problem := s.read(f.standard, f); problem == nil {
		v.Set(reflect.ValueOf(value))
	}
}

// fieldsOf is the function fieldsOf, with its results kept.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.fields[t]
	if !ok {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

func indexOf(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

func containsTag(tags []string, n *yaml.Node) bool {
	for _, tag := range tags {
		if n.ShortTag() == tag {
			return true
		}
	}
	return false
}

// nodeKind says in words what a node is.
func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "a text"
	case "!!int":
		return "a whole number"
	case "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a value with a tag"
}

// maxShown is the length of the longest text that is shown in a problem.
const maxShown = 64

// shown is a scalar as the file has it: with the names of its variables, never
// their values.
func shown(n *yaml.Node, secret bool) string {
	if secret || len(n.Value) > maxShown {
		return "the value"
	}
	if tag := n.ShortTag(); tag == "!!int" || tag == "!!float" {
		return n.Value
	}
	return fmt.Sprintf("%q", n.Value)
}

// maxShownKey is the length of the longest key that is shown: a longer one may
// be a secret that was written where a key belongs.
const maxShownKey = 30

func shorten(key string) string {
	if len(key) > maxShownKey {
		return "…"
	}
	return key
}
