package openai

import "bytes"

// Event is one server-sent event, a block of lines with the blank line behind it. Its slices alias the buffer it was
// read from, except Data where it was joined of several lines.
type Event struct {
	Raw  []byte // the whole block, the blank line included: what a relay passes on
	Name []byte // the event field; empty if there is none
	Data []byte // the data field, several lines joined by \n; empty in a block of comments or other fields
}

// NextEvent reads the first event of buf and tells how many bytes it takes; 0 means that more bytes are needed. Lines
// end with LF, CRLF or CR, as the HTML standard says ("Server-sent events", interpreting an event stream). A CR that
// is the last byte of buf may be half a CRLF and so needs the next byte. Unlike a browser, it returns blocks without
// data too, so that a relay passes on comments (keep-alives) and stray blank lines, and it ignores a byte order mark
// before any block.
func NextEvent(buf []byte) (ev Event, advance int) {
	for pos := markEnd(buf); ; {
		end, next := line(buf, pos)
		if next < 0 {
			return Event{}, 0
		}
		if end == pos {
			ev.Raw = buf[:next]
			return ev, next
		}
		ev.field(buf[pos:end])
		pos = next
	}
}

// LastEvent reads what NextEvent has left in buf at the end of the stream: an event whose blank line is missing or
// whose last CR was in doubt. It returns false if buf is empty.
func LastEvent(buf []byte) (Event, bool) {
	ev := Event{Raw: buf}
	for pos := markEnd(buf); pos < len(buf); {
		end, next := line(buf, pos)
		if next < 0 {
			next = len(buf)
		}
		ev.field(buf[pos:end])
		pos = next
	}
	return ev, len(buf) > 0
}

// line finds the end of the line that starts at pos and the start of the next one; next is −1 if buf
// ends before that is certain.
func line(buf []byte, pos int) (end, next int) {
	rest := buf[pos:]
	newline := bytes.IndexByte(rest, '\n')
	if newline >= 0 {
		rest = rest[:newline]
	}
	if cr := bytes.IndexByte(rest, '\r'); cr >= 0 {
		end = pos + cr
		switch {
		case end+1 == len(buf):
			return end, -1
		case buf[end+1] == '\n':
			return end, end + 2
		}
		return end, end + 1
	}
	if newline < 0 {
		return len(buf), -1
	}
	return pos + newline, pos + newline + 1
}

// field takes one line of the block that is not blank.
func (ev *Event) field(line []byte) {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		value = line[len(line):] // empty, but not nil
	}
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if ev.Data == nil {
			ev.Data = value[:len(value):len(value)] // so that joining a second line copies it
			return
		}
		ev.Data = append(append(ev.Data, '\n'), value...)
	case "event":
		ev.Name = value
	}
}

// markEnd is the length of the byte order mark that buf begins with, 0 if there is none.
func markEnd(buf []byte) int {
	const mark = "\uFEFF"
	if len(buf) >= len(mark) && string(buf[:len(mark)]) == mark {
		return len(mark)
	}
	return 0
}
