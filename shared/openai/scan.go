package openai

// maxDepth is how deep JSON may nest. Deeper is an attack, not a request.
const maxDepth = 1000

// scanner walks a JSON text once, without building anything: the grammar of RFC 8259, with valid UTF-8 and at most
// maxDepth levels. Walkers are written as
//
//	for more := s.open('{'); more; more = s.next('}') { key := s.key(); …; s.skip() }
//
// The first fault is kept and moves the position to the end, where nothing more can be read; so walkers run
// out by themselves and look at fault once, at the end. It is not safe for concurrent use.
type scanner struct {
	buf   []byte
	pos   int
	depth int
	wide  int    // bytes read that continue a character of several bytes
	fault string // "" while all is well
	at    int    // where the fault is
}

// fail notes the first fault and ends the walk.
func (s *scanner) fail(fault string) {
	if s.fault == "" {
		s.fault, s.at = fault, s.pos
		s.pos = len(s.buf)
	}
}

// stop ends a walk that has seen enough.
func (s *scanner) stop() { s.fail("stopped") }

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.buf) && s.buf[s.pos] <= ' ' { // one comparison where there is none
		switch s.buf[s.pos] {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end (0 itself begins nothing in JSON).
func (s *scanner) peek() byte {
	if s.pos < len(s.buf) {
		return s.buf[s.pos]
	}
	return 0
}

// open enters an array or object, whose bracket is the next byte, and tells whether it has a first element; the
// position is then at that element.
func (s *scanner) open(bracket byte) bool {
	if s.peek() != bracket {
		s.failHere()
		return false
	}
	if s.depth++; s.depth > maxDepth {
		s.fail("nested too deep")
		return false
	}
	s.pos++
	s.space()
	if s.peek() == bracket+2 { // in ASCII, ']' is '[' + 2 and '}' is '{' + 2
		s.pos++
		s.depth--
		return false
	}
	return true
}

// next goes to the next element of an array or object that ends with bracket, or leaves it.
func (s *scanner) next(bracket byte) bool {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true
	case bracket:
		s.pos++
		s.depth--
	default:
		s.failHere()
	}
	return false
}

// key reads a member's name and colon, up to its value. Names written with escapes are decoded; what is longer than
// any name we know is cut.
func (s *scanner) key() []byte {
	const longest = 64
	if name := s.plainKey(); name != nil {
		return name
	}
	t := s.str()
	s.space()
	if s.peek() != ':' {
		s.failHere()
		return nil
	}
	s.pos++
	s.space()
	return t.decoded(longest)
}

// plainKey reads what key does if it is written as nearly all are: a short plain name, and the colon right behind it.
// It is nil, and nothing is read, if it is not.
func (s *scanner) plainKey() []byte {
	const longest = 32
	if s.peek() != '"' {
		return nil
	}
	start := s.pos + 1
	plain, _ := plainWords(s.buf[start:min(len(s.buf), start+longest)])
	end := start + plain
	if plain == 0 || len(s.buf)-end < len(`":`) || s.buf[end] != '"' || s.buf[end+1] != ':' {
		return nil
	}
	s.pos = end + len(`":`)
	s.space()
	return s.buf[start:end]
}

// skip reads any value.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '{':
		for more := s.open('{'); more; more = s.next('}') {
			s.key()
			s.skip()
		}
	case '[':
		for more := s.open('['); more; more = s.next(']') {
			s.skip()
		}
	case '"':
		s.str()
	default:
		s.scalar()
	}
}

// scalar reads a number, true, false or null and returns its bytes.
func (s *scanner) scalar() []byte {
	switch s.peek() {
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// literal reads one of the three names of JSON.
func (s *scanner) literal(name string) []byte {
	if len(s.buf)-s.pos < len(name) || string(s.buf[s.pos:s.pos+len(name)]) != name {
		s.fail("invalid literal")
		return nil
	}
	s.pos += len(name)
	return s.buf[s.pos-len(name) : s.pos]
}

// number reads a number.
func (s *scanner) number() []byte {
	start, i := s.pos, s.pos
	if i < len(s.buf) && s.buf[i] == '-' {
		i++
	}
	switch whole := digits(s.buf, i); {
	case whole == i || s.buf[i] == '0' && whole > i+1:
		s.failHere()
		return nil
	default:
		i = whole
	}
	if i < len(s.buf) && s.buf[i] == '.' {
		end := digits(s.buf, i+1)
		if end == i+1 {
			s.fail("invalid number")
			return nil
		}
		i = end
	}
	if i < len(s.buf) && s.buf[i]|0x20 == 'e' {
		i++
		if i < len(s.buf) && (s.buf[i] == '+' || s.buf[i] == '-') {
			i++
		}
		end := digits(s.buf, i)
		if end == i {
			s.fail("invalid number")
			return nil
		}
		i = end
	}
	s.pos = i
	return s.buf[start:i]
}

// digits is the end of the run of digits that starts at i.
func digits(buf []byte, i int) int {
	for i < len(buf) && buf[i]-'0' <= 9 {
		i++
	}
	return i
}

// end reads white space to the end of the text and returns whether the whole text was sound.
func (s *scanner) end() bool {
	s.space()
	if s.pos < len(s.buf) {
		s.fail("data after the value")
	}
	return s.fault == ""
}

// failHere names what stands at the position.
func (s *scanner) failHere() {
	if s.pos >= len(s.buf) {
		s.fail("unexpected end")
		return
	}
	s.fail("unexpected character")
}
