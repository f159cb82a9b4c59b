package config

import (
	"reflect"
	"strings"
	"sync"
)

// field is what the struct tags say about one key.
type field struct {
	name     string // the key in the file
	index    int    // of the struct field
	typ      reflect.Type
	required bool
	standard string // the default, as it would be written; "" is none
	enum     []string
	format   string
	min, max string
	minItems string
	maxItems string
	doc      string
}

// knownFields holds the results of fieldsOf, for reading tags takes longer than
// reading a value: reflect.Type to []field.
var knownFields sync.Map

// fieldsOf returns the keys of a struct type, in the order they are declared.
// Callers do not change them.
func fieldsOf(t reflect.Type) []field {
	if fields, known := knownFields.Load(t); known {
		return fields.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag
		name := tag.Get("yaml")
		if name == "-" || !f.IsExported() {
			continue
		}
		fields = append(fields, field{
			name:     name,
			index:    i,
			typ:      f.Type,
			required: tag.Get("required") == "true",
			standard: tag.Get("default"),
			enum:     strings.Fields(tag.Get("enum")),
			format:   tag.Get("format"),
			min:      tag.Get("min"),
			max:      tag.Get("max"),
			minItems: tag.Get("minItems"),
			maxItems: tag.Get("maxItems"),
			doc:      tag.Get("doc"),
		})
	}
	knownFields.Store(t, fields)
	return fields
}

// keysOf lists the names of fields.
func keysOf(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}
