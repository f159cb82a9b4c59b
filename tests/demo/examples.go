package main

import (
	"fmt"
	"strings"
)

// example is something to paste into a terminal, or into a program.
type example struct {
	title string
	lines []string
}

// examples are calls of this stage. Each line works as it is.
func (s *stage) examples(o options) []example {
	parts := []example{
		{"A completion, by Azure's path; paste it into another terminal", []string{s.plain()}},
		{"A streamed one, by OpenAI's path", []string{s.streamed()}},
		{"The same with the openai package for Python", []string{
			`from openai import OpenAI`,
			fmt.Sprintf(`client = OpenAI(base_url="%s/v1", api_key="%s")`, s.endpoint, s.key),
			fmt.Sprintf(`print(client.chat.completions.create(model="%s", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)`, model),
		}},
		{"Fill the PTU, and see who answers", []string{s.burst()}},
	}
	if o.load == 0 {
		return append(parts, example{"Or let it simulate ten users", []string{"go run ./tests/demo --load 10"}})
	}
	return parts
}

// plain is a call of the plain kind.
func (s *stage) plain() string {
	return curl("-sS", s.endpoint+"/openai/deployments/"+model+"/chat/completions?api-version=2024-10-21", "api-key: "+s.key,
		`{"messages":[{"role":"user","content":"Why is the sky blue?"}],"max_tokens":100}`)
}

// streamed is a call whose answer comes word by word.
func (s *stage) streamed() string {
	return curl("-sSN", s.endpoint+"/v1/chat/completions", "Authorization: Bearer "+s.key,
		`{"model":"`+model+`","stream":true,"messages":[{"role":"user","content":"Why is the sky blue?"}],"max_tokens":100}`)
}

// burst is forty calls at once, which together are worth more than a minute of
// the PTU. It prints the backend of each.
func (s *stage) burst() string {
	call := curl("-si", s.endpoint+"/v1/chat/completions", "Authorization: Bearer "+s.key,
		`{"model":"`+model+`","messages":[{"role":"user","content":"Hello"}],"max_tokens":400}`)
	return "(for i in $(seq 40); do " + call + " | grep -i '^x-spillway-backend' & done; wait)"
}

// curl is the call as one line of a POSIX shell.
func curl(flags, url, header, body string) string {
	return strings.Join([]string{"curl", flags, quote(url), "-H", quote(header), "-H", quote("Content-Type: application/json"), "-d", quote(body)}, " ")
}

// quote makes one word of a shell's line out of any text.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
