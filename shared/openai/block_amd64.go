package openai

import (
	"unicode/utf8"

	"golang.org/x/sys/cpu"
)

const (
	// blockSize is how many bytes of text blocks takes at once.
	blockSize = 64
	// mostBlocks is how many blocks one call takes: few enough that the collector, which cannot interrupt it, need not
	// wait for more than some microseconds.
	mostBlocks = 64 << 10 / blockSize
)

// canReadBlocks tells whether the processor has the instructions of blocks.
func canReadBlocks() bool { return cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT }

// blockRun measures the text of a string from i on by whole blocks, as textRun does. It is empty where less than a block
// is left, and where the text goes on but the block is faulty further on.
func blockRun(buf []byte, i int) run {
	const before = utf8.UTFMax - 1 // bytes that blocks looks back
	n := min((len(buf)-i)/blockSize, mostBlocks)
	if n <= 0 || i < before {
		return run{}
	}
	size, escapes, wide, continued, escaped := blocks(&buf[i], n, &lookup)
	if escaped { // the escape is not whole
		size, escapes = size-1, escapes-1
	}
	for back := 1; back <= min(before, size); back++ {
		if tail := buf[i+size-back : i+size]; utf8.RuneStart(tail[0]) {
			if !utf8.Valid(tail) { // nor is the character, or it is none
				size, wide, continued = size-back, wide-back, continued-(back-1)
			}
			break
		}
	}
	return run{size: size, escapes: escapes, wide: wide, runes: wide - continued}
}

// blocks measures the text of a string, at most so many blocks of 64 bytes, with 1 ≤ most, that begin at text. The three
// bytes before text must exist, and be such that no character is begun there and not ended.
//
// It ends at a quote, a control character or an escape of more than one letter; before a block that has a fault as UTF-8;
// or behind the last block. Up to there it returns the number of bytes, of escapes, of bytes that are not ASCII, and of
// those of them that continue a character. The last byte may be a backslash, which is counted as an escape, and escaped
// is true; the last character may be cut, or its only byte be none that a character begins with.
//
// It goes about as simdjson does: the bytes of a block are compared all at once, which gives masks of 64 bits, and where an
// escape begins and how many there are is reckoned with the masks, with no branch for any byte (Langdale and Lemire,
// "Parsing Gigabytes of JSON per Second"). UTF-8 is checked with three tables of the faults that a pair of bytes may have
// (Keiser and Lemire, "Validating UTF-8 in Less Than One Instruction per Byte").
//
//go:noescape
func blocks(text *byte, most int, by *tables) (size, escapes, wide, continued int, escaped bool)

// tables are what blocks compares the bytes of text with, and looks up for the upper and the lower half of a byte.
type tables struct {
	quote, backslash                    byte
	triple, quadruple                   byte // subtracted, they leave the highest bit of a first byte of three bytes or more, or of four
	highest, lower                      byte // the highest bit, the lower half
	kindUpper, kindLower                [16]byte
	firstUpper, firstLower, secondUpper [16]byte
}

// lookup is never changed.
var lookup = tables{
	quote: '"', backslash: '\\', triple: 0xE0 - 0x80, quadruple: 0xF0 - 0x80, highest: 0x80, lower: 0x0F,
	kindUpper:  [16]byte{0x0: control, 0x1: control, 0x2: row2, 0x5: row5, 0x6: row6, 0x7: row7},
	kindLower:  [16]byte{0x2: row2 | row6 | row7, 0x4: row7, 0x6: row6, 0xC: row5, 0xE: row6, 0xF: row2},
	firstUpper: halves(faultsOfFirstUpper), firstLower: halves(faultsOfFirstLower), secondUpper: halves(faultsOfSecondUpper),
}

// The letters of escapes are those for which kindUpper, at the upper half of the byte, and kindLower, at the lower half,
// have a bit in common. Control characters have the highest bit in kindUpper.
const (
	row2    = 1 << iota // '"' and '/'
	row5                // '\\'
	row6                // 'b', 'f' and 'n'
	row7                // 'r' and 't'
	control = 0x80
)

// What may be wrong with two bytes of UTF-8 in a row. Each of three tables holds what is possible for one half of one of
// the bytes; what is possible for all three is wrong.
const (
	tooShort  = 1 << iota // a continuation is missing
	tooLong               // a continuation follows ASCII
	overlong2             // 0xC0 or 0xC1
	overlong3             // 0xE0, and below 0xA0
	surrogate             // 0xED, and not below 0xA0
	tooLarge              // 0xF4 or more, and not below 0x90
	overlong4             // 0xF0, and below 0x90; 0xF5 or more, which is too large, and below 0x90
	continued             // a continuation follows another, as it may behind the first byte of three or four
)

// faultsOfFirstUpper are possible behind a byte with this upper half.
func faultsOfFirstUpper(half byte) byte {
	switch {
	case half < 0x8:
		return tooLong
	case half < 0xC:
		return continued
	}
	return tooShort | [4]byte{overlong2, 0, overlong3 | surrogate, overlong4 | tooLarge}[half-0xC]
}

// faultsOfFirstLower are possible behind a byte with this lower half.
func faultsOfFirstLower(half byte) byte {
	faults := byte(tooShort | tooLong | continued)
	switch {
	case half == 0x0:
		faults |= overlong2 | overlong3 | overlong4
	case half == 0x1:
		faults |= overlong2
	case half == 0x4:
		faults |= tooLarge
	case half >= 0x5:
		faults |= tooLarge | overlong4
	}
	if half == 0xD {
		faults |= surrogate
	}
	return faults
}

// faultsOfSecondUpper are possible at a byte with this upper half, in view of the one before.
func faultsOfSecondUpper(half byte) byte {
	const always = tooLong | continued | overlong2
	switch half {
	case 0x8:
		return always | overlong3 | overlong4
	case 0x9:
		return always | overlong3 | tooLarge
	case 0xA, 0xB:
		return always | surrogate | tooLarge
	}
	return tooShort
}

// halves is a table of what f says of each value of half a byte.
func halves(f func(half byte) byte) (table [16]byte) {
	for half := range table {
		table[half] = f(byte(half))
	}
	return table
}
