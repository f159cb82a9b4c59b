package app

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"spillway/shared/telemetry"
	"spillway/shared/usage"
)

// appendFields appends the fields of a request's line as they stand in JSON, from the
// value of its status on. Every request leaves a line: this takes half of the time of as
// many calls of a zerolog.Event.
func appendFields(b []byte, r *usage.Record) []byte {
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = appendTexts(b, r)
	b = strconv.AppendBool(append(b, `,"`+telemetry.KeyStream+`":`...), r.Stream)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyEstimated+`":`...), r.Estimated, 10)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyPrompt+`":`...), r.Tokens.Prompt, 10)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyCached+`":`...), r.Tokens.Cached, 10)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyCompletion+`":`...), r.Tokens.Completion, 10)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyReasoning+`":`...), r.Tokens.Reasoning, 10)
	b = strconv.AppendBool(append(b, `,"`+telemetry.KeyMeasured+`":`...), r.Measured)
	b = appendMilliseconds(append(b, `,"`+telemetry.KeyWaited+`":`...), r.Waited)
	b = appendMilliseconds(append(b, `,"`+telemetry.KeyFirstByte+`":`...), r.FirstByte)
	b = appendMilliseconds(append(b, `,"`+telemetry.KeyDuration+`":`...), r.Duration)
	b = append(b, `,"`+telemetry.KeyAttempts+`":[`...)
	for i := range r.Attempts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAttempt(b, &r.Attempts[i])
	}
	return appendDecimal(append(b, `],"`+telemetry.KeyCost+`":`...), usage.NanosOf(r.Cost), usage.Nano)
}

// appendTexts appends the texts that are not empty.
func appendTexts(b []byte, r *usage.Record) []byte {
	b = appendField(b, `,"`+telemetry.KeyRequestID+`":`, r.RequestID)
	b = appendField(b, `,"`+telemetry.KeyTraceID+`":`, r.TraceID)
	b = appendField(b, `,"`+telemetry.KeyBackendID+`":`, r.BackendID)
	b = appendField(b, `,"`+telemetry.KeyConsumer+`":`, r.Consumer)
	b = appendField(b, `,"`+telemetry.KeyCredential+`":`, r.Credential)
	b = appendField(b, `,"`+telemetry.KeyOperation+`":`, r.Operation)
	b = appendField(b, `,"`+telemetry.KeyModel+`":`, r.Model)
	b = appendField(b, `,"`+telemetry.KeyPool+`":`, r.Pool)
	b = appendField(b, `,"`+telemetry.KeyBackend+`":`, r.Backend)
	b = appendField(b, `,"`+telemetry.KeyDeployment+`":`, r.Deployment)
	b = appendField(b, `,"`+telemetry.KeyRegion+`":`, r.Region)
	b = appendField(b, `,"`+telemetry.KeyRefused+`":`, r.Refused)
	b = appendField(b, `,"`+telemetry.KeyShadowed+`":`, r.Shadowed)
	b = appendField(b, `,"`+telemetry.KeySpillover+`":`, r.Spillover)
	return appendField(b, `,"`+telemetry.KeyTags+`":`, r.Tags)
}

// appendField appends a text that is not empty.
func appendField(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(append(b, key...), text)
}

func appendAttempt(b []byte, a *usage.Attempt) []byte {
	b = appendText(append(b, `{"`+telemetry.KeyDeployment+`":`...), a.Deployment)
	b = strconv.AppendInt(append(b, `,"`+telemetry.KeyStatus+`":`...), int64(a.Status), 10)
	b = appendText(append(b, `,"`+telemetry.KeyReason+`":`...), a.Reason)
	b = appendMilliseconds(append(b, `,"`+telemetry.KeyDuration+`":`...), a.Duration)
	if a.Prompt > 0 {
		b = strconv.AppendInt(append(b, `,"`+telemetry.KeyPrompt+`":`...), a.Prompt, 10)
	}
	return append(b, '}')
}

// appendText appends a text with its quotes.
func appendText(b []byte, text string) []byte {
	if !standsForItself(text) {
		quoted, _ := json.Marshal(text) // never fails for a text
		return append(b, quoted...)
	}
	return append(append(append(b, '"'), text...), '"')
}

// What a byte asks of the text that it stands in.
const (
	escapes byte = 1 << iota // In JSON it does not stand for itself.
	decodes                  // It is of a character beyond ASCII: is that one?
)

// asks are what each byte asks. A line has some 150 bytes of texts: to look each up takes
// three quarters of the time of comparisons, or half where other work shares the core.
var asks = func() (asks [256]byte) {
	for c := range asks {
		switch {
		case c < ' ', c == '"', c == '\\':
			asks[c] = escapes
		case c >= utf8.RuneSelf:
			asks[c] = decodes
		}
	}
	return asks
}()

// standsForItself tells whether a text needs no escapes in JSON.
func standsForItself(text string) bool {
	var asked byte
	for i := range len(text) {
		asked |= asks[text[i]]
	}
	return asked == 0 || asked == decodes && utf8.ValidString(text)
}

// appendMilliseconds keeps microseconds, and no more: finer digits are noise.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	return appendDecimal(b, d.Microseconds(), 1000)
}

// appendDecimal appends n parts of a unit that has so many, a power of ten.
func appendDecimal(b []byte, n, unit int64) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/unit, 10)
	if n %= unit; n == 0 {
		return b
	}
	point := len(b)
	b = strconv.AppendInt(b, unit+n, 10) // the 1 before all of the fraction's digits is where the point belongs
	b[point] = '.'
	return bytes.TrimRight(b, "0")
}
