package otlp

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// Metric is an instrument's values as they were last sent.
type Metric struct {
	Name, Unit string
	Kind       string            // "sum", "gauge" or "histogram"
	Resource   map[string]string // whose it is
	Points     []Point
}

// Point is a value at one set of attributes. Attributes that are no text are written
// as one.
type Point struct {
	Attributes map[string]string
	Value      float64 // of a histogram: the sum
	Count      uint64  // of a histogram
}

// Span is a span that has ended.
type Span struct {
	Name, Kind           string // the kind as in the protocol: "SPAN_KIND_SERVER"
	Trace, ID, Parent    string // in hexadecimal digits; an empty Parent: none
	State                string
	Failed               bool // its status is an error
	Start, End           time.Time
	Attributes, Resource map[string]string
}

// Metrics are all that were sent, as of the last time.
func (c *Collector) Metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.metrics)
}

// Metric is the one of that name; its zero value if it was not sent.
func (c *Collector) Metric(name string) Metric {
	for _, m := range c.Metrics() {
		if m.Name == name {
			return m
		}
	}
	return Metric{}
}

// Spans are all that were sent, in the order that they came in.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Find is the point that has all of the attributes, of which there must be one.
func (m Metric) Find(attributes map[string]string) (Point, error) {
	var found []Point
	for _, p := range m.Points {
		fits := true
		for key, value := range attributes {
			fits = fits && p.Attributes[key] == value
		}
		if fits {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return Point{}, fmt.Errorf("otlp: %s has %d points with %v, among %v", m.Name, len(found), attributes, m.Points)
	}
	return found[0], nil
}

// keepMetrics replaces what was sent before. The lock must be held.
func (c *Collector) keepMetrics(request *collectormetrics.ExportMetricsServiceRequest) {
	for _, resource := range request.GetResourceMetrics() {
		of := texts(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				kept := newMetric(m)
				kept.Resource = of
				c.metrics = slices.DeleteFunc(c.metrics, func(old Metric) bool {
					return old.Name == kept.Name && old.Resource["service.instance.id"] == of["service.instance.id"]
				})
				c.metrics = append(c.metrics, kept)
			}
		}
	}
}

func newMetric(m *metrics.Metric) Metric {
	made := Metric{Name: m.GetName(), Unit: m.GetUnit()}
	numbers := func(kind string, points []*metrics.NumberDataPoint) {
		made.Kind = kind
		for _, p := range points {
			value := p.GetAsDouble()
			if whole, ok := p.GetValue().(*metrics.NumberDataPoint_AsInt); ok {
				value = float64(whole.AsInt)
			}
			made.Points = append(made.Points, Point{Attributes: texts(p.GetAttributes()), Value: value})
		}
	}
	switch data := m.GetData().(type) {
	case *metrics.Metric_Sum:
		numbers("sum", data.Sum.GetDataPoints())
	case *metrics.Metric_Gauge:
		numbers("gauge", data.Gauge.GetDataPoints())
	case *metrics.Metric_Histogram:
		made.Kind = "histogram"
		for _, p := range data.Histogram.GetDataPoints() {
			made.Points = append(made.Points, Point{texts(p.GetAttributes()), p.GetSum(), p.GetCount()})
		}
	}
	return made
}

// keepSpans adds what was sent. The lock must be held.
func (c *Collector) keepSpans(request *collectortrace.ExportTraceServiceRequest) {
	for _, resource := range request.GetResourceSpans() {
		of := texts(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Name: s.GetName(), Kind: s.GetKind().String(),
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					State:  s.GetTraceState(),
					Failed: s.GetStatus().GetCode().String() == "STATUS_CODE_ERROR",
					Start:  time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attributes: texts(s.GetAttributes()), Resource: of,
				})
			}
		}
	}
}

// texts are attributes, each value written as a text.
func texts(attributes []*common.KeyValue) map[string]string {
	all := make(map[string]string, len(attributes))
	for _, a := range attributes {
		switch value := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = value.StringValue
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = strconv.FormatInt(value.IntValue, 10)
		case *common.AnyValue_DoubleValue:
			all[a.GetKey()] = strconv.FormatFloat(value.DoubleValue, 'g', -1, 64)
		case *common.AnyValue_BoolValue:
			all[a.GetKey()] = strconv.FormatBool(value.BoolValue)
		default:
			all[a.GetKey()] = fmt.Sprint(value)
		}
	}
	return all
}
