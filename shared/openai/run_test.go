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

// checkString compares the reading of a string by runs with that by characters: counts, faults and where they are. Where
// strings are read by blocks, they are read without too, as on other processors.
func checkString(t *testing.T, text string) {
	t.Helper()
	checkStringAt(t, 0, text)
	if hasBlocks {
		checkStringAt(t, utf8.UTFMax, text) // a block begins with the text, where there is something before it
		hasBlocks = false
		defer func() { hasBlocks = true }()
		checkStringAt(t, 0, text)
	}
}

// checkStringAt checks the reading of a string that stands at a place of a buffer.
func checkStringAt(t *testing.T, at int, text string) {
	t.Helper()
	buf := []byte(strings.Repeat(" ", at) + text)
	got, want := scanner{buf: buf, pos: at}, scanner{buf: buf, pos: at}
	gotToken, wantToken := got.str(), readString(&want)
	if !reflect.DeepEqual(gotToken, wantToken) || !reflect.DeepEqual(got, want) {
		from := max(0, want.at-20)
		t.Fatalf("%.60q… (%d bytes at %d, %q at %d; by blocks %v):\n got %+v, %d wide, %q at %d, ends at %d\nwant %+v, %d wide, %q at %d, ends at %d",
			text, len(text), at, buf[from:min(len(buf), from+40)], from, hasBlocks,
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

// Sequences of four bytes, all that differ in what UTF-8 allows, are judged as utf8.Valid does, at any place of a block.
func TestSequencesOfBytes(t *testing.T) {
	edges := []byte("a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xec\xed\xef\xf0\xf1\xf4\xf5\xff")
	place := 0
	for _, first := range edges {
		for _, second := range edges {
			for _, third := range edges {
				for _, fourth := range edges {
					if first < 0xE0 && fourth != 'a' {
						continue // no character of four bytes
					}
					place = (place + 1) % (2 * 64)
					checkString(t, `"`+strings.Repeat("é", place/2)+string([]byte{first, second, third, fourth})+strings.Repeat("z", 2*64)+`"`)
				}
			}
		}
	}
}

// Rows of backslashes of any length escape what follows or not, wherever they begin in a block, which itself begins where
// text is no longer plain, and wherever it ends.
func TestRowsOfBackslashes(t *testing.T) {
	for before := range 64 {
		for length := range 3 * 64 {
			for _, next := range []string{`"`, `n`, `u00e9`, `x`, "é"} {
				row := "é" + strings.Repeat("a", before) + strings.Repeat(`\`, length) + next
				checkString(t, `"`+row+strings.Repeat("z", 64)+`"`)
			}
		}
	}
}

// Every byte behind a backslash is taken as an escape or a fault.
func TestEveryEscapeInABlock(t *testing.T) {
	for c := range 256 {
		checkString(t, `"`+strings.Repeat(`\n`, 40)+`\`+string([]byte{byte(c)})+strings.Repeat("z", 64)+`"`)
	}
}

// Whatever text is mixed of, one run measures it to its end: the processor need not guess where the next kind begins.
func TestARunOfBlocksIsLong(t *testing.T) {
	if !hasBlocks {
		t.Skip("this processor reads no blocks")
	}
	const before = "   "
	text := strings.Repeat(`Größe \"für\" слово 漢字 😀.\n\n\r\t\b\f\/\\`, 500)
	buf := []byte(before + text + `"` + strings.Repeat(" ", 64))
	want := run{size: len(text), escapes: 500 * 10, wide: 500 * (6 + 10 + 6 + 4), runes: 500 * (3 + 5 + 2 + 1)}
	if got := blockRun(buf, len(before)); got != want {
		t.Errorf("a run of %+v, want %+v", got, want)
	}
	if got := blockRun(buf, len(before)-1); got != (run{}) {
		t.Errorf("a run of %+v where there are too few bytes to look back at, want none", got)
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
