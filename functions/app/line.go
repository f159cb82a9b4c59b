package app

import (
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
	return append(b, ']')
}

// appendTexts appends the texts that are not empty.
func appendTexts(b []byte, r *usage.Record) []byte {
	for _, text := range [...]struct{ key, value string }{
		{`,"` + telemetry.KeyRequestID + `":`, r.RequestID},
		{`,"` + telemetry.KeyTraceID + `":`, r.TraceID},
		{`,"` + telemetry.KeyBackendID + `":`, r.BackendID},
		{`,"` + telemetry.KeyConsumer + `":`, r.Consumer},
		{`,"` + telemetry.KeyCredential + `":`, r.Credential},
		{`,"` + telemetry.KeyOperation + `":`, r.Operation},
		{`,"` + telemetry.KeyModel + `":`, r.Model},
		{`,"` + telemetry.KeyPool + `":`, r.Pool},
		{`,"` + telemetry.KeyBackend + `":`, r.Backend},
		{`,"` + telemetry.KeyDeployment + `":`, r.Deployment},
		{`,"` + telemetry.KeyRegion + `":`, r.Region},
		{`,"` + telemetry.KeyRefused + `":`, r.Refused},
		{`,"` + telemetry.KeyShadowed + `":`, r.Shadowed},
		{`,"` + telemetry.KeySpillover + `":`, r.Spillover},
		{`,"` + telemetry.KeyTags + `":`, r.Tags},
	} {
		if text.value != "" {
			b = appendText(append(b, text.key...), text.value)
		}
	}
	return b
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

// standsForItself tells whether a text needs no escapes in JSON.
func standsForItself(text string) bool {
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(text)
}

// appendMilliseconds keeps microseconds, and no more: finer digits are noise.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	micro := d.Microseconds()
	if micro < 0 {
		b, micro = append(b, '-'), -micro
	}
	b = strconv.AppendInt(b, micro/1000, 10)
	rest := byte(micro % 1000 / 10)
	switch last := byte(micro % 10); {
	case last != 0:
		return append(b, '.', '0'+rest/10, '0'+rest%10, '0'+last)
	case rest%10 != 0:
		return append(b, '.', '0'+rest/10, '0'+rest%10)
	case rest != 0:
		return append(b, '.', '0'+rest/10)
	}
	return b
}
