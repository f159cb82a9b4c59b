package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema returns the JSON Schema (draft 2020-12) of gateway.yaml, made from the
// Go types: keys, types, defaults, words and bounds. What ties several keys
// together is checked by Parse only.
func Schema() ([]byte, error) {
	schema, err := structSchema(reflect.TypeFor[Config]())
	if err != nil {
		return nil, err
	}
	schema.Schema = "https://json-schema.org/draft/2020-12/schema"
	schema.Title = "Spillway gateway configuration"
	schema.Defs = map[string]*jsonschema.Schema{
		variableDef: {
			Type:        "string",
			Description: "A text with an environment variable, ${NAME}. It is converted to the type of the key.",
			Pattern:     `\$\{[A-Za-z_][A-Za-z0-9_]*\}`,
		},
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// variableDef names the definition of a text with variables, which may stand
// for any scalar.
const variableDef = "variable"

// structSchema describes a mapping whose keys are known.
func structSchema(t reflect.Type) (*jsonschema.Schema, error) {
	fields := fieldsOf(t)
	schema := &jsonschema.Schema{
		Type:                 "object",
		Properties:           map[string]*jsonschema.Schema{},
		PropertyOrder:        keysOf(fields),
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for i := range fields {
		f := &fields[i]
		property, err := valueSchema(f.typ, f)
		if err != nil {
			return nil, fmt.Errorf("key %s of %s: %w", f.name, t, err)
		}
		property.Description = f.doc
		if f.standard != "" {
			property.Default, err = f.defaultJSON()
			if err != nil {
				return nil, fmt.Errorf("default of key %s of %s: %w", f.name, t, err)
			}
		}
		schema.Properties[f.name] = property
		if f.required {
			schema.Required = append(schema.Required, f.name)
		}
	}
	return schema, nil
}

// valueSchema describes a value of type t in field f.
func valueSchema(t reflect.Type, f *field) (*jsonschema.Schema, error) {
	if _, ok := scalarOf(t, f); ok {
		shapes, err := f.shapes(t)
		if err != nil {
			return nil, err
		}
		if one := shapes[0]; len(shapes) == 1 && one.Type == "string" && one.Pattern == "" && one.Enum == nil {
			return one, nil // any text, with or without variables
		}
		return &jsonschema.Schema{AnyOf: append(shapes, &jsonschema.Schema{Ref: "#/$defs/" + variableDef})}, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return valueSchema(t.Elem(), f)
	case reflect.Map: // Headers, the only one
		values, err := valueSchema(t.Elem(), f)
		return &jsonschema.Schema{
			Type:                 "object",
			PropertyNames:        &jsonschema.Schema{Pattern: headerName().String()},
			AdditionalProperties: values,
		}, err
	case reflect.Slice:
		items, err := valueSchema(t.Elem(), f)
		if err != nil {
			return nil, err
		}
		list := &jsonschema.Schema{Type: "array", Items: items}
		if list.MinItems, err = length(f.minItems); err == nil {
			list.MaxItems, err = length(f.maxItems)
		}
		return list, err
	case reflect.Struct:
		whole, err := structSchema(t)
		short, ok := shortForms[t]
		if err != nil || !ok {
			return whole, err
		}
		part, _ := t.FieldByName(short)
		single, err := valueSchema(part.Type, &field{typ: part.Type})
		if err != nil {
			return nil, err
		}
		return &jsonschema.Schema{AnyOf: append(single.AnyOf, whole)}, nil
	}
	return nil, fmt.Errorf("no schema for the type %s", t)
}

// shapes lists how a scalar may be written without variables.
func (f *field) shapes(t reflect.Type) ([]*jsonschema.Schema, error) {
	number := func(kind string) (*jsonschema.Schema, error) {
		schema := &jsonschema.Schema{Type: kind}
		var err error
		if schema.Minimum, err = bound(f.min); err == nil {
			schema.Maximum, err = bound(f.max)
		}
		return schema, err
	}
	text := func(pattern string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: pattern} }
	one := func(s *jsonschema.Schema, err error) ([]*jsonschema.Schema, error) {
		return []*jsonschema.Schema{s}, err
	}
	switch t {
	case boolType:
		return one(&jsonschema.Schema{Type: "boolean"}, nil)
	case floatType:
		return one(number("number"))
	case intType, int64Type:
		integer, err := number("integer")
		if f.format == "size" {
			return []*jsonschema.Schema{integer, text(sizeShape.String())}, err
		}
		return one(integer, err)
	case durationType:
		return one(text(durationShape.String()), nil)
	case rangeType:
		least, most := 400.0, 599.0
		return []*jsonschema.Schema{{Type: "integer", Minimum: &least, Maximum: &most}, text(rangeShape.String())}, nil
	case keyType:
		least := minKeyLength
		return []*jsonschema.Schema{text(`^sha256:[0-9A-Fa-f]{64}$`), {Type: "string", MinLength: &least, Not: text("^" + keyPrefix)}}, nil
	case urlType:
		return one(text(`^https?://[^/?#@]+(/[^?#]*)?$`), nil)
	case secretType:
		least := 1
		return one(&jsonschema.Schema{Type: "string", MinLength: &least}, nil)
	}
	return one(f.textShape(), nil)
}

// textShape describes a plain text. Where it is optional, an empty text is as
// good as none.
func (f *field) textShape() *jsonschema.Schema {
	optional := !f.required && f.typ == textType
	schema := &jsonschema.Schema{Type: "string"}
	if !optional {
		least := 1
		schema.MinLength = &least
	}
	if len(f.enum) > 0 {
		for _, word := range f.enum {
			schema.Enum = append(schema.Enum, word)
		}
		return schema
	}
	if f.format == "model" {
		most := maxModel
		schema.MaxLength = &most
	}
	if known, ok := formats[f.format]; ok {
		schema.Pattern = known.pattern().String()
		if optional {
			schema.Pattern = "^$|" + schema.Pattern
		}
	}
	return schema
}

// length reads a minItems or maxItems tag; an empty one is no bound.
func length(tag string) (*int, error) {
	if tag == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(tag)
	return &n, err
}

// bound reads a min or max tag; an empty one is no bound.
func bound(tag string) (*float64, error) {
	if tag == "" {
		return nil, nil
	}
	n, err := strconv.ParseFloat(tag, 64)
	return &n, err
}

// defaultJSON writes the default as the file would have it.
func (f *field) defaultJSON() (json.RawMessage, error) {
	t := f.typ
	list := t.Kind() == reflect.Slice
	if list {
		t = t.Elem()
	}
	s, ok := scalarOf(t, f)
	if !ok {
		return nil, fmt.Errorf("the type %s has no default", f.typ)
	}
	if _, problem := s.read(f.standard, f); problem != nil {
		return nil, fmt.Errorf("%q %s", f.standard, problem.message)
	}
	text := f.standard
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		text = strconv.Quote(text)
	}
	if list {
		text = "[" + text + "]"
	}
	return json.RawMessage(text), nil
}
