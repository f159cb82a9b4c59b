package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxText is the size of the largest configuration, in bytes. It leaves room
// for 100,000 consumers.
const maxText = 32 << 20

// kind is what a text is to hold, with bounds and words that suit it.
type kind struct {
	size     int // of the largest text, in bytes
	repeated int // values that aliases may repeat in all, so that a small text does not grow into a huge value
	problems int // reported of a text that is wrong everywhere
	shown    int // length of the longest text that is shown in a problem
	// The mends of a text that is empty, and of one with two documents.
	empty, single string
}

// wholeFile is the kind of a configuration.
var wholeFile = kind{
	size: maxText, repeated: 100_000, problems: 1000, shown: 64,
	empty:  "write at least access, backends and pools",
	single: `remove the "---": one file holds one configuration`,
}

// document is the YAML text as a tree of nodes, which know their positions.
type document struct {
	kind
	file string
	root *yaml.Node // a mapping, or an empty node while there is none
}

// parseDocument reads the one document of a text. Faults of the text itself
// are returned as problems; without problems the root is a node other than
// null.
func parseDocument(file string, text []byte, of kind) (*document, Problems) {
	doc := &document{kind: of, file: file, root: &yaml.Node{}}
	fault := func(line int, message, mend string) (*document, Problems) {
		return doc, Problems{{File: file, Line: line, Message: message, Mend: mend}}
	}
	if len(text) > of.size {
		return fault(0, "the text is larger than "+bytesText(of.size), "")
	}
	lines := &lineReader{rest: text}
	decoder := yaml.NewDecoder(lines)
	var first, second yaml.Node
	err := decodeNode(decoder, &first)
	if errors.Is(err, io.EOF) || err == nil && isNull(first.Content[0]) {
		return fault(0, "the text is empty", of.empty)
	}
	if err == nil {
		err = decodeNode(decoder, &second)
		if err == nil {
			return fault(second.Line, "a second document begins here", of.single)
		}
	}
	if !errors.Is(err, io.EOF) {
		return fault(explainSyntax(err.Error(), text, lines.line))
	}
	doc.root = first.Content[0]
	return doc, nil
}

// bytesText is a number of bytes with its unit, a power of 1024.
func bytesText(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// decodeNode reads the next document. The YAML reader reports what it knows to
// be wrong as errors and panics on what it holds to be impossible; as the text
// is foreign, that is an error too.
func decodeNode(decoder *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the text is not valid YAML")
		}
	}()
	return decoder.Decode(node)
}

// lineReader hands out one line with each Read, so that the number of lines
// read tells how far the YAML reader came before it gave up.
type lineReader struct {
	rest []byte
	line int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	end := bytes.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	if end <= len(p) {
		r.line++
	}
	n := copy(p, r.rest[:end])
	r.rest = r.rest[n:]
	return n, nil
}

var (
	syntaxLine    = regexp.MustCompile(`^line (\d+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// explainSyntax turns an error of the YAML reader into a line, a message and a
// mend. The reader names the line only for errors of its scanner. For others
// it names the line before the block that is open, which may be the top of the
// file; the lines it had read (lastLine) tell better where it stopped.
func explainSyntax(message string, text []byte, lastLine int) (line int, explained, mend string) {
	message = strings.TrimPrefix(message, "yaml: ")
	line = lastLine
	if m := syntaxLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		return lastLineWith("*"+m[1], text, lastLine), "an alias refers to an anchor that is not defined before it",
			"define the anchor, or put the value in quotes if it begins with *"
	}
	switch message {
	case "did not find expected key", "did not find expected '-' indicator":
		return firstLineFailing(message, text, lastLine), message, "check the indentation and the quotes here and on the line above"
	case "did not find expected ',' or '}'", "did not find expected ',' or ']'":
		if line == lastLine {
			line = 0
		}
		return line + 1, message, `in the braces or brackets that open here; inside them write "${NAME}" in quotes`
	case "found character that cannot start any token":
		return line, message, "indent with spaces, not tabs, and quote a text that begins with @, % or `"
	case "mapping values are not allowed in this context":
		return line, message, `check the indentation, and quote a text that contains ": "`
	case "could not find expected ':'":
		return line, message, `write "key: value", with a space after the colon`
	}
	return line, message, "mend the YAML here"
}

// lastLineWith is the last line up to the given one that contains word.
func lastLineWith(word string, text []byte, line int) int {
	lines := bytes.Split(text, []byte("\n"))
	for i := min(line, len(lines)); i > 0; i-- {
		if bytes.Contains(lines[i-1], []byte(word)) {
			return i
		}
	}
	return line
}

