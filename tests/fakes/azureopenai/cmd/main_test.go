package main

import (
	"reflect"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

func TestParse(t *testing.T) {
	o, listen, err := parse([]string{"--listen", "127.0.0.1:9001", "--name", "ptu", "--tpm", "10000", "--mode", "sliding", "--first-byte", "300ms",
		"--deployment", "gpt-4o:rpm=60,model=gpt-4o-2024-08-06", "--deployment", "mini:tpm=50000,mode=ptu,burst=10s,phase=5s,context=8192", "--retry", "ms", "--header-reset", "duration"})
	if err != nil {
		t.Fatal(err)
	}
	want := []azureopenai.Deployment{
		{Name: "gpt-4o", Model: "gpt-4o-2024-08-06", TokensPerMinute: 10000, RequestsPerMinute: 60, Limiter: azureopenai.Sliding},
		{Name: "mini", TokensPerMinute: 50000, Limiter: azureopenai.PTU, Burst: 10 * time.Second, Phase: 5 * time.Second, ContextTokens: 8192},
	}
	if !reflect.DeepEqual(o.Deployments, want) {
		t.Errorf("deployments %+v", o.Deployments)
	}
	if listen != "127.0.0.1:9001" || o.Name != "ptu" || o.Latency.FirstByte != 300*time.Millisecond || o.Retry != azureopenai.RetryMillis || o.Headers.Reset != azureopenai.HeaderDuration {
		t.Errorf("listen %s, options %+v", listen, o)
	}
	o, _, err = parse([]string{"--background-queued", "1s", "--background-running", "2s", "--batch-manual", "--dated", "2026-01-02T03:04:05Z", "--bytes", "4096"})
	if err != nil || o.Background != (azureopenai.Pace{Queued: time.Second, Running: 2 * time.Second}) || !o.Batches.Manual || o.Dated.Year() != 2026 || o.Output.Bytes != 4096 {
		t.Errorf("options %+v, %v", o, err)
	}
	if o, _, err = parse(nil); err != nil || len(o.Deployments) != 1 || o.Deployments[0].Name != "gpt-4o" {
		t.Errorf("defaults: %+v, %v", o, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, args := range [][]string{
		{"--mode", "magic"}, {"extra"}, {"--deployment", "a:tpm=x"}, {"--deployment", "a:color=red"}, {"--deployment", ""},
		{"--deployment", "a", "--deployment", "a"}, {"--retry", "soon"}, {"--mode", "ptu"}, {"--deployment", "a:phase=60s"},
		{"--dated", "today"}, {"--background-queued", "-1s"},
	} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
}

// FuzzDeployment: whatever is written, parsing ends with a deployment that has
// the name before the colon, or an error.
func FuzzDeployment(f *testing.F) {
	f.Add("gpt-4o:tpm=10,rpm=2,mode=ptu")
	f.Add(":,=,")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := deployment(azureopenai.Deployment{}, text)
		if name := d.Name; err == nil && len(name) < len(text) && text[len(name)] != ':' {
			t.Errorf("%q: name %q", text, name)
		}
	})
}
