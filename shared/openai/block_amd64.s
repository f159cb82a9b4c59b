#include "go_asm.h"
#include "textflag.h"

// HALVES sets the bytes of y to the upper four bits of those of x.
#define HALVES(x, y) \
	VPSRLW $4, x, y  \
	VPAND  Y13, y, y

// MASK collects the highest bits of the 64 bytes of a and b in m.
#define MASK(a, b, m) \
	VPMOVMSKB a, m     \
	VPMOVMSKB b, R15   \
	SHLQ      $32, R15 \
	ORQ       R15, m

// KINDS marks in control the control characters of x, and in other all that is no letter of an escape.
#define KINDS(x, control, other) \
	HALVES(x, Y2)         \
	VPSHUFB   Y2, Y15, Y2 \
	VPMOVMSKB Y2, control \
	VPSHUFB   x, Y14, Y3  \
	VPAND     Y3, Y2, Y2  \
	VPCMPEQB  Y9, Y2, Y2  \
	VPMOVMSKB Y2, other

// FAULTS replaces x, the 32 bytes at off(SI), by what is wrong with each as UTF-8 in view of the bytes before it. What all
// three tables say is wrong is so, but that a continuation follows another must be so where the byte two or three before
// is the first one of three or four bytes.
#define FAULTS(off, x) \
	HALVES(x, Y2)            \
	VPSHUFB  Y2, Y8, x       \
	VMOVDQU  (off-1)(SI), Y3 \
	HALVES(Y3, Y2)           \
	VPSHUFB  Y2, Y6, Y2      \
	VPAND    Y2, x, x        \
	VPAND    Y13, Y3, Y3     \
	VPSHUFB  Y3, Y7, Y3      \
	VPAND    Y3, x, x        \
	VMOVDQU  (off-2)(SI), Y2 \
	VPSUBUSB Y10, Y2, Y2     \
	VMOVDQU  (off-3)(SI), Y3 \
	VPSUBUSB Y11, Y3, Y3     \
	VPOR     Y3, Y2, Y2      \
	VPAND    Y12, Y2, Y2     \
	VPXOR    Y2, x, x

// COUNT adds the number of bits of m to n.
#define COUNT(m, n) \
	POPCNTQ m, R15 \
	ADDQ    R15, n

// func blocks(text *byte, most int, by *tables) (size, escapes, wide, continued int, escaped bool)
TEXT ·blocks(SB), NOSPLIT, $0-57
	MOVQ           text+0(FP), SI
	MOVQ           most+8(FP), CX
	MOVQ           by+16(FP), DX
	VPBROADCASTB   tables_quote(DX), Y4
	VPBROADCASTB   tables_backslash(DX), Y5
	VBROADCASTI128 tables_firstUpper(DX), Y6
	VBROADCASTI128 tables_firstLower(DX), Y7
	VBROADCASTI128 tables_secondUpper(DX), Y8
	VPXOR          Y9, Y9, Y9
	VPBROADCASTB   tables_triple(DX), Y10
	VPBROADCASTB   tables_quadruple(DX), Y11
	VPBROADCASTB   tables_highest(DX), Y12
	VPBROADCASTB   tables_lower(DX), Y13
	VBROADCASTI128 tables_kindLower(DX), Y14
	VBROADCASTI128 tables_kindUpper(DX), Y15
	XORL           R10, R10             // 1 if the first byte of the block is escaped
	XORL           R11, R11             // escapes
	XORL           R12, R12             // bytes that are not ASCII
	XORL           R13, R13             // those of them that continue a character
	XORL           R14, R14             // not 0 if the last blocks had such bytes

block:
	// A body that has just arrived is no longer in the nearest cache. Read in a row it should come by itself, and on
	// virtual machines does not: without this line it took five times as long.
	PREFETCHT0 2048(SI)
	VMOVDQU    (SI), Y0
	VMOVDQU    32(SI), Y1

	// Every other backslash of a row escapes. The rows that begin at odd places and those that begin at even ones come
	// apart by the carry of a subtraction.
	VPCMPEQB Y0, Y5, Y2
	VPCMPEQB Y1, Y5, Y3
	MASK(Y2, Y3, BX)
	ANDNQ    BX, R10, DX
	LEAQ     (DX)(DX*1), DI
	MOVQ     $0xAAAAAAAAAAAAAAAA, R8
	ORQ      R8, DI
	SUBQ     DX, DI
	XORQ     R8, DI
	MOVQ     BX, DX
	ORQ      R10, DX
	XORQ     DI, DX              // DX: the bytes that are escaped
	ANDQ     BX, DI              // DI: the backslashes that escape them

	// The text ends at a quote, a control character, or the letter of an escape that has more than one.
	VPCMPEQB Y0, Y4, Y2
	VPCMPEQB Y1, Y4, Y3
	MASK(Y2, Y3, AX)
	ANDNQ    AX, DX, AX
	KINDS(Y0, BX, R8)
	KINDS(Y1, R9, R15)
	SHLQ     $32, R9
	ORQ      R9, BX
	ORQ      BX, AX
	SHLQ     $32, R15
	ORQ      R15, R8
	ANDQ     DX, R8
	ORQ      R8, AX              // AX: where it ends

	// Bytes that are not ASCII cost as much as all of the above, and a branch costs no less where every other block has
	// some. So it is taken only when there has been none for a while: their marks fade away.
	MASK(Y0, Y1, R8)             // R8: bytes that are not ASCII
	XORL     R9, R9              // R9: those of them that continue a character, 10xxxxxx
	SHRQ     $1, R14
	ORQ      R8, R14
	JZ       sound
	VPADDB   Y0, Y0, Y2
	VPADDB   Y1, Y1, Y3
	MASK(Y2, Y3, R9)
	ANDNQ    R8, R9, R9
	FAULTS(0, Y0)
	FAULTS(32, Y1)
	VPOR     Y0, Y1, Y0
	VPTEST   Y0, Y0
	JNZ      done

sound:
	TESTQ    AX, AX
	JNZ      last
	COUNT(DI, R11)
	COUNT(R8, R12)
	COUNT(R9, R13)
	MOVQ     DI, R10
	SHRQ     $63, R10
	ADDQ     $64, SI
	DECQ     CX
	JNZ      block
	JMP      done

last: // Of this block only what stands before the end counts.
	TZCNTQ   AX, CX
	ADDQ     CX, SI
	LEAQ     -1(AX), BX
	ANDNQ    BX, AX, BX
	ANDQ     BX, DI
	ANDQ     BX, R8
	ANDQ     BX, R9
	COUNT(DI, R11)
	COUNT(R8, R12)
	COUNT(R9, R13)
	SHRQ     CX, DX
	ANDL     $1, DX
	MOVL     DX, R10

done:
	VZEROUPPER
	SUBQ     text+0(FP), SI
	MOVQ     SI, size+24(FP)
	MOVQ     R11, escapes+32(FP)
	MOVQ     R12, wide+40(FP)
	MOVQ     R13, continued+48(FP)
	MOVB     R10, escaped+56(FP)
	RET
