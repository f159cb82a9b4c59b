package main

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"spillway/functions/app"
	"spillway/shared/config"
	report "spillway/shared/usage"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/azurite"
)

// tables is a configuration whose state is in a table.
const tables = valid + `state: { store: tables, connection: "${TABLES}", table: %s }` + "\n"

// Wrong flags are told with their mend before anything is read; state in memory and a
// configuration that is missing are failures.
func TestUsageCommandErrors(t *testing.T) {
	path := file(t, valid)
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--from", "yesterday"}, exitUsage, "--from: \"yesterday\" is no moment"},
		{[]string{"--tag", "web"}, exitUsage, "--tag: \"web\" is no tag; write it as name=value"},
		{[]string{"--by", "team"}, exitUsage, "--by: there is no \"team\""},
		{[]string{"--format", "xlsx"}, exitUsage, "take table, csv or json"},
		{[]string{"--config", path, "more"}, exitUsage, "unexpected"},
		{[]string{"--config", path + ".missing"}, exitFailure, "missing"},
		{[]string{"--config", path}, exitFailure, "store: tables"},
	}
	for _, test := range tests {
		o := spillway(map[string]string{"PTU_KEY": "k"}, append([]string{"usage"}, test.args...)...)
		if o.code != test.code || !strings.Contains(o.err, test.says) || o.out != "" {
			t.Errorf("%q: code %d, %q, %q; want %d and %q", test.args, o.code, o.out, o.err, test.code, test.says)
		}
	}
}

// What instances have written to the table is reported, in each form.
func TestUsageCommand(t *testing.T) {
	connection := azurite.Start(t)
	env := map[string]string{"PTU_KEY": "k", "TABLES": connection}
	path := file(t, strings.Replace(tables, "%s", "usagecommand", 1))
	cfg, err := config.Parse("gateway.yaml", []byte(strings.Replace(tables, "%s", "usagecommand", 1)), func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	table, clock, err := app.OpenStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(ledger.Options{Store: table, Clock: clock, Instance: "one"})
	if err != nil {
		t.Fatal(err)
	}
	for _, consumer := range []string{"a", "b", "b"} {
		l.Add(&report.Record{Start: time.Now(), Consumer: consumer, Model: "gpt-4o", Pool: "gpt-4o", Status: 200, Tokens: report.Tokens{Prompt: 1500}})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	o := spillway(env, "usage", "--config", path)
	if o.code != 0 || o.err != "" || !strings.Contains(o.out, "3,000") || !strings.Contains(o.out, "total") {
		t.Errorf("code %d, %s%s", o.code, o.err, o.out)
	}
	o = spillway(env, "usage", "--config", path, "--format", "csv", "--by", "consumer")
	if lines, err := csv.NewReader(strings.NewReader(o.out)).ReadAll(); o.code != 0 || err != nil || len(lines) != 3 || lines[2][0] != "b" || lines[2][1] != "2" {
		t.Errorf("code %d, %s: %q, %v", o.code, o.err, lines, err)
	}
	o = spillway(env, "usage", "--config", path, "--format", "json", "--consumer", "a", "--from", "2h")
	var read struct{ Total struct{ Requests int } }
	if err := json.Unmarshal([]byte(o.out), &read); o.code != 0 || err != nil || read.Total.Requests != 1 {
		t.Errorf("code %d, %s%s, %v", o.code, o.err, o.out, err)
	}
}

// Usage is told apart by tags, and reported of one tag alone, in each form.
func TestUsageOfTags(t *testing.T) {
	l, err := ledger.New(ledger.Options{Store: useMemory(t), Instance: "one"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tags := range []string{"project=web,team=x", "project=web,team=y", "project=shop", ""} {
		l.Add(&report.Record{Start: time.Now(), Consumer: "a", Tags: tags, Status: 200, Tokens: report.Tokens{Prompt: 1500}})
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SPILLWAY_CONFIG_YAML": withTable}
	o := spillway(env, "usage", "--by", "tags", "--format", "csv")
	lines, err := csv.NewReader(strings.NewReader(o.out)).ReadAll()
	if err != nil || len(lines) != 5 || lines[0][0] != "tags" || lines[1][0] != "" || lines[4][0] != "project=web,team=y" {
		t.Errorf("code %d, %s: %q, %v", o.code, o.err, lines, err)
	}
	o = spillway(env, "usage", "--by", "tags", "--tag", "project=web", "--format", "json")
	var read struct {
		Rows  []struct{ Tags string }
		Total struct{ Requests int }
	}
	if err := json.Unmarshal([]byte(o.out), &read); err != nil || read.Total.Requests != 2 || len(read.Rows) != 2 || read.Rows[0].Tags != "project=web,team=x" {
		t.Errorf("code %d, %s%s, %v", o.code, o.err, o.out, err)
	}
	o = spillway(env, "usage", "--tag", "team=x")
	if o.code != 0 || !strings.Contains(o.out, "1,500") || strings.Contains(o.out, "3,000") {
		t.Errorf("code %d, %s%s; want one request", o.code, o.err, o.out)
	}
}

// One who waits is told how far it is: after a second, and then now and then.
func TestTeller(t *testing.T) {
	var out strings.Builder
	began := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	teller := teller{to: &out, next: began.Add(tellAfter)}
	for n := range 130 {
		teller.tell(ledger.Progress{Rows: n * 10, Hours: n, Total: 130}, began.Add(time.Duration(n)*100*time.Millisecond))
	}
	const want = "spillway usage: 10 of 130 hours, 100 rows read\nspillway usage: 60 of 130 hours, 600 rows read\nspillway usage: 110 of 130 hours, 1100 rows read\n"
	if out.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", out.String(), want)
	}
}
