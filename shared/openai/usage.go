package openai

import "strconv"

// Usage is what an answer says it took, in tokens. No count is negative.
type Usage struct {
	Prompt     int64
	Completion int64
	Total      int64 // as stated, else Prompt + Completion
	Cached     int64 // the part of Prompt that was cached
	Reasoning  int64 // the part of Completion that was reasoning
}

// maxUsage bounds every count of a usage object; a larger one is garbage that would spend a quota at once.
const maxUsage = 1 << 40

// ParseUsage reads a usage object, with the names of chat completions, completions and embeddings (prompt_tokens,
// completion_tokens) or those of the Responses API (input_tokens, output_tokens). It returns false if the object
// states none of prompt, completion and total, or a count that is negative, not whole or beyond 2⁴⁰. Null is absent.
func ParseUsage(json []byte) (Usage, bool) {
	s := scanner{buf: json}
	s.space()
	if s.peek() != '{' {
		return Usage{}, false
	}
	if u, ok := s.usage(); s.end() && ok {
		return u, true
	}
	return Usage{}, false
}

// usage reads a usage object.
func (s *scanner) usage() (Usage, bool) {
	var u Usage
	stated, sound := false, true
	count := func(n *int64) {
		value, given, valid := s.count()
		if given {
			*n, stated = value, true
		}
		sound = sound && valid
	}
	total := int64(-1)
	for more := s.open('{'); more; more = s.next('}') {
		switch string(s.key()) {
		case "prompt_tokens", "input_tokens":
			count(&u.Prompt)
		case "completion_tokens", "output_tokens":
			count(&u.Completion)
		case "total_tokens":
			count(&total)
		case "prompt_tokens_details", "input_tokens_details":
			sound = s.detail("cached_tokens", &u.Cached) && sound
		case "completion_tokens_details", "output_tokens_details":
			sound = s.detail("reasoning_tokens", &u.Reasoning) && sound
		default:
			s.skip()
		}
	}
	u.Total = total
	if total < 0 {
		u.Total = u.Prompt + u.Completion
	}
	u.Cached, u.Reasoning = min(u.Cached, u.Prompt), min(u.Reasoning, u.Completion)
	if !stated || !sound {
		return Usage{}, false
	}
	return u, true
}

// detail reads one count of an object of details; false if it is unsound.
func (s *scanner) detail(name string, n *int64) bool {
	if s.peek() != '{' {
		s.skip()
		return true
	}
	sound := true
	for more := s.open('{'); more; more = s.next('}') {
		if string(s.key()) != name {
			s.skip()
			continue
		}
		value, given, valid := s.count()
		if given {
			*n = value
		}
		sound = sound && valid
	}
	return sound
}

// count reads a count of tokens or null.
func (s *scanner) count() (n int64, given, valid bool) {
	switch kindOf(s.peek()) {
	case kindNull:
		s.skip()
		return 0, false, true
	case kindNumber:
		n, err := strconv.ParseInt(string(s.number()), 10, 64)
		if err != nil || n < 0 || n > maxUsage {
			return 0, false, false
		}
		return n, true, true
	}
	s.skip()
	return 0, false, false
}
