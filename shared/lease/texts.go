package lease

import "strings"

// texts keeps short texts side by side, in pieces: where there are hundreds of thousands,
// one piece for each was as many things for the garbage collector to look at, and those of
// the limits of one consumer lie in the same lines of the processor's cache. A piece stays
// until none of its texts is used any more. The zero value is ready. It is not safe for
// concurrent use, though the texts are.
type texts struct {
	piece strings.Builder
}

// pieceLength is the length of a piece in bytes: about a hundred texts.
const pieceLength = 4096

// keep returns a text that is equal to the one given.
func (t *texts) keep(text string) string {
	if t.piece.Cap()-t.piece.Len() < len(text) {
		t.piece = strings.Builder{}
		t.piece.Grow(max(pieceLength, len(text)))
	}
	begin := t.piece.Len()
	t.piece.WriteString(text)
	return t.piece.String()[begin:]
}
