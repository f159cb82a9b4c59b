package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"spillway/shared/consumers"
)

// logConsumers shows who changed consumers of the table.
func logConsumers(args []string, std streams) error {
	flags := newFlags("consumers log", "[--consumer NAME] [--days 30] [--format table|json] [--config gateway.yaml]", std)
	path := configFlag(flags)
	name := flags.String("consumer", "", "the only consumer to show")
	days := flags.Int("days", 30, "how many days to look back, from 1 to 3650")
	format := flags.String("format", "table", "table or json (one line for each)")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	write, ok := map[string]func(io.Writer, []consumers.Logged) error{"table": writeLogTable, "json": writeLogJSON}[*format]
	switch {
	case !ok:
		fmt.Fprintf(std.err, "spillway consumers log: --format: there is no %q; take table or json\n", *format)
		return errUsage
	case *days < 1 || *days > 3650:
		fmt.Fprintf(std.err, "spillway consumers log: --days: %d is not from 1 to 3650\n", *days)
		return errUsage
	}
	return work("log", *path, std, func(ctx context.Context, d *consumers.Directory) error {
		var all []consumers.Logged
		for logged, err := range d.Log(ctx, time.Now().AddDate(0, 0, -*days), *name) {
			if err != nil {
				return err
			}
			all = append(all, logged)
		}
		slices.SortStableFunc(all, func(a, b consumers.Logged) int { return a.When.Compare(b.When) })
		return write(std.out, all)
	})
}

func writeLogTable(out io.Writer, all []consumers.Logged) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHEN\tBY\tACTION\tCONSUMER\tOUTCOME\tWHAT")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.When.UTC().Format(time.RFC3339), printable(l.By),
			printable(l.Action), l.Consumer, printable(l.Outcome), printable(strings.ReplaceAll(l.What, "\n", "; ")))
	}
	return w.Flush()
}

func writeLogJSON(out io.Writer, all []consumers.Logged) error {
	encoder := json.NewEncoder(out)
	for _, l := range all {
		err := encoder.Encode(struct {
			When     time.Time `json:"when"`
			By       string    `json:"by"`
			Action   string    `json:"action"`
			Consumer string    `json:"consumer"`
			Outcome  string    `json:"outcome"`
			What     string    `json:"what"`
		}{l.When.UTC(), l.By, l.Action, l.Consumer, l.Outcome, l.What})
		if err != nil {
			return err
		}
	}
	return nil
}
