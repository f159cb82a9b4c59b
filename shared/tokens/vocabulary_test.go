package tokens

import (
	"maps"
	"strings"
	"testing"

	loader "github.com/pkoukk/tiktoken-go-loader"
)

// The vocabularies are those that tiktoken's own loader reads, to the last token, and
// each token is found by its text.
func TestVocabulariesAreTiktokensOwn(t *testing.T) {
	for name := range tokenizers {
		want, err := loader.NewOfflineLoader().LoadTiktokenBpe("https://contoso.com/" + string(name) + fileSuffix)
		if err != nil {
			t.Fatal(err)
		}
		v, err := readVocabulary(name)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for rank := range v.ends {
			token := string(v.text(rank))
			if token == "" {
				continue // no token has this rank
			}
			if found, ok := v.rank(hashOf(token), token); found != rank || !ok {
				t.Fatalf("%s: token %q has rank %d, %v, want %d", name, token, found, ok, rank)
			}
			got[token] = rank
		}
		if len(want) < 50_000 || !maps.Equal(got, want) {
			t.Errorf("%s: %d tokens, and not the %d of the loader", name, len(got), len(want))
		}
	}
}

// Of a text, all the tokens are found that stand somewhere in it, and no others, but of a
// plain word that is a token by itself no parts.
func TestTokensThatOccur(t *testing.T) {
	v, err := parseVocabulary([]byte("YQ== 0\nYg== 1\nIA== 2\nYWI= 4\nYWJj 5\nYmM= 7\nIGFi 8\n")) // a, b, space, ab, abc, bc, " ab"
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]map[string]int{
		"":        {},
		"x":       {},
		"a":       {"a": 0},
		"ab":      {"a": 0, "b": 1, "ab": 4},
		"abc":     {"a": 0, "b": 1, "ab": 4, "abc": 5, "bc": 7},
		"a b":     {"a": 0, "b": 1, " ": 2},
		"bcx a":   {"b": 1, "bc": 7, " ": 2, "a": 0},
		"bbbbbba": {"b": 1, "a": 0},
		" ab ab,": {" ab": 8},
		"x ab.":   {" ab": 8},
		" abc":    {" ": 2, " ab": 8, "a": 0, "b": 1, "ab": 4, "abc": 5, "bc": 7},
		"  ab":    {" ": 2, " ab": 8, "a": 0, "b": 1, "ab": 4},
		" abX":    {" ": 2, " ab": 8, "a": 0, "b": 1, "ab": 4},
	} {
		got := map[string]int{}
		v.occurring(text, got)
		if !maps.Equal(got, want) {
			t.Errorf("in %q: %v, want %v", text, got, want)
		}
	}
}

func TestNoVocabulary(t *testing.T) {
	for name, content := range map[string]string{
		"no rank":           "YQ==\n",
		"no number":         "YQ== b\n",
		"a negative rank":   "YQ== -1\n",
		"a rank twice":      "YQ== 3\nYg== 3\n",
		"ranks in disorder": "YQ== 3\nYg== 2\n",
		"too large a rank":  "YQ== 262143\n",
		"no base64":         "Y 0\n",
		"a token too long":  strings.Repeat("AAAA", 86) + " 0\n",
	} {
		if _, err := parseVocabulary([]byte(content)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Counters share what was built.
func TestTokenizersAreBuiltOnce(t *testing.T) {
	one, two := NewCounter(), NewCounter()
	<-one.Warm("davinci")
	<-two.Warm("davinci")
	if a, b := one.encodings[p50k].bpe, two.encodings[p50k].bpe; a == nil || a != b {
		t.Errorf("two tokenizers of one vocabulary: %p, %p", a, b)
	}
}

// Of the texts that were counted, a tokenizer keeps nothing.
func TestTokenizerKeepsNoText(t *testing.T) {
	ready(t, o200k)
	s := shared.encodings[o200k].bpe.(*sparing)
	s.EncodeOrdinary("A secret of a consumer")
	if len(s.ranks) != 0 {
		t.Errorf("%v is kept", s.ranks)
	}
}
