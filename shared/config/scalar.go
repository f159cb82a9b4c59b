package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// fault is what is wrong with one value. The message begins with a verb and
// does not repeat the value.
type fault struct{ message, mend string }

// scalar reads one type of value that is written as a single text or number.
type scalar struct {
	wants  string   // what the file should hold, for messages
	tags   []string // how YAML may see it; the value of a variable is always text
	secret bool     // never to be shown
	// read returns the value, and what is wrong with it. A value that is known
	// and wrong is returned too: others may refer to it.
	read func(text string, f *field) (any, *fault)
}

var (
	secretType   = reflect.TypeFor[Secret]()
	keyType      = reflect.TypeFor[KeyHash]()
	rangeType    = reflect.TypeFor[StatusRange]()
	durationType = reflect.TypeFor[time.Duration]()
	urlType      = reflect.TypeFor[*url.URL]()
	textType     = reflect.TypeFor[string]()
	intType      = reflect.TypeFor[int]()
	int64Type    = reflect.TypeFor[int64]()
	floatType    = reflect.TypeFor[float64]()
	boolType     = reflect.TypeFor[bool]()
)

// scalarOf returns how to read a value of type t in field f; false when it is
// made of parts.
func scalarOf(t reflect.Type, f *field) (scalar, bool) {
	switch t {
	case textType:
		// A date such as an apiVersion is a text here, though YAML knows it.
		return scalar{wants: "a text", tags: []string{"!!str", "!!timestamp"}, read: readText}, true
	case secretType:
		return scalar{wants: "a text", tags: []string{"!!str"}, secret: true, read: readSecret}, true
	case keyType:
		return scalar{wants: "a text", tags: []string{"!!str"}, secret: true, read: readKey}, true
	case urlType:
		return scalar{wants: "a URL", tags: []string{"!!str"}, secret: true, read: readURL}, true
	case durationType:
		return scalar{wants: "a duration such as 10s", tags: []string{"!!str", "!!int", "!!float"}, read: readDuration}, true
	case rangeType:
		return scalar{wants: "a status code or a range of them", tags: []string{"!!str", "!!int"}, read: readStatusRange}, true
	case intType, int64Type:
		if f.format == "size" {
			return scalar{wants: "a size such as 32MiB", tags: []string{"!!str", "!!int"}, read: readSize}, true
		}
		return scalar{wants: "a whole number", tags: []string{"!!int"}, read: readInteger}, true
	case floatType:
		return scalar{wants: "a number", tags: []string{"!!int", "!!float"}, read: readNumber}, true
	case boolType:
		return scalar{wants: "true or false", tags: []string{"!!bool"}, read: readBool}, true
	}
	return scalar{}, false
}

// shortForms are the mappings that may also be written as a single value, with
// the field that the value then is. Nothing changes them.
var shortForms = map[reflect.Type]string{
	reflect.TypeFor[Spillover](): "Allowed",
	reflect.TypeFor[AdminKey]():  "Key",
}

// format is a shape of texts, as a regular expression that Go and JSON Schema
// read alike.
type format struct {
	pattern func() *regexp.Regexp
	wants   string
}

// shape is a pattern that is compiled when it is first needed: most configurations use
// few of them, and a long repetition takes tens of kilobytes and microseconds.
func shape(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// formats are the shapes of texts by the name in the tag. Nothing changes them.
// The format model has no pattern: any printable text of maxModel characters.
var formats = map[string]format{
	"name":       {shape(`^[A-Za-z0-9._-]{1,64}$`), "is not 1 to 64 letters, digits and . _ -"},
	"table":      {shape(`^[A-Za-z][A-Za-z0-9]{2,62}$`), "is not the name of a table: 3 to 63 letters and digits, the first a letter"},
	"apiVersion": {shape(`^([0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?|preview|latest|v1)$`), "is not an API version such as 2024-10-21 or 2025-03-01-preview"},
	"guid":       {shape(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`), "is not an id such as 00000000-0000-0000-0000-000000000000"},
	"region":     {shape(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$`), "is not a region: 1 to 64 letters, digits, spaces and . _ -"},
	"role":       {shape(`^[!-~]{1,120}$`), "is not an app role: 1 to 120 letters, digits and signs, without spaces"},
	"tag":        {shape(`^[a-z][a-z0-9_-]{0,31}$`), "is not the name of a tag: 1 to 32 lower-case letters, digits and _ -, the first a letter"},
	"tenant":     {shape(`^[A-Za-z0-9.-]{1,253}$`), "is not a tenant id or a domain name"},
}

// maxModel is the length of the longest name of a model, in characters.
const maxModel = 256

func readText(text string, f *field) (any, *fault) {
	if problem := checkCharacters(text); problem != nil {
		return nil, problem
	}
	if len(f.enum) > 0 {
		i := slices.Index(f.enum, text)
		if i < 0 {
			return nil, &fault{"is none of " + strings.Join(f.enum, ", "), suggest(text, f.enum, "write one of them")}
		}
		return f.enum[i], nil // the same memory for all
	}
	if f.format == "model" && utf8.RuneCountInString(text) > maxModel {
		return text, &fault{fmt.Sprintf("is longer than %d characters", maxModel), "shorten it"}
	}
	if known, ok := formats[f.format]; ok && !known.pattern().MatchString(text) {
		return text, &fault{known.wants, "correct it"}
	}
	return text, nil
}

// checkCharacters refuses what no name, key or header may hold, line breaks
// above all: they come with values that were pasted, or read from a file.
func checkCharacters(text string) *fault {
	if text == "" {
		return &fault{"is empty", "give it a value, or remove the key"}
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(text) {
		return &fault{"holds a line break or another character that cannot be printed", "remove it"}
	}
	if text != strings.TrimSpace(text) {
		return &fault{"begins or ends with a space", "remove it"}
	}
	return nil
}

// isASCII tells whether a printable text has characters of ASCII only.
func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c > '~' })
}

