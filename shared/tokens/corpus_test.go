package tokens

import (
	"embed"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	tiktoken "github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"

	"spillway/shared/openai"
)

//go:embed testdata/corpus
var corpusFiles embed.FS

// corpus makes requests of the kinds that applications send, out of the
// paragraphs in testdata/corpus, and knows their true number of tokens. The same
// seed makes the same requests.
type corpus struct {
	t          testing.TB
	random     *rand.Rand
	paragraphs map[string][]string
	bpe        *tiktoken.Tiktoken
	// half keeps the texts apart that are learned from and judged by: 0 uses all
	// paragraphs, 1 the odd ones, 2 the even ones.
	half int
}

func newCorpus(t testing.TB, encoding encodingName, seed uint64) *corpus {
	t.Helper()
	c := &corpus{
		t:          t,
		random:     rand.New(rand.NewPCG(seed, 1)),
		paragraphs: map[string][]string{},
		bpe:        reference(t, encoding),
	}
	for _, kind := range []string{"english", "code", "json", "chinese", "japanese", "korean", "european"} {
		data, err := corpusFiles.ReadFile("testdata/corpus/" + kind + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		c.paragraphs[kind] = strings.Split(strings.TrimSpace(string(data)), "\n\n")
	}
	return c
}

// reference returns tiktoken as it is by itself, with the whole vocabulary that its own
// loader reads, built once for all tests, as the counter's of the same encoding is.
func reference(t testing.TB, encoding encodingName) *tiktoken.Tiktoken {
	t.Helper()
	ready(t, encoding)
	bpe, err := references[encoding]()
	if err != nil {
		t.Fatal(err)
	}
	return bpe
}

var references = map[encodingName]func() (*tiktoken.Tiktoken, error){
	o200k:  sync.OnceValues(func() (*tiktoken.Tiktoken, error) { return newReference(o200k) }),
	cl100k: sync.OnceValues(func() (*tiktoken.Tiktoken, error) { return newReference(cl100k) }),
	p50k:   sync.OnceValues(func() (*tiktoken.Tiktoken, error) { return newReference(p50k) }),
}

func newReference(name encodingName) (*tiktoken.Tiktoken, error) {
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe("https://contoso.com/" + string(name) + fileSuffix)
	if err != nil {
		return nil, err
	}
	known, err := tiktoken.GetEncoding(string(name))
	if err != nil {
		return nil, err
	}
	// Tiktoken shows the pattern of an encoding nowhere else.
	pattern := reflect.ValueOf(known).Elem().FieldByName("pbeEncoding").Elem().FieldByName("PatStr").String()
	core, err := tiktoken.NewCoreBPE(ranks, nil, pattern)
	return tiktoken.NewTiktoken(core, nil, nil), err
}

// ready waits until the shared counter has built an encoding.
func ready(t testing.TB, name encodingName) {
	t.Helper()
	e := shared.encodings[name]
	e.build()
	if <-e.built; e.bpe == nil {
		t.Fatalf("%s was not built", name)
	}
}

// shared is a Counter for tests that do not care whether it is built; building takes long.
var shared = NewCounter()

type chat struct {
	Model    string           `json:"model"`
	Messages []map[string]any `json:"messages"`
	Tools    any              `json:"tools,omitempty"`
}

// prompt is one request, and what a backend would say it took.
type prompt struct {
	kind    string
	request *openai.Request
	usage   openai.Usage
}

// next makes one request: of ten, three or four are conversations, two or three
// are about code, two hold JSON, one or two are in East Asian languages, the
// rest in European ones or with tools.
func (c *corpus) next() prompt {
	var texts []string
	add := func(parts ...string) { texts = append(texts, strings.Join(parts, "\n\n")) }
	some := func(kind string, n int) string { return c.text(kind, 1+c.random.IntN(n)) }
	var kind string
	tools := 0
	switch v := c.random.Float64(); {
	case v < 0.33:
		kind = "conversation"
		add(some("english", 2))
		for range 1 + c.random.IntN(7) {
			add(some("english", 3))
		}
	case v < 0.58:
		kind = "code"
		add(some("english", 1))
		for range 1 + c.random.IntN(3) {
			add(some("english", 1), some("code", 5))
		}
	case v < 0.78:
		kind = "json"
		add(some("english", 2))
		add(some("json", 8))
	case v < 0.91:
		kind = "east asian"
		language := []string{"chinese", "japanese", "korean"}[c.random.IntN(3)]
		add(some([]string{"english", language}[c.random.IntN(2)], 2))
		for range 1 + c.random.IntN(4) {
			add(some(language, 4))
		}
	case v < 0.96:
		kind = "european"
		add(some("english", 2))
		add(some("european", 4))
	default:
		kind = "tools"
		tools = 1 + c.random.IntN(4)
		add(some("english", 2))
		add(some("english", 2))
	}
	return c.prompt(kind, texts, tools)
}

// text joins n paragraphs of a kind.
func (c *corpus) text(kind string, n int) string {
	all := c.paragraphs[kind]
	var parts []string
	for range n {
		i := c.random.IntN(len(all))
		if c.half > 0 {
			i = i/2*2 + c.half - 1
		}
		parts = append(parts, all[min(i, len(all)-1)])
	}
	return strings.Join(parts, "\n\n")
}

func (c *corpus) prompt(kind string, texts []string, tools int) prompt {
	c.t.Helper()
	body := chat{Model: "gpt-4o"}
	tokens := int64(replyTokens)
	for i, text := range texts {
		role := []string{"user", "assistant"}[(i+1)%2]
		if i == 0 {
			role = "system"
		}
		body.Messages = append(body.Messages, map[string]any{"role": role, "content": text})
		tokens += 4 + int64(len(c.bpe.EncodeOrdinary(text)))
	}
	if tools > 0 {
		var list []any
		for range tools {
			list = append(list, tool(c.random.IntN(len(toolNames))))
		}
		body.Tools = list
		written, err := json.Marshal(list)
		if err != nil {
			c.t.Fatal(err)
		}
		tokens += int64(len(c.bpe.EncodeOrdinary(string(written))))
	}
	return prompt{kind, parse(c.t, body), openai.Usage{Prompt: tokens, Completion: 40 + c.random.Int64N(400)}}
}

func parse(t testing.TB, body any) *openai.Request {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, fault := openai.ParseRequest(openai.ChatCompletions, data)
	if fault != nil {
		t.Fatalf("%v in %s", fault, data)
	}
	return r
}

var toolNames = []string{"get_weather", "search_documents", "create_ticket", "convert_currency"}

// tool is a function as a client describes it.
func tool(i int) any {
	text := func(about string) any { return map[string]any{"type": "string", "description": about} }
	return map[string]any{"type": "function", "function": map[string]any{
		"name":        toolNames[i],
		"description": "Use this when the user asks for it; call it at most once per answer.",
		"parameters": map[string]any{
			"type": "object",
			"properties": map[string]any{
				"subject": text("What it is about, in the words of the user"),
				"unit":    map[string]any{"type": "string", "enum": []string{"metric", "imperial"}},
				"limit":   map[string]any{"type": "integer", "minimum": 1, "maximum": 50},
			},
			"required": []string{"subject"},
		},
	}}
}
