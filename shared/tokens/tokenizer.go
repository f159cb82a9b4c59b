package tokens

import (
	"errors"
	"path"
	"sync"

	tiktoken "github.com/pkoukk/tiktoken-go"
)

// tokenizers build the tokenizer of each encoding, at most once in a process.
var tokenizers = map[encodingName]func() (tokenizer, error){
	o200k:  sync.OnceValues(func() (tokenizer, error) { return newTokenizer(o200k) }),
	cl100k: sync.OnceValues(func() (tokenizer, error) { return newTokenizer(cl100k) }),
	p50k:   sync.OnceValues(func() (tokenizer, error) { return newTokenizer(p50k) }),
}

// sparing is tiktoken's tokenizer of an encoding, to encode with, for any number of
// goroutines, one at a time.
//
// Tiktoken keeps a vocabulary three times, in 200,000 objects each: by the tokens' text
// to encode, by their rank to decode, and sorted. Only the first is used here, and to
// encode a text tiktoken looks up parts of that text only. So it is given an empty
// vocabulary, and the first, which is the very map that it was given, holds for each text
// the tokens that occur in it.
type sparing struct {
	vocabulary *vocabulary

	mu       sync.Mutex
	ranks    map[string]int // what tiktoken looks tokens up in. Guarded by mu, empty while it is free.
	tiktoken *tiktoken.Tiktoken
}

func newTokenizer(name encodingName) (tokenizer, error) {
	lend()
	t, err := tiktoken.GetEncoding(string(name))
	if err != nil {
		return nil, err
	}
	ranks, ok := lent.Load(string(name) + fileSuffix)
	if !ok {
		return nil, errors.New("tokens: tiktoken did not ask for its vocabulary")
	}
	v, err := readVocabulary(name)
	if err != nil {
		return nil, err
	}
	return &sparing{vocabulary: v, ranks: ranks.(map[string]int), tiktoken: t}, nil
}

// EncodeOrdinary implements tokenizer. It is meant for short texts: the longer a text,
// the more stays reserved for its tokens.
func (s *sparing) EncodeOrdinary(text string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer clear(s.ranks) // which are parts of the text
	s.vocabulary.occurring(text, s.ranks)
	return s.tiktoken.EncodeOrdinary(text)
}

// lent are the maps that tiktoken was given, by the name of the file they are to hold.
var lent sync.Map

// lend makes tiktoken take its vocabularies from here. The setting is a global of that
// package, so it is made once.
var lend = sync.OnceFunc(func() { tiktoken.SetBpeLoader(lender{}) })

// lender gives tiktoken empty maps.
type lender struct{}

// LoadTiktokenBpe implements tiktoken.BpeLoader.
func (lender) LoadTiktokenBpe(url string) (map[string]int, error) {
	ranks := map[string]int{}
	lent.Store(path.Base(url), ranks)
	return ranks, nil
}

var _ tokenizer = (*sparing)(nil)
