package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills the configuration from the YAML tree, by the types and tags of
// the Go structs. It is strict: what it does not know, or what has another
// type, is a problem.
type decoder struct {
	*report
	env      lookup // nil where variables are not substituted
	aliases  int    // aliases around the value at hand
	repeated int    // values reached through aliases
	rooms    map[reflect.Type]room
}

func newDecoder(doc *document, env lookup) *decoder {
	return &decoder{
		report: &report{document: doc, failed: map[string]bool{}},
		env:    env,
		rooms:  map[reflect.Type]room{},
	}
}

// decode fills what target, a pointer to a struct, points to from the document.
func (d *decoder) decode(target any) {
	v := reflect.ValueOf(target).Elem()
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
		d.value(target.Elem(), f, n, p)
		v.Set(target)
	case reflect.Slice:
		d.list(v, f, n, p)
	case reflect.Map: // Headers, the only one
		v.Set(reflect.ValueOf(d.headers(n, p)))
	case reflect.Struct:
		if short, ok := shortForms[v.Type()]; ok && n.Kind == yaml.ScalarNode {
			part := v.FieldByName(short)
			d.value(part, &field{typ: part.Type()}, n, p)
			return
		}
		d.mapping(v, n, p)
	}
}

// repeat counts values reached through aliases, and reports whether they are
// too many to go on.
func (d *decoder) repeat(values int, p *path) bool {
	before := d.repeated
	d.repeated += values
	most := d.document.repeated
	if before <= most && d.repeated > most {
		d.fail(p, fmt.Sprintf("aliases repeat more than %d values", most), "write the values out")
	}
	return d.repeated > most
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
		d.fail(p, d.document.show(n, s.secret)+" "+problem.message, problem.mend)
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
	if len(n.Content) == 0 {
		return // an empty list is as good as none
	}
	if most, err := strconv.Atoi(f.maxItems); err == nil && len(n.Content) > most {
		d.fail(p, fmt.Sprintf("lists %d, more than %d", len(n.Content), most), "remove some")
		return
	}
	items := d.newList(v.Type(), len(n.Content))
	for i, item := range n.Content {
		d.value(items.Index(i), f, item, p.item(i))
	}
	v.Set(items)
}

// room is memory for lists of one type.
type room struct {
	rest reflect.Value // not used yet
	used int           // items, in all
}

// newList returns a list of n items. Where there are many lists of the type, they share
// memory: a hundred thousand consumers have a few short ones each, and the garbage
// collector would look at them one by one.
func (d *decoder) newList(t reflect.Type, n int) reflect.Value {
	const most = 512 // items ahead
	r := d.rooms[t]
	if !r.rest.IsValid() || r.rest.Len() < n {
		ahead := max(n, min(r.used/2, most))
		r.rest = reflect.MakeSlice(t, ahead, ahead)
	}
	items := r.rest.Slice3(0, n, n)
	d.rooms[t] = room{r.rest.Slice(n, r.rest.Len()), r.used + n}
	return items
}

// mapping reads the keys of a struct, and gives those that are absent their
// defaults.
func (d *decoder) mapping(v reflect.Value, n *yaml.Node, p *path) {
	if n.Kind != yaml.MappingNode {
		d.fail(p, "wants keys and values, has "+nodeKind(n), "")
		d.defaults(v)
		return
	}
	fields := fieldsOf(v.Type())
	entries, ok := d.entries(n, p, func(key string) bool { return indexOf(fields, key) >= 0 })
	if !ok {
		return
	}
	present := make([]bool, len(fields))
	for _, e := range entries {
		i := indexOf(fields, e.key.Value)
		if i < 0 {
			d.unknown(e.key, fields, p)
			continue
		}
		present[i] = true
		d.entry(v.Field(fields[i].index), &fields[i], e, p.in(e.key.Value))
	}
	for i := range fields {
		d.absent(v.Field(fields[i].index), &fields[i], present[i], p)
	}
}

// entries are the keys of a mapping with their values. What is no entry is
// reported; a key is shown whole if it is known. Without ok there are too many
// to go on.
func (d *decoder) entries(n *yaml.Node, p *path, known func(key string) bool) (entries []entry, ok bool) {
	m := mappingOf(n)
	if d.repeat(len(m.sources), p) {
		return nil, false
	}
	for _, wrong := range m.faults {
		at := p
		switch {
		case known(wrong.key):
			at = p.in(wrong.key)
		case wrong.key != "":
			at = p.in(d.document.showKey(wrong.key))
		}
		d.addAt(wrong.node.Line, wrong.node.Column, at.String(), wrong.message, wrong.mend)
	}
	return m.entries, true
}

// entry fills v, the value of field f, from an entry of a mapping.
func (d *decoder) entry(v reflect.Value, f *field, e entry, p *path) {
	if e.merged {
		d.aliases++
		defer func() { d.aliases-- }()
	}
	d.value(v, f, e.value, p)
}

// unknown reports a key that a mapping does not have.
func (d *decoder) unknown(key *yaml.Node, fields []field, p *path) {
	mend := ""
	if !d.full() { // comparing words takes its time
		keys := keysOf(fields)
		mend = suggest(key.Value, keys, "the keys here are "+strings.Join(keys, ", "))
	}
	d.addAt(key.Line, key.Column, p.in(d.document.showKey(key.Value)).String(), "there is no such key here", mend)
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
	fields := fieldsOf(v.Type())
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

// show is a scalar as the file has it: with the names of its variables, never
// their values.
func (d *document) show(n *yaml.Node, secret bool) string {
	if secret || len(n.Value) > d.shown {
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

func (d *document) showKey(key string) string {
	if len(key) > min(maxShownKey, d.shown) {
		return "…"
	}
	return key
}
