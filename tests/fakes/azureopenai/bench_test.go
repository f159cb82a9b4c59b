package azureopenai_test

import (
	"io"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// BenchmarkInMemory is what one simulated request costs.
func BenchmarkInMemory(b *testing.B) {
	for _, test := range []struct{ name, path, body string }{
		{"plain", chatPath, hello}, {"stream", chatPath, streamed}, {"response", responsesPath, ask}, {"response stream", responsesPath, askStream},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := one(azureopenai.Deployment{Output: &azureopenai.Output{Exact: 50}}, func(o *azureopenai.Options) { o.RecordRequests = -1 })
			for b.Loop() {
				resp, err := trySend(b.Context(), s, test.path, test.body)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}
