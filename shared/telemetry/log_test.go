package telemetry_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/telemetry"
)

// Each line says the second in which it was written.
func TestTimeOfALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out)
		for _, pause := range []time.Duration{0, time.Millisecond, time.Second, time.Hour} {
			pass(pause)
			out.Reset()
			log.Info().Msg("")
			var line struct{ Time time.Time }
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			if got, want := line.Time, time.Now().Truncate(time.Second); !got.Equal(want) {
				t.Errorf("%v later: got %v, want %v", pause, got, want)
			}
		}
	})
}
