package http1

import (
	"bytes"
	"math"
	"net/http"
)

// maxFields is how many fields there are at most.
const maxFields = 64

// Fields are the fields of a plain header, as Parse finds them. Nothing is made of them
// before all is known to be plain. It is not safe for concurrent use.
type Fields struct {
	places [maxFields]place
	count  int
}

// place says where a field stands.
type place struct{ name, colon, value, end uint16 }

// Parse finds the fields of a header that begins with them, and tells whether all of them
// and the empty line behind them are there and plain, heed's verdict on each included.
// Names get their canonical form where they stand, so that they need no memory; heed gets
// them so, and values without the blanks around them. The length is that of all lines.
func (f *Fields) Parse(lines []byte, heed func(name, value []byte) (plain bool)) (length int, plain bool) {
	lines = lines[:min(len(lines), math.MaxUint16)] // what a place can tell
	for at := 0; ; {
		end := bytes.IndexByte(lines[at:], '\n')
		if end <= 0 || lines[at+end-1] != '\r' {
			return 0, false
		}
		line := lines[at : at+end-1]
		if len(line) == 0 {
			return at + end + 1, true
		}
		colon := bytes.IndexByte(line, ':')
		if f.count == maxFields || colon <= 0 || !All(line[:colon], InToken) || !All(line[colon:], InValue) {
			return 0, false
		}
		name := line[:colon]
		canonical(name)
		from, to := Trimmed(line[colon+1:])
		from, to = colon+1+from, colon+1+to
		if !heed(name, line[from:to]) {
			return 0, false
		}
		f.places[f.count] = place{uint16(at), uint16(at + colon), uint16(at + from), uint16(at + to)}
		f.count++
		at += end + 1
	}
}

// Fill fills a header, which is empty, with the fields; text are the lines that were parsed.
// The field that is called apart does not get into it, and its value is returned; "": there
// is none.
func (f *Fields) Fill(header http.Header, text, apart string) (value string) {
	values := make([]string, f.count)
	for i, p := range f.places[:f.count] {
		name := text[p.name:p.colon]
		values[i] = text[p.value:p.end]
		if name == apart {
			value = values[i]
			continue
		}
		known := len(header)
		header[name] = values[i : i+1 : i+1]
		if len(header) == known { // rarely: a name is looked up once
			header[name] = f.all(text, name, i+1)
		}
	}
	return value
}

// all are the values that a name has in the first n fields.
func (f *Fields) all(text, name string, n int) (values []string) {
	for _, p := range f.places[:n] {
		if text[p.name:p.colon] == name {
			values = append(values, text[p.value:p.end])
		}
	}
	return values
}

// canonical gives a name the form that http.Header has it in.
func canonical(name []byte) {
	upper := true
	for i, c := range name {
		switch {
		case upper && c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && c >= 'A' && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
}

// Trimmed tells where in a value the blanks before it end, and those after it begin.
func Trimmed(value []byte) (from, to int) {
	to = len(value)
	for from < to && blank(value[from]) {
		from++
	}
	for from < to && blank(value[to-1]) {
		to--
	}
	return from, to
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
