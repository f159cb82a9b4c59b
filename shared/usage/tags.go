package usage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The bounds of tags, in characters where they are lengths.
const (
	maxTags     = 8
	maxTagName  = 32
	maxTagValue = 64
	// MaxTagsLength is the length of the longest canonical text of tags, in bytes.
	MaxTagsLength = maxTags*(maxTagName+len("=")+maxTagValue) + (maxTags-1)*len(",")
)

// ParseTags reads the tags that a client has written on its request, as in
// "project=search, team=web", and returns them in their canonical form: sorted by
// name, with commas and no spaces between. No tags are an empty text. Allowed are
// the names that the client may use: 1 to 32 lower-case letters, digits and _ -. A
// value has 1 to 64 letters, digits, spaces and . _ : / @ -, and no space at its
// ends. An error says what is wrong and names its mend, in words for the client.
func ParseTags(header string, allowed []string) (canonical string, err error) {
	var tags []tag
	for part := range strings.SplitSeq(header, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		t, err := parseTag(part)
		switch {
		case len(allowed) == 0:
			return "", errors.New("this consumer may send no tags; leave them out, or list their names under tags in its definition")
		case err != nil:
			return "", err
		case !slices.Contains(allowed, t.name):
			return "", fmt.Errorf("%q is no tag of this consumer; take some of %s", shorten(t.name), strings.Join(allowed, ", "))
		case slices.ContainsFunc(tags, func(other tag) bool { return other.name == t.name }):
			return "", fmt.Errorf("the tag %s is there twice; give it one value", t.name)
		case len(tags) == maxTags:
			return "", fmt.Errorf("there are more than %d tags; leave some out", maxTags)
		}
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	var text strings.Builder
	text.Grow(min(len(header), MaxTagsLength))
	for i, t := range tags {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(t.name + "=" + t.value)
	}
	return text.String(), nil
}

// tag is one tag of a request.
type tag struct{ name, value string }

// String is the tag in its canonical form.
func (t tag) String() string { return t.name + "=" + t.value }

// parseTag reads name=value, with spaces around the two or not.
func parseTag(text string) (tag, error) {
	name, value, ok := strings.Cut(text, "=")
	t := tag{strings.TrimSpace(name), strings.TrimSpace(value)}
	switch {
	case !ok || t.name == "":
		return t, fmt.Errorf("%q is no tag; write it as name=value", shorten(strings.TrimSpace(text)))
	case !validTagName(t.name):
		return t, fmt.Errorf("%q is not the name of a tag; write 1 to %d lower-case letters, digits and _ -, the first a letter", shorten(t.name), maxTagName)
	case !validTagValue(t.value):
		return t, fmt.Errorf("%q is not a value of the tag %s; write 1 to %d letters, digits, spaces and . _ : / @ -", shorten(t.value), t.name, maxTagValue)
	}
	return t, nil
}

func validTagName(name string) bool {
	return name != "" && len(name) <= maxTagName && 'a' <= name[0] && name[0] <= 'z' && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-'
	})
}

func validTagValue(value string) bool {
	return value != "" && len(value) <= maxTagValue && !strings.ContainsFunc(value, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._:/@ -", c)
	})
}

// hasTag tells whether a tag is among others, all in their canonical form.
func hasTag(tags, tag string) bool {
	for other := range strings.SplitSeq(tags, ",") {
		if other == tag {
			return true
		}
	}
	return false
}
