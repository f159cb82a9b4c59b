package export

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are what the environment asks for, as far as the SDK does not read it by
// itself, and what is wrong with the rest of it.
type settings struct {
	disabled   bool // OTEL_SDK_DISABLED
	prometheus bool
	metrics    bool // by OTLP
	traces     bool // by OTLP
	interval   time.Duration
	problems   []string
}

// defaultInterval is the specification's time between two exports of metrics.
const defaultInterval = time.Minute

// read reads the variables that the OpenTelemetry specification names. A wrong value
// never stops the gateway: it is a problem, told once, and what depends on it is not
// exported, or has its default.
func read(env func(string) string) settings {
	s := settings{interval: defaultInterval}
	switch strings.ToLower(env("OTEL_SDK_DISABLED")) {
	case "true":
		return settings{disabled: true}
	case "", "false":
	default:
		s.wrong("OTEL_SDK_DISABLED", "is neither true nor false, and taken for false")
	}
	exporters := s.exporters(env, "METRICS", "otlp", "prometheus")
	s.prometheus = !slices.Contains(exporters, "none")
	s.metrics = s.otlp(env, "METRICS", exporters)
	exporters = s.exporters(env, "TRACES", "otlp")
	s.traces = s.otlp(env, "TRACES", exporters)
	s.check(env)
	if ms, err := strconv.Atoi(env("OTEL_METRIC_EXPORT_INTERVAL")); err == nil && ms > 0 {
		s.interval = time.Duration(ms) * time.Millisecond
	}
	return s
}

func (s *settings) wrong(name, what string) {
	s.problems = append(s.problems, name+" "+what)
}

// exporters are those that OTEL_METRICS_EXPORTER, say, lists: those that are known,
// "none", and "unknown" for all others.
func (s *settings) exporters(env func(string) string, signal string, known ...string) []string {
	name := "OTEL_" + signal + "_EXPORTER"
	var listed []string
	for _, exporter := range strings.Split(env(name), ",") {
		switch exporter = strings.TrimSpace(exporter); {
		case exporter == "":
		case exporter == "none", slices.Contains(known, exporter):
			listed = append(listed, exporter)
		default:
			s.wrong(name, fmt.Sprintf("lists an exporter that is not known here; known are %s and none", strings.Join(known, ", ")))
			listed = append(listed, "unknown")
		}
	}
	return listed
}

// otlp tells whether a signal is to be exported by OTLP: if that is asked for, or an
// endpoint is named and nothing else is asked for. The specification's own default,
// to export to this machine unasked, would fill the log of whoever has no collector.
func (s *settings) otlp(env func(string) string, signal string, exporters []string) bool {
	first := func(what string) (name, value string) {
		name = "OTEL_EXPORTER_OTLP_" + signal + "_" + what
		if value = env(name); value == "" {
			name = "OTEL_EXPORTER_OTLP_" + what
			value = env(name)
		}
		return name, strings.TrimSpace(value)
	}
	name, endpoint := first("ENDPOINT")
	if !slices.Contains(exporters, "otlp") && (endpoint == "" || len(exporters) > 0) {
		return false
	}
	not := "; " + strings.ToLower(signal) + " are not exported"
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			s.wrong(name, "is no URL that begins with http:// or https://"+not)
			return false
		}
	}
	if name, protocol := first("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		s.wrong(name, "asks for a protocol that is not known here; http/protobuf is, which collectors take on port 4318"+not)
		return false
	}
	name, headers := first("HEADERS")
	for _, header := range strings.Split(headers, ",") {
		if key, _, ok := strings.Cut(header, "="); headers != "" && (!ok || strings.TrimSpace(key) == "") {
			s.wrong(name, "is no list of NAME=VALUE, separated by commas; what cannot be read of it is not sent")
			break
		}
	}
	return true
}

// milliseconds are the variables that are whole numbers above zero.
var milliseconds = []string{
	"OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT",
	"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
	"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
}

var samplers = []string{
	"", "always_on", "always_off", "traceidratio",
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

// check tells what the SDK would pass over in silence.
func (s *settings) check(env func(string) string) {
	for _, name := range milliseconds {
		if value := env(name); value != "" {
			if n, err := strconv.Atoi(value); err != nil || n <= 0 {
				s.wrong(name, "is no whole number above 0, and has its default")
			}
		}
	}
	sampler := strings.ToLower(strings.TrimSpace(env("OTEL_TRACES_SAMPLER")))
	if !slices.Contains(samplers, sampler) {
		s.wrong("OTEL_TRACES_SAMPLER", "is none of"+strings.Join(samplers, " ")+", and taken for parentbased_always_on")
	}
	if arg := env("OTEL_TRACES_SAMPLER_ARG"); arg != "" && strings.HasSuffix(sampler, "ratio") {
		if share, err := strconv.ParseFloat(strings.TrimSpace(arg), 64); err != nil || !(share >= 0 && share <= 1) {
			s.wrong("OTEL_TRACES_SAMPLER_ARG", "is no number from 0 to 1, and taken for 1")
		}
	}
}
