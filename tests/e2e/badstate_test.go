package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
)

// A connection string that cannot be meant ends the start with an error that
// names the mistake, and not the key.
func TestConnectionStringsThatCannotBeRead(t *testing.T) {
	const key = "c2VjcmV0LW9mLXRoZS1hY2NvdW50"
	tests := []struct {
		name, connection string
		says             []string
	}{
		{"a part without a value", "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey", []string{"connection", "name=value"}},
		{"no name", "DefaultEndpointsProtocol=https;AccountKey=" + key, []string{"connection"}},
		{"no key", "DefaultEndpointsProtocol=https;AccountName=contoso", []string{"connection", "AccountKey"}},
		{"a key that is cut", "AccountName=contoso;AccountKey=" + key[:len(key)-3] + "!", []string{"connection", "AccountKey"}},
		{"an endpoint that is none", "AccountName=contoso;AccountKey=" + key + ";TableEndpoint=contoso.table.core.windows.net", []string{"connection", "endpoint"}},
		{"a key alone", key, []string{"connection"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := settings()
			for _, name := range []string{"METERED", "PACED", "FRAIL", "PAYG"} {
				env[name] = "http://127.0.0.1:9"
			}
			env["STORAGE"], env["TABLE"], env["POLICY"] = test.connection, "state", "allow"
			p := launch(t, plant, env)
			if code := p.exitCode(t); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			said := p.output.String()
			for _, part := range test.says {
				if !strings.Contains(strings.ToLower(said), strings.ToLower(part)) {
					t.Errorf("it does not say %q: %s", part, said)
				}
			}
			if strings.Contains(said, key[:12]) || strings.Contains(said, "goroutine") {
				t.Errorf("it panics or tells the key: %s", said)
			}
		})
	}
}

// A table that cannot be used, though its address can be read, keeps nobody from
// starting and serving. One line says what is wrong.
func TestTableThatCannotBeUsed(t *testing.T) {
	needsFleet(t)
	storage := azurite.Start(t)
	tests := []struct {
		name, storage string
		says          []string
	}{
		{"the wrong key", strings.Replace(storage, "AccountKey=", "AccountKey=AAAA", 1), []string{"403", "key"}},
		{"nobody listens", strings.Replace(storage, "TableEndpoint="+endpointOf(storage), "TableEndpoint="+deadEndpoint(t)+"/devstoreaccount1", 1), []string{"connect"}},
		{"a signature that has no right to write", sharedAccess(t, storage, "rl", time.Hour), []string{"403", "permission"}},
		{"a signature that has expired", sharedAccess(t, storage, "rwdlacu", -time.Hour), []string{"403", "expired"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// It exists: what is tried is to use it.
			if _, err := table(t, storage, tableOf(t, "allow")).CreateTable(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			f := startFleet(t, fleetOptions{instances: 1, policy: "allow", storage: test.storage})
			l := f.load(t, false, "metered", "paced", "frail")
			for _, p := range f.instances {
				p.awaitEvent(t, "the shared state cannot be used", func(e event) bool { return e.Event == "state_unusable" })
				for _, e := range p.events("state_unusable") {
					for _, part := range test.says {
						if !strings.Contains(e.Reason, part) {
							t.Errorf("it does not say %q: %+v", part, e)
						}
					}
				}
			}
			await.Until(t, time.Now().Add(5*time.Second))
			all := l.stop()
			allGood(t, all)
			recorded(t, all)
			for _, p := range f.instances {
				said := p.output.String()
				for _, secret := range []string{"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50u", "sig="} {
					if strings.Contains(said, secret) {
						t.Errorf("it tells %s", secret)
					}
				}
				if n := len(p.events("state_unusable")); n != 1 {
					t.Errorf("it says %d times that the shared state cannot be used, want once", n)
				}
				t.Logf("of %d lines, for %d requests, %d are warnings", len(p.output.Lines()), len(all), strings.Count(said, `"level":"warn"`))
			}
		})
	}
}

// endpointOf is the address of the tables in a connection string.
func endpointOf(connection string) string {
	_, rest, _ := strings.Cut(connection, "TableEndpoint=")
	endpoint, _, _ := strings.Cut(rest, ";")
	return endpoint
}

// sharedAccess is a connection string with a signature that gives these rights,
// in the letters of the service, for so long.
func sharedAccess(t *testing.T, connection, rights string, life time.Duration) string {
	t.Helper()
	_, rest, _ := strings.Cut(connection, "AccountKey=")
	key, _, _ := strings.Cut(rest, ";")
	credential, err := aztables.NewSharedKeyCredential("devstoreaccount1", key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := aztables.AccountSASSignatureValues{
		Version: aztables.SASVersion, Protocol: aztables.SASProtocolHTTPSandHTTP, Permissions: rights, Services: "t", ResourceTypes: "sco",
		StartTime: time.Now().Add(-2 * time.Hour).UTC(), ExpiryTime: time.Now().Add(life).UTC(),
	}.Sign(credential)
	if err != nil {
		t.Fatal(err)
	}
	return "TableEndpoint=" + endpointOf(connection) + ";SharedAccessSignature=" + signed.Encode()
}

// A table that is deleted while it is in use comes back with the next write. All counts
// are lost: those of the window in which that happens, and of the next one what was
// taken ahead. Those after it are exact.
func TestTableIsDeleted(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{instances: 2})
	l := f.load(t, false, "metered", "paced")
	await.That(t, "the limits are used", func() bool { return f.used(paced, time.Now()) > 8 })
	deleted := time.Now()
	await.That(t, "the table is deleted", func() bool { // a connection that was idle may just be closed
		_, err := f.table(t).Delete(t.Context(), nil)
		return err == nil
	})
	await.That(t, "an instance has created the table again", func() bool {
		return len(f.instances[0].events("state_lost"))+len(f.instances[1].events("state_lost")) > 0
	})
	created := time.Now()
	whole := func(length time.Duration) time.Time { return created.Truncate(length).Add(2 * length) }
	f.awaitExact(t, 1, whole(slice))
	all := l.stop()
	allGood(t, all)
	recorded(t, all)
	f.exact(t, func(start, end time.Time) bool { return end.Before(deleted) || !start.Before(whole(end.Sub(start))) })
}

// A row that somebody else has written, so that it makes no sense or is of
// another format, is told and left alone: its limit falls back to its policy, and
// all others go on. When it is taken away the limit is shared again.
func TestRowsOfOthers(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{instances: 2})
	l := f.load(t, false, "metered", "paced")
	await.That(t, "both limits are used", func() bool { return f.used(paced, time.Now()) > 8 && f.used(metered, time.Now()) > 0 })
	began := time.Now()
	tomorrow := began.Add(24 * time.Hour).Truncate(time.Minute)
	for _, foreign := range []struct {
		column, value, says string
	}{
		{"Granted", "lots", "Granted"},
		{"Window", fmt.Sprint(tomorrow.Unix()), "ahead"},
		{"Format", "2", "Format"},
	} {
		whole := rows(t, f.table(t), "requests")[0]
		written := f.overwrite(t, "requests", func(row map[string]any) {
			row[foreign.column] = foreign.value
			if foreign.value == "lots" {
				delete(row, foreign.column+"@odata.type")
			}
		})
		for _, p := range f.instances {
			p.awaitEvent(t, "the row is unusable for its "+foreign.column, func(e event) bool {
				return e.Event == "row_unusable" && strings.Contains(e.Limit, "paced") && strings.Contains(e.Reason, foreign.says)
			})
		}
		if row := rows(t, f.table(t), "requests")[0]; row["odata.etag"] != written {
			t.Errorf("the row was written over: %v", row)
		}
		f.overwrite(t, "requests", func(row map[string]any) {
			row[foreign.column], row[foreign.column+"@odata.type"] = whole[foreign.column], whole[foreign.column+"@odata.type"]
		})
	}
	mended := time.Now()
	next := mended.Add(5 * time.Second).Truncate(slice).Add(slice) // the row is asked for again within 5 s
	f.awaitExact(t, 1, next)
	all := l.stop()
	allGood(t, all)
	recorded(t, all)
	f.exact(t, func(start, end time.Time) bool { return end.Before(began) || start.After(mended) })
	for _, w := range f.windows(metered) {
		if w.surely > minuteTokens {
			t.Errorf("%d of %d tokens were used of the limit that nobody had touched", w.surely, minuteTokens)
		}
	}
}

