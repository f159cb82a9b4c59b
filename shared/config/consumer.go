package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// MaxConsumerText is the size of the largest text of one consumer, in bytes:
// of what ParseConsumer reads, and of what Encode makes of it.
const MaxConsumerText = 32 << 10

// oneConsumer is the kind of a text of one consumer. What is long enough to be
// a key is not shown of it.
var oneConsumer = kind{
	size: MaxConsumerText, repeated: 1000, problems: 50, shown: minKeyLength - 1,
	empty:  "write at least keys or entra",
	single: `remove the "---": one text holds one consumer`,
}

// ParseConsumer parses one consumer: what an item of consumers is in the file,
// as YAML or JSON. Its name may be left out there, and is otherwise the one
// given; with an empty name the text must have it. Plain keys are hashed.
// Variables are not substituted, as the text may be anybody's: one that is
// written is an error.
//
// Everything is checked that one consumer alone can say; CheckConsumer tells
// whether it fits. The error is always Problems, which hold nothing that is
// long enough to be a key.
func ParseConsumer(name string, text []byte) (Consumer, error) {
	if name != "" && !formats["name"].pattern().MatchString(name) {
		return Consumer{}, Problems{{File: "consumer", Key: "name", Message: formats["name"].wants, Mend: "correct it"}}
	}
	doc, problems := parseDocument(consumerFile(name), text, oneConsumer)
	if problems != nil {
		return Consumer{}, problems
	}
	if name != "" {
		doc.complete("name", name)
	}
	d := newDecoder(doc, nil)
	var consumer Consumer
	d.decode(&consumer)
	consumer.derive()
	v := &validator{report: d.report, index: index{owners: map[credential]*path{}}}
	if name != "" && consumer.Name != "" && consumer.Name != name {
		v.problem(at("name"), "is not the name this consumer has", "write the same name, or none")
	}
	v.claim(consumer.credentials(nil))
	v.identity(nil, &consumer)
	v.allowed(nil, &consumer)
	v.consumerLimits(nil, &consumer)
	if size := len(consumer.Encode()); size > MaxConsumerText {
		v.problem(nil, "is larger than "+bytesText(MaxConsumerText)+" with its keys as hashes", "give it fewer keys, or fewer models")
	}
	if err := v.report.err(); err != nil {
		return Consumer{}, err
	}
	return consumer, nil
}

// consumerFile stands for the file in the problems of one consumer.
func consumerFile(name string) string {
	if name == "" {
		return "consumer"
	}
	return "consumer " + name
}

// complete adds a key that the document does not have.
func (d *document) complete(key, value string) {
	if d.root.Kind != yaml.MappingNode {
		return
	}
	if _, written := d.find(at(key)); written {
		return
	}
	text := func(value string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: d.root.Line, Column: d.root.Column}
	}
	d.root.Content = append(d.root.Content, text(key), text(value))
}

// CheckConsumer reports how a consumer that ParseConsumer returned does not fit
// into this configuration beside the consumers of its file: models and pools
// that do not exist, a name or a credential that is taken, tokens without a
// tenant. The error is Problems without lines; they name models and pools of
// the configuration. It is cheap and safe for concurrent use.
func (c *Config) CheckConsumer(consumer Consumer) error {
	v := &validator{
		report: &report{document: &document{kind: oneConsumer, file: consumerFile(consumer.Name), root: &yaml.Node{}}},
		config: c,
		index:  *c.index(),
	}
	if p, taken := v.consumers.paths[consumer.Name]; taken {
		v.add(at("name"), fmt.Sprintf("the name is taken by %s of the configuration", p.parent), "give it another name")
	}
	for credential, p := range consumer.credentials(nil) {
		if owner, taken := v.owners[credential]; taken {
			v.add(p, fmt.Sprintf("the same %s is at %s of the configuration", credential.kind, owner), credential.mend())
		}
	}
	v.fits(nil, &consumer)
	return v.report.err()
}

// HasConsumer tells whether the file defines a consumer of that name. It is
// cheap and safe for concurrent use.
func (c *Config) HasConsumer(name string) bool {
	_, defined := c.index().consumers.paths[name]
	return defined
}

// index returns what the configuration defines. It is gathered once; two
// callers that come first gather the same.
func (c *Config) index() *index {
	if defined := c.defined.Load(); defined != nil {
		return defined
	}
	v := &validator{
		report: &report{document: &document{kind: wholeFile, root: &yaml.Node{}}},
		config: c,
	}
	v.define()
	c.defined.Store(&v.index)
	return &v.index
}
