package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"spillway/tests/bench/report"
)

// here is the machine, the moment, and what took part.
func here(versions []string) report.Setting {
	return report.Setting{
		Machine: fmt.Sprintf("%s, %d processors, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		Go:      runtime.Version(),
		Date:    time.Now(),

		Versions: versions,
	}
}

// processor returns the model of the processor as Linux tells it.
func processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
