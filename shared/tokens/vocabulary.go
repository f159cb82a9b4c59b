package tokens

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"math/bits"
	"strconv"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// vocabulary is the tokens of an encoding, to be found by their text. It is immutable,
// and holds no pointers to them: a map of 200,000 strings takes more than twice the
// memory, and each collection of garbage would look through it, which takes longer than
// all else that a gateway keeps.
type vocabulary struct {
	texts []byte   // of all tokens, one behind the other, in the order of their ranks
	ends  []uint32 // where the text of each rank ends in texts; it begins where the one before ends
	// slots are a hash table with open addressing. A slot is a token's rank + 1, with
	// some bits of its hash above, which spare a look at most of the texts that differ;
	// 0: free.
	slots []uint32
	shift int // of a hash, to get the number of its first slot

	// longest is the length of the longest token that begins with these two bytes.
	longest [1 << 16]uint8
}

const (
	fileSuffix = ".tiktoken"
	// rankBits are the bits of a slot that hold the rank.
	rankBits = 18
	rankMask = 1<<rankBits - 1
)

// readVocabulary reads the embedded vocabulary of an encoding.
func readVocabulary(name encodingName) (*vocabulary, error) {
	content, err := assets.Assets.ReadFile(string(name) + fileSuffix)
	if err != nil {
		return nil, err
	}
	return parseVocabulary(content)
}

var errVocabulary = errors.New("tokens: not a vocabulary")

// parseVocabulary reads lines of a token in base64 and its rank. They stand in the order
// of the ranks, of which some may be missing.
func parseVocabulary(content []byte) (*vocabulary, error) {
	v := &vocabulary{
		texts: make([]byte, 0, len(content)/2), // They take less: the ranks are left out, too.
		ends:  make([]uint32, 0, bytes.Count(content, []byte{'\n'})+1),
	}
	for line := range bytes.Lines(content) {
		encoded, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		rank, err := strconv.Atoi(string(number))
		if err != nil || rank < len(v.ends) || rank >= rankMask {
			return nil, errVocabulary
		}
		for len(v.ends) < rank {
			v.ends = append(v.ends, uint32(len(v.texts)))
		}
		before := len(v.texts)
		v.texts, err = base64.StdEncoding.AppendDecode(v.texts, encoded)
		if err != nil || len(v.texts)-before > math.MaxUint8 {
			return nil, errVocabulary
		}
		v.ends = append(v.ends, uint32(len(v.texts)))
	}
	v.texts = bytes.Clone(v.texts) // without the room that is left
	v.index()
	return v, nil
}

// index fills the tables by which tokens are found.
func (v *vocabulary) index() {
	size := bits.Len(uint(len(v.ends) + len(v.ends)/4)) // a fifth or more stays free
	v.slots, v.shift = make([]uint32, 1<<size), 64-size
	for rank := range v.ends {
		token := string(v.text(rank))
		if token == "" {
			continue
		}
		h := hashOf(token)
		at := v.slot(h)
		for v.slots[at] != 0 {
			at = v.next(at)
		}
		v.slots[at] = h.tag() | uint32(rank+1)
		if len(token) > 1 {
			longest := &v.longest[pair(token[0], token[1])]
			*longest = max(*longest, uint8(len(token)))
		}
	}
}

func pair(first, second byte) uint16 { return uint16(first)<<8 | uint16(second) }

// text is the token of a rank; empty: there is none.
func (v *vocabulary) text(rank int) []byte {
	from := uint32(0)
	if rank > 0 {
		from = v.ends[rank-1]
	}
	return v.texts[from:v.ends[rank]]
}

// occurring adds to ranks every token that occurs in text, wherever it begins. Within a
// plain word that is a token, it leaves out the others: nobody looks them up.
func (v *vocabulary) occurring(text string, ranks map[string]int) {
	before := ""
	for from := 0; from < len(text); {
		if word := plainWord(text, from); word != "" {
			if rank, ok := v.rank(hashOf(word), word); ok {
				ranks[word] = rank
				from += len(word)
				continue
			}
		}
		here := text[from : from+v.reach(text[from:])]
		if here != before { // else its tokens are the same, as all along a line of dashes
			v.prefixes(here, ranks)
		}
		before = here
		from++
	}
}

// prefixes adds to ranks every token that text begins with.
func (v *vocabulary) prefixes(text string, ranks map[string]int) {
	var h hash
	for i := range len(text) {
		h = h.with(text[i])
		if rank, ok := v.rank(h, text[:i+1]); ok {
			ranks[text[:i+1]] = rank
		}
	}
}

// reach is how much of text, which is not empty, may be one token from its beginning on.
func (v *vocabulary) reach(text string) int {
	if len(text) == 1 {
		return 1
	}
	return min(max(int(v.longest[pair(text[0], text[1])]), 1), len(text))
}

// rank finds a token by its text, whose hash is h.
func (v *vocabulary) rank(h hash, token string) (rank int, ok bool) {
	for at := v.slot(h); v.slots[at] != 0; at = v.next(at) {
		if v.slots[at]&^rankMask != h.tag() {
			continue
		}
		if rank = int(v.slots[at]&rankMask) - 1; string(v.text(rank)) == token {
			return rank, true
		}
	}
	return 0, false
}

// slot is the number of the first slot for a hash, next that of the one behind it.
func (v *vocabulary) slot(h hash) int { return int(h >> v.shift) }

func (v *vocabulary) next(at int) int { return (at + 1) & (len(v.slots) - 1) }

// hash is the hash of a text, made byte by byte, so that those of all texts that begin
// at one place take one step each. Its upper bits are the good ones.
type hash uint64

func hashOf(text string) (h hash) {
	for i := range len(text) {
		h = h.with(text[i])
	}
	return h
}

func (h hash) with(c byte) hash { return (h + hash(c) + 1) * 0x9E3779B97F4A7C15 }

// tag is the part of a hash that stands in a slot above the rank.
func (h hash) tag() uint32 { return uint32(h>>32) << rankBits }
