package tokens

import (
	"testing"

	"spillway/shared/openai"
)

func BenchmarkEstimate(b *testing.B) {
	c := newCorpus(b, o200k, 1)
	for _, size := range []struct {
		name  string
		bytes int
	}{{"2KB", 2 << 10}, {"400KB", 400 << 10}} {
		for _, kind := range []string{"english", "json", "chinese"} {
			r := ask(b, repeat(c.text(kind, 3)+"\n\n", size.bytes))
			e := New("gpt-4o")
			b.Run(size.name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					e.Estimate("gpt-4o", r)
				}
			})
		}
	}
}

func BenchmarkLearn(b *testing.B) {
	e := New("gpt-4o")
	p := newCorpus(b, o200k, 1).next()
	estimate := e.Estimate("gpt-4o", p.request)
	b.ReportAllocs()
	for b.Loop() {
		e.Learn("gpt-4o", estimate, p.usage)
	}
}

func BenchmarkAzureCharge(b *testing.B) {
	r := &openai.Request{Text: openai.Text{ASCII: 1000}, HasMaxTokens: true, MaxTokens: 100, N: 1}
	b.ReportAllocs()
	for b.Loop() {
		AzureCharge(r)
	}
}

// BenchmarkCount prints what the worst texts found cost, at the cap and far
// beyond it: none may take more than 50 ms.
func BenchmarkCount(b *testing.B) {
	texts := map[string]string{"English": "The reservation is made before the request leaves the building. "}
	for name, unit := range unbroken {
		texts[name] = unit
	}
	models := map[encodingName]string{o200k: "gpt-4o", cl100k: "gpt-4", p50k: "davinci"}
	for _, encoding := range []encodingName{o200k, cl100k, p50k} {
		ready(b, encoding)
		for name, unit := range texts {
			for size, bytes := range map[string]int{"32KiB": exactBytes, "32MiB": 32 << 20} {
				text := []byte(repeat(unit, bytes))
				b.Run(string(encoding)+"/"+name+"/"+size, func(b *testing.B) {
					for b.Loop() {
						shared.Count(models[encoding], text)
					}
				})
			}
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, name := range []encodingName{o200k, cl100k, p50k} {
		b.Run(string(name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readVocabulary(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
