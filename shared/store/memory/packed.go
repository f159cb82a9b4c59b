package memory

import (
	"encoding/binary"
	"math"
	"time"

	"spillway/shared/store"
)

// packed is the columns of a row in one piece, one after another: the name's length
// and the name, the kind of the value and the value. It is a fifth of a map of the
// same columns, and nothing that the garbage collector would have to look into. Only
// pack makes it. It is a store.Record.
type packed string

// The kinds of values.
const (
	kindInteger byte = iota // Followed by a varint.
	kindFloat               // By its 8 bytes.
	kindFalse
	kindTrue
	kindString // By its length and its bytes.
	kindTime   // By its Unix seconds and the nanoseconds beyond, as varints.
)

// pack packs columns that are valid.
func pack(columns store.Columns) packed {
	var buffer [512]byte // Enough for a limit's row.
	b := buffer[:0]
	for name, value := range columns {
		b = appendText(b, name)
		switch v := value.(type) {
		case int64:
			b = binary.AppendVarint(append(b, kindInteger), v)
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, kindFloat), math.Float64bits(v))
		case bool:
			kind := kindFalse
			if v {
				kind = kindTrue
			}
			b = append(b, kind)
		case string:
			b = appendText(append(b, kindString), v)
		case time.Time:
			v = store.KeptTime(v)
			b = binary.AppendVarint(append(b, kindTime), v.Unix())
			b = binary.AppendVarint(b, int64(v.Nanosecond()))
		}
	}
	return packed(b)
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// Columns implements store.Record.
func (p packed) Columns() map[string]any {
	columns := make(map[string]any)
	for len(p) > 0 {
		name := p.text()
		columns[name] = p.value()
	}
	return columns
}

// value takes the next value.
func (p *packed) value() any {
	kind := (*p)[0]
	*p = (*p)[1:]
	switch kind {
	case kindInteger:
		return p.varint()
	case kindFloat:
		bits := binary.LittleEndian.Uint64([]byte((*p)[:8]))
		*p = (*p)[8:]
		return math.Float64frombits(bits)
	case kindString:
		return p.text()
	case kindTime:
		seconds := p.varint()
		return time.Unix(seconds, p.varint()).UTC()
	default:
		return kind == kindTrue
	}
}

// text takes the next text.
func (p *packed) text() string {
	length := p.uvarint()
	text := (*p)[:length]
	*p = (*p)[length:]
	return string(text)
}

func (p *packed) uvarint() uint64 {
	n, size := binary.Uvarint([]byte((*p)[:min(len(*p), binary.MaxVarintLen64)]))
	*p = (*p)[size:]
	return n
}

func (p *packed) varint() int64 {
	n, size := binary.Varint([]byte((*p)[:min(len(*p), binary.MaxVarintLen64)]))
	*p = (*p)[size:]
	return n
}
