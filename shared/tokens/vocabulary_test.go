package tokens

import (
	"maps"
	"testing"

	loader "github.com/pkoukk/tiktoken-go-loader"
)

// The vocabularies are those that tiktoken's own loader reads, to the last token.
func TestVocabulariesAreTiktokensOwn(t *testing.T) {
	for name := range vocabularies {
		reference(t, name)
		file := string(name) + fileSuffix
		want, err := loader.NewOfflineLoader().LoadTiktokenBpe("https://contoso.com/" + file)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := lent.Load(file)
		if ranks := got.(map[string]int); len(want) < 50_000 || !maps.Equal(ranks, want) {
			t.Errorf("%s: %d tokens, and not the %d of the loader", name, len(ranks), len(want))
		}
	}
}

// Counters share what was built.
func TestVocabulariesAreBuiltOnce(t *testing.T) {
	one, two := NewCounter(), NewCounter()
	<-one.Warm("davinci")
	<-two.Warm("davinci")
	if a, b := one.encodings[p50k].bpe, two.encodings[p50k].bpe; a == nil || a != b {
		t.Errorf("two tokenizers of one vocabulary: %p, %p", a, b)
	}
}
