package contract

import (
	"errors"
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// The specification that histories are checked against: each row is a register
// that holds the value of one write, or nothing. An ETag stands for the write
// that gave it, so the model knows values only; that ETags and writes do stand
// for each other is checked on the way (operations).

// request is the input of the model.
type request struct {
	row       int
	operation operation
	value     string // Written.
	expect    string // Value that the ETag of a swap or remove stands for.
}

// response is its output.
type response struct {
	outcome outcome
	value   string // Read.
}

// absent is the state of a row that does not exist; no write has this value.
const absent = ""

// register is the model. A write of unknown outcome leaves two states possible.
func register(conflicts Meaning) porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init:      func() []any { return []any{absent} },
		Partition: byRow,
		Step: func(state, input, output any) []any {
			return step(state.(string), input.(request), output.(response), conflicts)
		},
		DescribeOperation: describe,
	}
	return model.ToModel()
}

// step returns the states that may follow, none if the response is impossible.
func step(state string, in request, out response, conflicts Meaning) []any {
	same := []any{state}
	if in.operation == read {
		if out.outcome == missing && state == absent || out.outcome == done && state == out.value && state != absent {
			return same
		}
		return nil
	}
	next, verdict := apply(state, in)
	switch {
	case out.outcome == unknown && verdict == done:
		return []any{state, next}
	case out.outcome == unknown:
		return same
	case out.outcome == conflict && conflicts == Lying && verdict == done:
		return []any{state, next}
	case out.outcome == conflict && conflicts != Honest:
		return same
	case out.outcome == verdict:
		return []any{next}
	}
	return nil
}

// apply is what a store does with a write.
func apply(state string, in request) (next string, verdict outcome) {
	switch {
	case in.operation == create && state != absent:
		return state, conflict
	case in.operation == create:
		return in.value, done
	case state == absent:
		return state, missing
	case state != in.expect:
		return state, conflict
	case in.operation == remove:
		return absent, done
	}
	return in.value, done
}

// operations turns the events into operations of the model. Three things are
// settled here that the search would take long for:
//   - an operation that failed without effect is left out: were there an effect
//     after all, somebody would read a value that was never written;
//   - a write of unknown outcome whose value somebody saw did happen, no later
//     than that was seen;
//   - any other write of unknown outcome may happen at any time from its call on.
func (h *History) operations() ([]porcupine.Operation, error) {
	values, seen, err := h.index()
	if err != nil {
		return nil, err
	}
	operations := make([]porcupine.Operation, 0, len(h.events))
	for _, e := range h.events {
		if e.outcome == failed {
			continue
		}
		in := request{row: e.row, operation: e.operation}
		out := response{outcome: e.outcome}
		answer := e.answer
		switch e.operation {
		case read:
			out.value = e.value
		case create, swap:
			in.value = e.value
		}
		if e.operation == swap || e.operation == remove {
			in.expect = values[version{e.row, e.expect}]
		}
		if e.outcome == unknown {
			answer = math.MaxInt64
			if first, ok := seen[version{e.row, in.value}]; ok && e.operation != remove {
				out.outcome, answer = done, first
			}
		}
		operations = append(operations, porcupine.Operation{
			ClientId: e.client, Input: in, Call: e.call, Output: out, Return: answer,
		})
	}
	return operations, nil
}

// version is an ETag or a value of one row.
type version struct {
	row  int
	name string
}

// index returns the value that each ETag stands for, and when each value was
// first seen for certain. It fails if an ETag stands for two values or a value
// has two ETags.
func (h *History) index() (values map[version]string, seen map[version]int64, err error) {
	values, seen = make(map[version]string), make(map[version]int64)
	etags := make(map[version]string)
	for _, e := range h.events {
		if e.outcome != done || e.operation == remove {
			continue
		}
		if value, ok := values[version{e.row, e.etag}]; ok && value != e.value {
			return nil, nil, fmt.Errorf("row %d: ETag %s stands for the writes %s and %s", e.row, e.etag, value, e.value)
		}
		if etag, ok := etags[version{e.row, e.value}]; ok && etag != e.etag {
			return nil, nil, fmt.Errorf("row %d: write %s has the ETags %s and %s", e.row, e.value, etag, e.etag)
		}
		values[version{e.row, e.etag}] = e.value
		etags[version{e.row, e.value}] = e.etag
		if first, ok := seen[version{e.row, e.value}]; e.operation == read && (!ok || e.answer < first) {
			seen[version{e.row, e.value}] = e.answer
		}
	}
	for _, e := range h.events {
		if _, ok := values[version{e.row, e.expect}]; e.expect != "" && !ok {
			return nil, nil, errors.New("a client used an ETag that it never got")
		}
	}
	return values, seen, nil
}

func byRow(history []porcupine.Operation) [][]porcupine.Operation {
	rows := make(map[int][]porcupine.Operation)
	for _, o := range history {
		row := o.Input.(request).row
		rows[row] = append(rows[row], o)
	}
	partitions := make([][]porcupine.Operation, 0, len(rows))
	for _, operations := range rows {
		partitions = append(partitions, operations)
	}
	return partitions
}

func describe(input, output any) string {
	in, out := input.(request), output.(response)
	answer := [...]string{"ok", "not found", "conflict", "unknown", "failed"}[out.outcome]
	switch in.operation {
	case read:
		return fmt.Sprintf("get → %s %s", answer, out.value)
	case create:
		return fmt.Sprintf("insert %s → %s", in.value, answer)
	case swap:
		return fmt.Sprintf("replace %s by %s → %s", in.expect, in.value, answer)
	}
	return fmt.Sprintf("delete %s → %s", in.expect, answer)
}