func readSecret(text string, f *field) (any, *fault) {
	if problem := checkCharacters(text); problem != nil {
		return nil, problem
	}
	if f.format == headerFormat && !isASCII(text) {
		return nil, &fault{"has characters beyond ASCII, which not every server reads alike", "write it in ASCII"}
	}
	return Secret(text), nil
}

func readKey(text string, _ *field) (any, *fault) {
	if problem := checkCharacters(text); problem != nil {
		return nil, problem
	}
	if digits, hashed := strings.CutPrefix(text, keyPrefix); hashed {
		hash, err := hex.DecodeString(digits)
		if err != nil || len(hash) != sha256.Size {
			return nil, &fault{fmt.Sprintf("is not %q and %d hex digits", keyPrefix, 2*sha256.Size), `"spillway keys new" makes a key and its hash`}
		}
		return KeyHash(hash), nil
	}
	if utf8.RuneCountInString(text) < minKeyLength {
		return nil, &fault{fmt.Sprintf("is shorter than %d characters and could be guessed", minKeyLength), `"spillway keys new" makes a key`}
	}
	if len(text) > maxKeyLength || !isASCII(text) {
		return nil, &fault{fmt.Sprintf("is longer than %d characters, or has others than those of ASCII, which not every client can send", maxKeyLength), `"spillway keys new" makes a key`}
	}
	return KeyHash(sha256.Sum256([]byte(text))), nil
}

func readURL(text string, _ *field) (any, *fault) {
	if problem := checkCharacters(text); problem != nil {
		return nil, problem
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.Hostname() == "":
		return nil, &fault{"is not an absolute URL", "write it as https://contoso.openai.azure.com"}
	case u.User != nil:
		return nil, &fault{"holds a user name or a password", "remove them; credentials have keys of their own"}
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return nil, &fault{"holds a query or a fragment", `remove what follows "?" or "#"`}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// The shapes of numbers with units, shared with the schema.
var (
	durationShape = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)
	sizeShape     = regexp.MustCompile(`^([0-9]+) ?(B|KB|MB|GB|KiB|MiB|GiB)?$`)
	rangeShape    = regexp.MustCompile(`^([45][0-9][0-9])(?:-([45][0-9][0-9]))?$`)
	integerShape  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
)

func readDuration(text string, f *field) (any, *fault) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return nil, &fault{"has no unit", `write it as 10s, 500ms or 2m`}
	}
	d, err := time.ParseDuration(text)
	if err != nil || !durationShape.MatchString(text) {
		return nil, &fault{"is not a duration", "write it as 10s, 500ms or 2m"}
	}
	if least, err := time.ParseDuration(f.min); err == nil && d < least {
		return nil, &fault{"is less than " + f.min, "write at least " + f.min}
	}
	return d, nil
}

func readSize(text string, f *field) (any, *fault) {
	wrong := &fault{"is not a size", "write it in bytes, or as 32MiB"}
	m := sizeShape.FindStringSubmatch(text)
	if m == nil {
		return nil, wrong
	}
	units := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/units[m[2]] {
		return nil, wrong
	}
	return n * units[m[2]], f.bounds(float64(n * units[m[2]]))
}

func readStatusRange(text string, _ *field) (any, *fault) {
	m := rangeShape.FindStringSubmatch(text)
	if m == nil {
		return nil, &fault{"is not a status code from 400 to 599, nor a range of them", `write it as 503 or "500-599"`}
	}
	from, _ := strconv.Atoi(m[1])
	r := StatusRange{From: from, To: from}
	if m[2] != "" {
		r.To, _ = strconv.Atoi(m[2])
	}
	if r.From > r.To {
		return nil, &fault{"is a range that ends before it begins", "swap the two codes"}
	}
	if r.Contains(429) {
		return nil, &fault{"includes 429, which is a throttle and not a failure", "leave 429 out: it is always respected"}
	}
	return r, nil
}

func readInteger(text string, f *field) (any, *fault) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !integerShape.MatchString(text) {
		return nil, &fault{"is not a whole number", "write it in decimal digits, as 10000"}
	}
	if problem := f.bounds(float64(n)); problem != nil {
		return nil, problem
	}
	if f.typ == intType {
		return int(n), nil
	}
	return n, nil
}

func readNumber(text string, f *field) (any, *fault) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return nil, &fault{"is not a number", "write it as 2.5"}
	}
	return n, f.bounds(n)
}

func readBool(text string, _ *field) (any, *fault) {
	if text != "true" && text != "false" {
		return nil, &fault{"is neither true nor false", "write true or false"}
	}
	return text == "true", nil
}

// bounds checks a number against the field's min and max.
func (f *field) bounds(n float64) *fault {
	if least, err := strconv.ParseFloat(f.min, 64); err == nil && n < least {
		if least == 1 && n == 0 && !f.required && f.standard == "" {
			return &fault{"is no limit that can be met", "remove the key for no limit"}
		}
		return &fault{"is less than " + f.min, "write at least " + f.min}
	}
	if most, err := strconv.ParseFloat(f.max, 64); err == nil && n > most {
		return &fault{"is more than " + f.max, "write at most " + f.max}
	}
	return nil
}