// firstLineFailing walks back from the line read last, over what the reader
// had only looked ahead at: while the text is as wrong without the line, the
// line is innocent. A few lines are all it looks ahead.
func firstLineFailing(message string, text []byte, line int) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for range 4 {
		if line < 2 || line > len(lines) {
			break
		}
		var node yaml.Node
		err := decodeNode(yaml.NewDecoder(bytes.NewReader(bytes.Join(lines[:line-1], nil))), &node)
		if err == nil || !strings.HasSuffix(err.Error(), message) {
			break
		}
		line--
	}
	return line
}

// isNull reports whether a value is written as nothing, ~ or null.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// path is a key in the file, from the innermost part outward. A nil path is the
// whole document. Paths are links, so that walking a large file does not build
// a text for every value.
type path struct {
	parent *path
	key    string // of a mapping
	index  int    // in a list, when key is empty
}

// at builds a path of keys (string) and positions in lists (int).
func at(steps ...any) *path {
	var p *path
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			p = p.in(step)
		case int:
			p = p.item(step)
		}
	}
	return p
}

func (p *path) in(key string) *path { return &path{parent: p, key: key} }

func (p *path) item(index int) *path { return &path{parent: p, index: index} }

// String formats the path as pools[0].members[1].backend.
func (p *path) String() string {
	switch {
	case p == nil:
		return ""
	case p.key == "":
		return p.parent.String() + "[" + strconv.Itoa(p.index) + "]"
	case p.parent == nil:
		return p.key
	}
	return p.parent.String() + "." + p.key
}

// find returns the node at a path, or the nearest one around it that exists;
// exact tells which.
func (d *document) find(p *path) (node *yaml.Node, exact bool) {
	if p == nil {
		return d.root, true
	}
	node, exact = d.find(p.parent)
	if !exact {
		return node, false
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if p.key == "" {
		if node.Kind == yaml.SequenceNode && p.index < len(node.Content) {
			return node.Content[p.index], true
		}
		return node, false
	}
	for _, e := range mappingOf(node).entries {
		if e.key.Value == p.key {
			return e.value, true
		}
	}
	return node, false
}

// entry is one key of a mapping with its value. Merged entries come from
// another mapping through a merge key.
type entry struct {
	key, value *yaml.Node
	merged     bool
}

// misplaced is a node of a mapping that is no entry of it, and why.
type misplaced struct {
	node          *yaml.Node
	key           string
	message, mend string
}

// mapping is what a mapping holds, with its merge keys (<<) followed.
type mapping struct {
	// entries has each key once: the mapping's own in the order of the text,
	// then those it merges.
	entries []entry
	faults  []misplaced
	// sources are the mappings merged; false while their own are looked up.
	sources map[*yaml.Node]bool
	lines   map[string]int // of each key
}

// maxMerges bounds how deep merge keys may lead into one another.
const maxMerges = 8

// mappingOf reads a mapping. Other kinds of nodes have no entries.
func mappingOf(n *yaml.Node) *mapping {
	m := &mapping{lines: make(map[string]int, len(n.Content)/2)}
	if n.Kind == yaml.MappingNode {
		m.collect(n, 0)
	}
	return m
}

// collect adds the entries of n, which is merged when depth is not 0.
func (m *mapping) collect(n *yaml.Node, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch line, twice := m.lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			m.fault(key, "", "a key must be a plain word", "")
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case !twice:
			m.lines[key.Value] = key.Line
			m.entries = append(m.entries, entry{key, value, depth > 0})
		case depth == 0:
			m.fault(key, key.Value, fmt.Sprintf("the key is written twice, first on line %d", line), "remove one of the two")
		}
	}
	if len(merges) > 0 && m.sources == nil {
		m.sources = map[*yaml.Node]bool{n: false}
	}
	for _, value := range merges {
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			m.merge(source, value, depth+1)
		}
	}
}

// merge adds the entries of a source of the merge key with the given value. A
// source that was merged before has nothing to add.
func (m *mapping) merge(source, value *yaml.Node, depth int) {
	if source.Kind == yaml.AliasNode {
		source = source.Alias
	}
	done, met := m.sources[source]
	switch {
	case source.Kind != yaml.MappingNode:
		m.fault(value, "<<", "a merge key wants an alias of a mapping", "")
	case met && !done || depth > maxMerges:
		m.fault(value, "<<", "merge keys lead too deep, or in a circle", "write the keys out")
	case !met:
		m.sources[source] = false
		m.collect(source, depth)
		m.sources[source] = true
	}
}

func (m *mapping) fault(node *yaml.Node, key, message, mend string) {
	m.faults = append(m.faults, misplaced{node, key, message, mend})
}
