package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong in a configuration. It never holds the value of
// an environment variable, nor a key or another secret of the file.
type Problem struct {
	// File is the name given to Parse, or the path given to Load.
	File string
	// Line and Column count from 1; 0 when the problem is the file itself.
	Line, Column int
	// Key is where the problem is, such as pools[0].members[1].backend. It is
	// empty for the whole document.
	Key string
	// Message says what is wrong.
	Message string
	// Mend says what to do about it.
	Mend string
}

// String formats the problem on one line, as compilers do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Message)
	if p.Mend != "" {
		b.WriteString("; " + p.Mend)
	}
	return b.String()
}

// Problems are all that is wrong in a configuration, in the order of the file.
// It is the error of Parse; it is never empty there.
type Problems []Problem

// Error lists the problems, one on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

var _ error = Problems(nil)

// report collects problems and knows where in the text each key is.
type report struct {
	document *document
	problems Problems
	more     int // problems beyond those the document may have
	// failed holds the keys whose value could not be read. What follows from
	// that is not reported again.
	failed map[string]bool
}

// add records a problem at a key. The position is that of the key's value, or
// of the nearest thing around it that is in the file.
func (r *report) add(at *path, message, mend string) {
	if r.full() {
		r.more++
		return
	}
	node, _ := r.document.find(at)
	r.addAt(node.Line, node.Column, at.String(), message, mend)
}

func (r *report) addAt(line, column int, key, message, mend string) {
	if r.full() {
		r.more++
		return
	}
	r.problems = append(r.problems, Problem{
		File: r.document.file, Line: line, Column: column, Key: key, Message: message, Mend: mend,
	})
}

// full reports whether further problems are only counted.
func (r *report) full() bool { return len(r.problems) >= r.document.kind.problems }

// fail records a value that could not be read.
func (r *report) fail(at *path, message, mend string) {
	r.failed[at.String()] = true
	r.add(at, message, mend)
}

// hasFailed reports whether the value at a key, or one around it, could not be
// read.
func (r *report) hasFailed(at *path) bool {
	if len(r.failed) == 0 {
		return false
	}
	for ; at != nil; at = at.parent {
		if r.failed[at.String()] {
			return true
		}
	}
	return r.failed[at.String()] // the whole document
}

// err returns the problems in the order of the file, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.more > 0 {
		r.problems = append(r.problems, Problem{
			File: r.document.file, Message: fmt.Sprintf("there are %d more problems", r.more), Mend: "mend these first",
		})
	}
	return r.problems
}

// maxCandidates bounds the words compared for one suggestion.
const maxCandidates = 256

// nearest returns the candidate that was probably meant by word, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(len(word)/3, 4))
	for _, candidate := range candidates[:min(len(candidates), maxCandidates)] {
		if candidate == "" {
			continue
		}
		if d := distance(fold(word), fold(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// maxCompared is the length of the longest word a suggestion is looked for.
const maxCompared = 64

// suggest is the mend for a word that is none of the candidates.
func suggest(word string, candidates []string, otherwise string) string {
	if word != "" && len(word) <= maxCompared {
		if near := nearest(word, candidates); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
	}
	return otherwise
}

// fold makes tokens_per_minute and tokensPerMinute the same word.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the number of letters to insert, delete, replace or swap with a
// neighbour to make b of a (optimal string alignment distance).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
