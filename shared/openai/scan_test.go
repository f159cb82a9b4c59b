package openai

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestScannerAcceptsWhatEncodingJSONAccepts(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{}`, ` { } `, `[]`, `[ ]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`,
		`{"a":1 "b":2}`, `{"a":1}}`, `{"a":1}]`, `[`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `]`, `}`, `[}`, `{]`, `,`, `:`,
		`0`, `-0`, `01`, `-`, `+1`, `1.`, `.5`, `1.5`, `1e`, `1e+`, `1e5`, `1E-5`, `-1.25e+10`, `0x1`, `1_000`, `NaN`, `Infinity`, `00`, `-01`, `0.0`, `0e0`,
		`true`, `false`, `null`, `tru`, `truee`, `True`, `nul`, `fals`, `nulll`,
		`""`, `"a`, `"\"`, `"\""`, `"\\"`, `"\/"`, `"\b\f\n\r\t"`, `"\a"`, `"\u"`, `"\u12"`, `"\u12g4"`, `"\u1234"`, `"\uD83D\uDE00"`, `"\uD83D"`, `"\uDE00\uD83D"`, `"\uDE00\uDE00"`,
		"\"\n\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\x00", `"ü€😀"`, "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe0\x80\x80\"",
		"\uFEFF{}", "{}\x00", "{} x", `'a'`, `{"a":1} {"b":2}`, `[1]//`, "\"abcdefg\xe4\xb8\"", "\"漢字漢字\xe4\"",
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strings.Repeat(`{"a":`, 999) + "{}" + strings.Repeat("}", 999),
		strings.Repeat("[", 1001) + strings.Repeat("]", 1001), strings.Repeat("[", 100000),
	} {
		if got, want := scanned([]byte(text)), acceptable([]byte(text)); got != want {
			t.Errorf("%.60q: accepted %v, want %v", text, got, want)
		}
	}
}

// A string is read eight bytes at a time, so every special byte is tried at every offset of a word.
func TestStringSpecialBytesAtEveryOffset(t *testing.T) {
	for _, special := range []string{`"`, `\`, `\n`, `\\`, `\"`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ude00\ude00`, "é", "漢", "😀", "\x80", "\xff", "\x1f", "\x00", "\n", "\x7f", " ", "!", "#", "[", "]"} {
		for offset := range 20 {
			for tail := range 10 {
				text := `"` + strings.Repeat("a", offset) + special + strings.Repeat("z", tail) + `"`
				want := acceptable([]byte(text))
				s := scanner{buf: []byte(text)}
				token := s.str()
				if got := s.end(); got != want {
					t.Fatalf("%q: accepted %v, want %v", text, got, want)
				}
				if !want {
					continue
				}
				var decoded string
				if err := json.Unmarshal([]byte(text), &decoded); err != nil {
					t.Fatal(err)
				}
				counted := (&tally{texts: []string{decoded}}).text()
				if got := string(token.decoded(1000)); got != decoded || token.text != counted {
					t.Fatalf("%q: decoded to %q with %+v, want %q with %+v", text, got, token.text, decoded, counted)
				}
			}
		}
	}
}

func TestDecodedTextIsCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct {
		raw  string
		max  int
		want string
	}{
		{`abc`, 2, "ab"}, {`abc`, 0, ""}, {`é`, 1, ""}, {`aé漢😀`, 6, "aé漢"}, {`aé漢😀`, 9, "aé漢"}, {`aé漢😀`, 10, "aé漢😀"},
		{`a\u00e9b`, 2, "a"}, {`a\u00e9b`, 3, "aé"}, {`\ud83d\ude00`, 3, ""}, {`\ud83d`, 3, "\uFFFD"}, {`\n\n\n`, 2, "\n\n"},
	} {
		if got := string(appendDecoded(nil, []byte(c.raw), c.max)); got != c.want {
			t.Errorf("%s cut at %d: %q, want %q", c.raw, c.max, got, c.want)
		}
	}
}