// overwrite changes the row of a limit, whatever others write meanwhile, and
// returns its new version.
func (f *fleet) overwrite(t *testing.T, limit string, edit func(map[string]any)) string {
	t.Helper()
	row := rows(t, f.table(t), limit)[0]
	edit(row)
	for name := range row {
		if strings.HasPrefix(name, "odata.") || name == "Timestamp" {
			delete(row, name)
		}
	}
	body, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	anyVersion := azcore.ETagAny
	answer, err := f.table(t).UpdateEntity(t.Context(), body, &aztables.UpdateEntityOptions{IfMatch: &anyVersion, UpdateMode: aztables.UpdateModeReplace})
	if err != nil {
		t.Fatal(err)
	}
	return string(answer.ETag)
}

// A breaker's row in another format is left alone: each instance decides by
// itself, and says so.
func TestBreakerRowOfAnotherFormat(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{instances: 2})
	frail := f.backends["frail"]
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	l := f.load(t, false, "frail")
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has opened", func(e event) bool { return e.Event == "breaker_opened" })
	}
	await.That(t, "the breaker has a row", func() bool { return len(rows(t, f.table(t), "breaker")) > 0 })
	f.overwrite(t, "breaker", func(row map[string]any) { row["Format"] = "2" })
	for _, p := range f.instances {
		p.awaitEvent(t, "the row is not its own", func(e event) bool { return strings.Contains(e.Reason, "format") })
	}
	written := rows(t, f.table(t), "breaker")[0]
	frail.Clear()
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has closed", func(e event) bool { return e.Event == "breaker_closed" })
	}
	allGood(t, l.stop())
	if row := rows(t, f.table(t), "breaker")[0]; row["odata.etag"] != written["odata.etag"] {
		t.Errorf("the row was written over: %v, it was %v", row, written)
	}
}
