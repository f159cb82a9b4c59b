package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"spillway/shared/store"
	report "spillway/shared/usage"
	"spillway/shared/usage/ledger"
)

const (
	// tellAfter is how long a report may take in silence.
	tellAfter = time.Second
	// tellEvery is the time between two lines about how far it is.
	tellEvery = 5 * time.Second
)

// showUsage prints what was used, as the table of the shared state has it.
func showUsage(args []string, std streams) error {
	flags := newFlags("usage", "[--config gateway.yaml] [--from 24h] [--to now] [--by consumer,model] [--consumer name] [--tag name=value] [--format table|csv|json]", std)
	path := configFlag(flags)
	from := flags.String("from", "24h", "the beginning: a date, a moment of RFC 3339, or how long ago (90m, 24h, 7d, 2w); UTC, whole hours")
	to := flags.String("to", "", "the end, written like the beginning; default: now")
	by := flags.String("by", "consumer,model", "what to tell apart: some of "+strings.Join(report.Columns(), ", "))
	consumer := flags.String("consumer", "", "the only consumer to report")
	tag := flags.String("tag", "", "the only requests to report: those with this tag, as in project=web")
	format := flags.String("format", "table", "table, csv or json")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	values := url.Values{"from": {*from}, "to": {*to}, "by": {*by}, "consumer": {*consumer}, "tag": {*tag}}
	query, err := report.ParseQuery(values, time.Now())
	if err != nil {
		fmt.Fprintf(std.err, "spillway usage: --%v\n", err)
		return errUsage
	}
	write, ok := map[string]func(report.Report, io.Writer) error{
		"table": report.Report.WriteTable, "csv": report.Report.WriteCSV, "json": report.Report.WriteJSON,
	}[*format]
	if !ok {
		fmt.Fprintf(std.err, "spillway usage: --format: there is no %q; take table, csv or json\n", *format)
		return errUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	state, err := openState(ctx, *path, std)
	if err != nil {
		return err
	}
	made, err := readUsage(ctx, state.table, query, std)
	if err != nil {
		return fmt.Errorf("spillway usage: %w", err)
	}
	return write(made, std.out)
}

// readUsage reads the ledger, and tells how far it is.
func readUsage(ctx context.Context, table store.Store, query report.Query, std streams) (report.Report, error) {
	t := teller{to: std.err, next: time.Now().Add(tellAfter)}
	made, err := report.Summarize(ledger.Read(ctx, table, query, func(p ledger.Progress) { t.tell(p, time.Now()) }), query)
	if ctx.Err() != nil {
		return report.Report{}, errors.New("called off")
	}
	if t.last.Unreadable > 0 {
		fmt.Fprintf(std.err, "spillway usage: %d lines or rows of the table make no sense and are not counted\n", t.last.Unreadable)
	}
	return made, err
}

// teller tells how far a report is, in a line now and then: they do no harm in a
// log either, and one who waits sees that it goes on.
type teller struct {
	to   io.Writer
	next time.Time
	last ledger.Progress
}

func (t *teller) tell(p ledger.Progress, now time.Time) {
	t.last = p
	if now.Before(t.next) {
		return
	}
	t.next = now.Add(tellEvery)
	fmt.Fprintf(t.to, "spillway usage: %d of %d hours, %d rows read\n", p.Hours, p.Total, p.Rows)
}
