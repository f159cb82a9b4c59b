package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/wrk"
)

// prompts measures what a large prompt costs, against copying it.
type prompts struct {
	*traffic
	rounds int
	each   time.Duration
}

func (prompts) name() string { return "prompts" }

func (prompts) about() string {
	return "processor time of large prompts, against ReverseProxy, which copies them"
}

// promptSizes are in bytes.
var promptSizes = []int{100_000, 1_000_000}

// prompt is a request whose text has about so many bytes: words, quotes, line ends and
// some letters that are not ASCII, as documents have them.
func prompt(size int) []byte {
	words := strings.Fields("the of capacity and a request in to gateway is was für that it he window with as naïve on be at by tokens I this had not are but from or have an they which one you")
	random := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString(`{"model":"gpt-4o","max_tokens":16,"messages":[{"role":"user","content":"`)
	for n := 1; b.Len() < size; n++ {
		b.WriteString(words[random.IntN(len(words))])
		switch {
		case n%97 == 0:
			b.WriteString(`.\n\n`)
		case n%31 == 0:
			b.WriteString(` \"quoted\" `)
		default:
			b.WriteByte(' ')
		}
	}
	b.WriteString(`"}]}`)
	return []byte(b.String())
}

func (p prompts) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := p.reading(ctx, p.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := p.entries(ctx, folder, upstream, direct, nginx, reverseProxy, spillway, portkey)
	defer stopAll(entries)
	const connections = 4
	var result report.Result
	for _, size := range promptSizes {
		body := prompt(size)
		c := play(ctx, progress, entries, p.rounds, func(ctx context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
			t, err := upstream.Requests(ctx, c, p.tools.wrk, wrk.Load{Body: body, Connections: connections, For: p.each})
			return t, load.Rules{}, err
		})
		result = promptsResult(result, &c, size)
	}
	result.Title = fmt.Sprintf("prompts of words, answered with 276 bytes by an upstream that reads them first; %d connections; %d rounds of %v, in turns", connections, p.rounds, p.each)
	return result, nil
}

// promptsResult adds what was seen of prompts of one size.
func promptsResult(to report.Result, c *contest, size int) report.Result {
	r := c.table("", []column{perRequest, rate, median, p99}, reverseProxy)
	what := fmt.Sprintf("prompt of %d kB", size/1000)
	to.Columns = append([]string{"prompt"}, r.Columns...)
	for _, row := range r.Rows {
		to.Rows = append(to.Rows, append([]string{what}, row...))
	}
	for _, why := range r.Voids {
		to.Voids = append(to.Voids, what+": "+why)
	}
	ratio, ok := c.ratio(spillway, reverseProxy, load.Turn.PerRequest)
	to.Goals = append(to.Goals, goal("processor time of a "+what+", as a multiple of httputil.ReverseProxy's", ratio, ok, 2, hundredths))
	figures, _ := to.Figures.(map[string]any)
	if figures == nil {
		figures = make(map[string]any)
	}
	figures[what] = c.turns
	to.Figures = figures
	return to
}
