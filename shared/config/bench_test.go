package config

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// manyConsumers is base with n consumers more, each with two keys, a model and
// a few limits.
func manyConsumers(n int) []byte {
	var b strings.Builder
	b.WriteString(base)
	for i := range n {
		fmt.Fprintf(&b, "  - name: consumer-%d\n    keys:\n", i)
		for j := range 2 {
			fmt.Fprintf(&b, "      - sha256:%x\n", sha256.Sum256(fmt.Appendf(nil, "%d %d", i, j)))
		}
		b.WriteString("    models: [gpt-4o]\n    tokensPerMinute: 20000\n    requestsPerMinute: 100\n" +
			"    quotas: [{ tokens: 5000000, per: month }]\n    modelLimits:\n      - { model: gpt-4o, tokensPerMinute: 10000 }\n")
	}
	return []byte(b.String())
}

// The time to parse a file of 10,000 consumers, and what of its memory stays:
// the values alone, not the tree they were read from.
func BenchmarkParse10000Consumers(b *testing.B) {
	text := manyConsumers(10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var config *Config
	for b.Loop() {
		var err error
		if config, err = Parse("gateway.yaml", text, env); err != nil {
			b.Fatal(err)
		}
	}
	with := heap()
	runtime.KeepAlive(config)
	config = nil
	b.ReportMetric(float64(with-heap())/10_000, "kept-B/consumer")
}

// heap is the size of all that is reachable, in bytes.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// The time to check one consumer against a file of 10,000, after the first
// check.
func BenchmarkCheckConsumerAmong10000(b *testing.B) {
	config, err := Parse("gateway.yaml", manyConsumers(10_000), env)
	if err != nil {
		b.Fatal(err)
	}
	consumer, err := ParseConsumer("team-c", []byte("keys: [hush-0123456789abcdef, hush-0123456789abcdeg]\nmodels: [gpt-4o]"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := config.CheckConsumer(consumer); err != nil {
			b.Fatal(err)
		}
	}
}

// The time to read one consumer from its row, and to write it.
func BenchmarkParseConsumer(b *testing.B) {
	consumer, err := ParseConsumer("team-c", []byte("keys: [hush-0123456789abcdef, hush-0123456789abcdeg]\nmodels: [gpt-4o]\ntokensPerMinute: 500\nquotas: [{ tokens: 5, per: day }]"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseConsumer("team-c", consumer.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}
