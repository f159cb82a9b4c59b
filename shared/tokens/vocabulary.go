package tokens

import (
	"bytes"
	"encoding/base64"
	"errors"
	"path"
	"strconv"
	"strings"
	"sync"

	tiktoken "github.com/pkoukk/tiktoken-go"
	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// vocabularies build the tokenizer of each encoding, at most once in a process.
var vocabularies = map[encodingName]func() (tokenizer, error){
	o200k:  sync.OnceValues(func() (tokenizer, error) { return newTokenizer(o200k) }),
	cl100k: sync.OnceValues(func() (tokenizer, error) { return newTokenizer(cl100k) }),
	p50k:   sync.OnceValues(func() (tokenizer, error) { return newTokenizer(p50k) }),
}

// newTokenizer returns tiktoken's tokenizer of an encoding, to encode with.
//
// Tiktoken keeps a vocabulary three times: by the tokens' text to encode, by their rank
// to decode, and sorted. Only the first is used here. So tiktoken is given an empty
// vocabulary, of which the other two are made, and the first, which is the very map that
// it was given, is filled afterwards: that takes a third of the memory and of the time.
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
	return t, fill(ranks.(map[string]int), string(name)+fileSuffix)
}

const fileSuffix = ".tiktoken"

// lent are the maps that tiktoken was given, by the name of the file they are to hold.
var lent sync.Map

// lend makes tiktoken take its vocabularies from here. The setting is a global of that
// package, so it is made once.
var lend = sync.OnceFunc(func() { tiktoken.SetBpeLoader(lender{}) })

// lender gives tiktoken empty maps with room for a vocabulary.
type lender struct{}

// LoadTiktokenBpe implements tiktoken.BpeLoader.
func (lender) LoadTiktokenBpe(url string) (map[string]int, error) {
	file := path.Base(url)
	content, err := assets.Assets.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ranks := make(map[string]int, bytes.Count(content, []byte{'\n'}))
	lent.Store(file, ranks)
	return ranks, nil
}

// fill reads an embedded vocabulary: lines of a token in base64 and its rank. The texts
// of all tokens share one piece of memory.
func fill(ranks map[string]int, file string) error {
	content, err := assets.Assets.ReadFile(file)
	if err != nil {
		return err
	}
	size := 0
	for line := range bytes.Lines(content) {
		encoded, _, _ := bytes.Cut(line, []byte{' '})
		size += base64.StdEncoding.DecodedLen(len(encoded)) - bytes.Count(encoded, []byte{'='})
	}
	var texts strings.Builder
	texts.Grow(size)
	var token []byte
	for line := range bytes.Lines(content) {
		encoded, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if token, err = base64.StdEncoding.AppendDecode(token[:0], encoded); err != nil {
			return err
		}
		rank, err := strconv.Atoi(string(number))
		if err != nil {
			return err
		}
		start := texts.Len()
		texts.Write(token)
		ranks[texts.String()[start:]] = rank
	}
	return nil
}

var _ tokenizer = (*tiktoken.Tiktoken)(nil)
