package aztable

import "strings"

// The lengths of encoded keys in bytes. Azure Table Storage takes 1,024
// characters for each part of a key, Azure Cosmos DB for Table 255 bytes for a
// row key.
const (
	maxKey       = 1024
	maxCosmosRow = 255
)

const hexDigits = "0123456789ABCDEF"

// marks gives, for each byte of a key, the mark it is written behind, or 0 if
// it stands for itself.
var marks = func() (m [256]byte) {
	for _, r := range []struct {
		mark       byte
		first, end int
	}{
		{'!', 0x00, 0x2D},  // Controls, space, and ! " # $ % & ' ( ) * + ,
		{'.', 0x2E, 0x30},  // . /
		{'=', 0x3D, 0x40},  // = > ?
		{'^', 0x5B, 0x5F},  // [ \ ] ^
		{'~', 0x7E, 0x100}, // ~, DEL and all that is not ASCII
	} {
		for b := r.first; b < r.end; b++ {
			m[b] = r.mark
		}
	}
	return m
}()

// encodeKey writes one part of a key in the characters that every service of
// this protocol takes in a key and in a URL. Table Storage forbids / \ # ? and
// control characters (see "Understanding the Table service data model" in its
// REST documentation), and % + ' and letters beyond ASCII have each been
// trouble in some client, proxy or emulator.
//
// Letters, digits and - _ : ; < @ ` { | } stand for themselves. Any other byte
// is a mark and two hexadecimal digits, where the mark is the one of its range
// in the table above: "ptu-eastus/gpt-4.1" becomes "ptu-eastus.2Fgpt-4.2E1". The
// empty key is "!".
//
// The ranges follow the order of ASCII, and each mark lies inside its own range.
// So the encoding is injective and keeps the order of bytes: a < b if and only
// if encodeKey(a) < encodeKey(b), and a range of keys is a range of encoded keys.
func encodeKey(key string) string {
	if key == "" {
		return "!"
	}
	extra := 0
	for i := range len(key) {
		if marks[key[i]] != 0 {
			extra += 2
		}
	}
	if extra == 0 {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + extra)
	for i := range len(key) {
		c := key[i]
		if mark := marks[c]; mark != 0 {
			b.WriteByte(mark)
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeKey is the inverse of encodeKey. It is false for text that encodeKey
// never writes.
func decodeKey(text string) (string, bool) {
	switch text {
	case "":
		return "", false
	case "!":
		return "", true
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if marks[c] == 0 {
			b.WriteByte(c)
			continue
		}
		if marks[c] != c || len(text) < i+3 {
			return "", false
		}
		high := strings.IndexByte(hexDigits, text[i+1])
		low := strings.IndexByte(hexDigits, text[i+2])
		if high < 0 || low < 0 || marks[high<<4|low] != c {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), true
}
