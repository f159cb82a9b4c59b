package openai

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// readString says one character after the other what scanner.str must find.
func readString(s *scanner) token {
	if s.peek() != '"' {
		s.failHere()
		return token{}
	}
	start := s.pos + 1
	var t token
	fail := func(at int, fault string) token {
		s.pos = at
		s.fail(fault)
		return token{}
	}
	for i := start; i < len(s.buf); {
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			t.raw = s.buf[start:i]
			return t
		case c == '\\':
			r, size := unescape(s.buf[i:])
			if size == 0 {
				return fail(i, "invalid escape")
			}
			t.escaped = true
			t.text.add(r)
			i += size
		case c < ' ':
			return fail(i, "control character in a string")
		default:
			r, size := utf8.DecodeRune(s.buf[i:])
			if r == utf8.RuneError && size == 1 {
				return fail(i, "invalid UTF-8")
			}
			t.text.add(r)
			s.wide += size - 1
			i += size
		}
	}
	return fail(len(s.buf), "unexpected end")
}

// checkString compares the reading of a string by runs with that by characters: counts, faults and where they are.
func checkString(t *testing.T, text string) {
	t.Helper()
	got, want := scanner{buf: []byte(text)}, scanner{buf: []byte(text)}
	gotToken, wantToken := got.str(), readString(&want)
	if !reflect.DeepEqual(gotToken, wantToken) || !reflect.DeepEqual(got, want) {
		at := max(0, want.at-20)
		t.Fatalf("%.60q… (%d bytes, %q at %d):\n got %+v, %d wide, %q at %d, ends at %d\nwant %+v, %d wide, %q at %d, ends at %d",
			text, len(text), text[at:min(len(text), at+40)], at,
			gotToken.text, got.wide, got.fault, got.at, got.pos, wantToken.text, want.wide, want.fault, want.at, want.pos)
	}
}

// kinds are pieces of text each of which is read in a way of its own, and those that end each way.
var kinds = []string{
	"a", "plain text ", `\n`, `\"`, `\\`, `\t\r\b\f\/`, `say \"so\", `, `\u00e9`, `\ud83d\ude00`, `\ud83d`, "ü", "Größe ", "слово ", "漢字", "ก", "한글", "😀", "é😀漢",
	"\x7f", "\x1f", "\x00", "\n", `\x`, `\u12g4`, "\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\xbc", "\xc3(", `\`,
}

// Every kind of text is followed by every other, long enough that each is read by its own run, and cut at every place of
// a word.
func TestStringsOfAllKindsBehindEachOther(t *testing.T) {
	for _, first := range kinds {
		for _, second := range kinds {
			for _, times := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 40, 300} {
				for _, rest := range []string{`"`, `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`, ``} {
					checkString(t, `"`+strings.Repeat(first, times)+second+rest)
					checkString(t, `"`+strings.Repeat("a", times)+first+second+rest)
				}
			}
		}
	}
}

// A special byte at any place of a long plain string is found at that place.
func TestSpecialBytesInLongStrings(t *testing.T) {
	for _, special := range []string{`"`, "\x1f", "\x80", `\x`, "\xc3"} {
		for offset := 0; offset < 9000; offset += 1 + offset/700 {
			checkString(t, `"`+strings.Repeat("a", offset)+special+strings.Repeat("z", 100)+`"`)
		}
	}
}

// FuzzString: text is read by runs as it is read by characters, though it is long and mixed.
func FuzzString(f *testing.F) {
	for _, kind := range kinds {
		f.Add(kind, uint16(200), "The end, "+kind+`"`, uint16(1))
	}
	f.Fuzz(func(t *testing.T, first string, times uint16, second string, more uint16) {
		checkString(t, `"`+strings.Repeat(first, int(times)%(8<<10/(len(first)+1)+1))+strings.Repeat(second, int(more)%(4<<10/(len(second)+1)+1))+`"`)
	})
}
