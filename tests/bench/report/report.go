// Package report holds the results of measurements and writes them as a table for
// a terminal, as markdown and as JSON.
package report

import (
	"cmp"
	"slices"
	"strconv"
)

// Result is what one section measured.
type Result struct {
	// Section is its name, Title what was measured and under which conditions.
	Section, Title string
	// Columns are the heads of the table. The first is that of the rows' names.
	Columns []string
	// Rows are the lines of the table, as many cells each as there are columns.
	Rows [][]string
	// Goals are the figures to reach.
	Goals []Goal
	// Voids say why the figures must not be believed. There should be none.
	Voids []string
	// Figures is everything measured, for programs: a value for package json.
	Figures any
}

// Goal is a figure to reach.
type Goal struct {
	// What it is a figure of, and what is wanted.
	What, Want string
	// Got is what was measured.
	Got     string
	Reached bool
	// Void says that nothing was measured.
	Void bool
}

// AtMost returns the goal that the median of a figure does not exceed a bound.
func AtMost(what string, got Spread, bound float64, u Unit) Goal {
	return Goal{What: what, Want: "at most " + Spread{bound, bound, bound}.Text(u), Got: got.Text(u), Reached: got.Median <= bound}
}

// AtLeast returns the goal that the median of a figure reaches a bound.
func AtLeast(what string, got Spread, bound float64, u Unit) Goal {
	return Goal{What: what, Want: "at least " + Spread{bound, bound, bound}.Text(u), Got: got.Text(u), Reached: got.Median >= bound}
}

// Unit is how a figure is written. The zero value writes a whole number.
type Unit struct {
	// Name follows the number.
	Name string
	// Scale is how many of this unit are 1; 0 is 1.
	Scale float64
	// Digits follow the point.
	Digits int
}

func (u Unit) number(v float64) string {
	if u.Scale != 0 {
		v *= u.Scale
	}
	return strconv.FormatFloat(v, 'f', u.Digits, 64)
}

// Spread is a figure that was measured several times.
type Spread struct {
	Median, Least, Most float64
}

// SpreadOf returns the spread of what f says of each measurement. There must be
// one at least.
func SpreadOf[T any](measurements []T, f func(T) float64) Spread {
	values := make([]float64, len(measurements))
	for i, m := range measurements {
		values[i] = f(m)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Least: values[0], Most: values[n-1]}
}

// Text returns the median and, in parentheses, the range where it can be seen.
func (s Spread) Text(u Unit) string {
	median, least, most := u.number(s.Median), u.number(s.Least), u.number(s.Most)
	if least != most {
		median += " (" + least + "–" + most + ")"
	}
	if u.Name != "" {
		median += " " + u.Name
	}
	return median
}
