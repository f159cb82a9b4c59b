package consumers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"spillway/shared/config"
)

// Draft is the text of a definition, YAML or JSON, whose keys can be looked at and
// set before it is parsed. It says nothing about the text except that it is a
// mapping; config.ParseConsumer does.
type Draft struct{ root *yaml.Node }

// ParseDraft reads a text of at most config.MaxConsumerText bytes; an empty one is
// an empty mapping. The error says what is wrong with the text as such, and shows
// nothing of it.
func ParseDraft(text []byte) (draft *Draft, err error) {
	defer func() {
		if recover() != nil { // The YAML reader panics on what it holds to be impossible.
			draft, err = nil, errText
		}
	}()
	if len(text) > config.MaxConsumerText {
		return nil, fmt.Errorf("the definition is larger than %d bytes", config.MaxConsumerText)
	}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err = decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return &Draft{&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}}, nil
	}
	if err != nil || !errors.Is(decoder.Decode(&more), io.EOF) || document.Content[0].Kind != yaml.MappingNode {
		return nil, errText
	}
	return &Draft{document.Content[0]}, nil
}

var errText = errors.New("the definition is not one mapping in YAML or JSON")

// EditDraft is the draft of a definition as it is.
func EditDraft(consumer *config.Consumer) (*Draft, error) { return ParseDraft(consumer.Encode()) }

// Has tells whether the key is written.
func (d *Draft) Has(key string) bool { return d.find(key) >= 0 }

// find returns where the key is in the content, or -1.
func (d *Draft) find(key string) int {
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// Set writes a key: with a value that YAML knows, a draft, or nil, which removes it.
func (d *Draft) Set(key string, value any) error {
	node := new(yaml.Node)
	if draft, ok := value.(*Draft); ok {
		node = draft.root
	} else if err := node.Encode(value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	i := d.find(key)
	switch {
	case value == nil && i >= 0:
		d.root.Content = slices.Delete(d.root.Content, i, i+2)
	case value == nil:
	case i >= 0:
		d.root.Content[i+1] = node
	default:
		d.root.Content = append(d.root.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, node)
	}
	return nil
}

// Mapping returns what the key holds as a draft of its own, to be changed and set
// again; an empty one if the key is not written.
func (d *Draft) Mapping(key string) (*Draft, error) {
	i := d.find(key)
	if i < 0 {
		return &Draft{&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}}, nil
	}
	if node := d.root.Content[i+1]; node.Kind == yaml.MappingNode {
		return &Draft{node}, nil
	}
	return nil, fmt.Errorf("%s is not a mapping", key)
}

// Empty tells whether nothing is written.
func (d *Draft) Empty() bool { return len(d.root.Content) == 0 }

// SetKeys writes keys by their hashes.
func (d *Draft) SetKeys(keys []config.KeyHash) error {
	hashes := make([]string, len(keys))
	for i, key := range keys {
		hashes[i] = key.Reveal()
	}
	return d.Set("keys", hashes)
}

// AddKey writes one more key, by its hash as the configuration has it.
func (d *Draft) AddKey(hash string) error {
	var hashes []string
	if i := d.find("keys"); i >= 0 {
		if err := d.root.Content[i+1].Decode(&hashes); err != nil {
			return errText
		}
	}
	return d.Set("keys", append(hashes, hash))
}

// Parse parses the definition of the consumer of that name. The error is an
// *InvalidError.
func (d *Draft) Parse(name string) (consumer config.Consumer, err error) {
	defer func() {
		if recover() != nil { // As in ParseDraft.
			err = &InvalidError{errText}
		}
	}()
	text, err := yaml.Marshal(d.root)
	if err != nil {
		return config.Consumer{}, &InvalidError{errText}
	}
	if consumer, err = config.ParseConsumer(name, text); err != nil {
		return config.Consumer{}, &InvalidError{err}
	}
	return consumer, nil
}

// WithoutKey returns the keys without the one whose hash begins with the given hex
// digits, at least 4 of them; sha256: before and … after them are as a key is
// shown. The error says that there is none, or more than one.
func WithoutKey(keys []config.KeyHash, beginning string) ([]config.KeyHash, error) {
	digits := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(beginning, "sha256:"), "…"))
	const fewest = 4
	kept := slices.DeleteFunc(slices.Clone(keys), func(key config.KeyHash) bool {
		return strings.HasPrefix(keyCredential(key).id, digits)
	})
	switch len(keys) - len(kept) {
	case 1:
		if len(digits) >= fewest {
			return kept, nil
		}
		return nil, fmt.Errorf("give at least %d hex digits of the key's hash", fewest)
	case 0:
		return nil, fmt.Errorf("no key has a hash that begins with %.80q", digits)
	default:
		return nil, fmt.Errorf("more than one key has a hash that begins with %.80q", digits)
	}
}
