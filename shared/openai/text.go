package openai

import "unicode/utf8"

// Text counts the characters (Unicode code points) of text by kind, as token estimates need them. A character is
// counted as it is decoded: \n and \u0041 are one each, a surrogate pair is one.
type Text struct {
	ASCII, Other int64
}

// Characters is the number of all characters.
func (t Text) Characters() int64 { return t.ASCII + t.Other }

// Plus is the sum of two counts.
func (t Text) Plus(o Text) Text { return Text{t.ASCII + o.ASCII, t.Other + o.Other} }

// add counts one character.
func (t *Text) add(r rune) {
	if r < utf8.RuneSelf {
		t.ASCII++
	} else {
		t.Other++
	}
}
