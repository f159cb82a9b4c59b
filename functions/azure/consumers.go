package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"spillway/shared/auth"
	"spillway/shared/config"
	"spillway/shared/consumers"
)

const consumersHelp = `usage: spillway consumers COMMAND [flags]

Consumers that are kept in the table, beside those of gateway.yaml. Every instance
of the gateway knows of a change within 5 seconds.

  add NAME     add a consumer; without --file or with no keys in it, make it a key
  set NAME     change what the flags say, and keep the rest
  list         show all of them
  log          show who changed what, and when
  remove NAME  remove one

spillway consumers COMMAND --help shows the flags of a command.
`

// manageConsumers runs one of the commands for consumers of the table.
func manageConsumers(args []string, std streams) error {
	commands := map[string]func([]string, streams) error{
		"add": addConsumer, "set": setConsumer, "list": listConsumers, "log": logConsumers, "remove": removeConsumer,
	}
	if len(args) > 0 {
		if run, ok := commands[args[0]]; ok {
			return run(args[1:], std)
		}
		if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
			_, err := io.WriteString(std.out, consumersHelp)
			return err
		}
		fmt.Fprintf(std.err, "spillway consumers: there is no command %q\n\n", args[0])
	}
	_, _ = io.WriteString(std.err, consumersHelp)
	return errUsage
}

// parseName parses a command line of a name and flags, in either order.
func parseName(flags *flag.FlagSet, args []string, std streams) (string, error) {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "" && len(args) > 0 && !strings.HasPrefix(args[len(args)-1], "-") {
		if err := parse(flags, args[:len(args)-1], std); err == nil {
			return args[len(args)-1], nil
		}
		return "", errUsage
	}
	if err := parse(flags, args, std); err != nil {
		return "", err
	}
	if name == "" {
		fmt.Fprintf(std.err, "spillway %s: the name of the consumer is missing\n", flags.Name())
		flags.Usage()
		return "", errUsage
	}
	return name, nil
}

// addConsumer adds a consumer. Its key is printed once, if it was made.
func addConsumer(args []string, std streams) error {
	f := newConsumerFlags("add", std)
	name, err := parseName(f.FlagSet, args, std)
	if err != nil {
		return err
	}
	return work("add", *f.config, std, func(ctx context.Context, d *consumers.Directory) error {
		draft, err := f.draft("")
		if err != nil {
			return err
		}
		key := ""
		if !draft.Has("keys") && !draft.Has("entra") {
			if key, err = giveKey(draft); err != nil {
				return err
			}
		}
		consumer, err := draft.Parse(name)
		if err != nil {
			return err
		}
		if _, err := d.Put(ctx, consumers.Change{Consumer: consumer, By: who(std), New: true}); err != nil {
			return explain(err, key)
		}
		return told(std.out, "added", name, key)
	})
}

// setConsumer changes a consumer as the flags say.
func setConsumer(args []string, std streams) error {
	f := newConsumerFlags("set", std)
	f.BoolVar(&f.newKey, "new-key", false, "make one more key; the others go on")
	f.Func("drop-key", "take the key away whose hash begins so, as list shows it (may be repeated)", func(text string) error {
		f.drop = append(f.drop, text)
		return nil
	})
	name, err := parseName(f.FlagSet, args, std)
	if err != nil {
		return err
	}
	if f.file == "" && len(f.edits) == 0 && !f.newKey && len(f.drop) == 0 {
		fmt.Fprintln(std.err, "spillway consumers set: say what to change")
		f.Usage()
		return errUsage
	}
	return work("set", *f.config, std, func(ctx context.Context, d *consumers.Directory) error {
		present, err := d.Get(ctx, name)
		if err != nil {
			return err
		}
		if present.Consumer == nil && f.file == "" {
			return fmt.Errorf("%s; write it anew with --file", present.Problem)
		}
		consumer, key, err := f.change(name, present.Consumer)
		if err != nil {
			return err
		}
		if _, err := d.Put(ctx, consumers.Change{Consumer: consumer, By: who(std), ETag: present.ETag}); err != nil {
			return explain(err, key)
		}
		return told(std.out, "changed", name, key)
	})
}

func giveKey(draft *consumers.Draft) (string, error) {
	key, hash := auth.NewKey()
	return key, draft.AddKey(hash)
}

// told says what was done, and shows a new key.
func told(out io.Writer, what, name, key string) error {
	text := fmt.Sprintf("%s: %s\n", what, name)
	if key != "" {
		text += fmt.Sprintf("\nkey (shown once, give it to the caller):\n  %s\n", key)
	}
	_, err := io.WriteString(out, text)
	return err
}

// explain adds to an error what becomes of a key that was made.
func explain(err error, key string) error {
	if key != "" && errors.Is(err, consumers.ErrUnknown) {
		return fmt.Errorf("%w (with list, see whether it was; a key that was made with it is lost: make another one with set --new-key)", err)
	}
	return err
}

func removeConsumer(args []string, std streams) error {
	flags := newFlags("consumers remove", "NAME [--config gateway.yaml]", std)
	path := configFlag(flags)
	name, err := parseName(flags, args, std)
	if err != nil {
		return err
	}
	return work("remove", *path, std, func(ctx context.Context, d *consumers.Directory) error {
		change := consumers.Change{Consumer: config.Consumer{Name: name}, By: who(std)}
		if err := d.Remove(ctx, change); err != nil {
			return err
		}
		return told(std.out, "removed", name, "")
	})
}

// work opens the table that the configuration names and does something with its
// consumers.
func work(command, path string, std streams, do func(context.Context, *consumers.Directory) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	state, err := openState(ctx, path, std)
	if err != nil {
		return err
	}
	d, err := consumers.New(consumers.Options{
		Store: state.table, Clock: state.clock, Check: state.config.CheckConsumer, InFile: state.config.HasConsumer,
	})
	if err != nil {
		return err
	}
	if err := do(ctx, d); err != nil {
		return fmt.Errorf("spillway consumers %s: %w", command, err)
	}
	return nil
}

// who names who makes a change, for the log.
func who(std streams) string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if name == "" {
		name, _ = std.env("USER")
	}
	const most = 100 // bytes
	return "cli:" + cmp.Or(strings.ToValidUTF8(name[:min(len(name), most)], ""), "unknown")
}

// listConsumers shows the consumers of the table, by name.
func listConsumers(args []string, std streams) error {
	flags := newFlags("consumers list", "[--format table|json] [--config gateway.yaml]", std)
	path := configFlag(flags)
	format := flags.String("format", "table", "table or json (one line for each)")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	write, ok := map[string]func(io.Writer, []consumers.Entry) error{"table": writeConsumersTable, "json": writeConsumersJSON}[*format]
	if !ok {
		fmt.Fprintf(std.err, "spillway consumers list: --format: there is no %q; take table or json\n", *format)
		return errUsage
	}
	return work("list", *path, std, func(ctx context.Context, d *consumers.Directory) error {
		var all []consumers.Entry
		next := time.Now().Add(tellAfter)
		for entry, err := range d.List(ctx) {
			if err != nil {
				return err
			}
			if all = append(all, entry); time.Now().After(next) {
				next = time.Now().Add(tellEvery)
				fmt.Fprintf(std.err, "spillway consumers list: %d read\n", len(all))
			}
		}
		slices.SortFunc(all, func(a, b consumers.Entry) int { return strings.Compare(a.Name, b.Name) })
		return write(std.out, all)
	})
}

func writeConsumersTable(out io.Writer, all []consumers.Entry) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tKEYS\tTOKENS/MIN\tREQUESTS/MIN\tCHANGED\tBY\tPROBLEM")
	for _, e := range all {
		keys, tokens, requests := "-", "-", "-"
		if c := e.Consumer; c != nil {
			keys, tokens, requests = keyList(c.Keys), limitText(c.TokensPerMinute), limitText(c.RequestsPerMinute)
		}
		problem := strings.ReplaceAll(e.Problem, "\n", "; ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, keys, tokens, requests, e.At.UTC().Format(time.RFC3339), printable(e.By), problem)
	}
	return w.Flush()
}

// keyList shows the beginnings of the keys' hashes.
func keyList(keys []config.KeyHash) string {
	var texts []string
	for _, key := range keys {
		texts = append(texts, strings.TrimSuffix(strings.TrimPrefix(key.String(), "sha256:"), "…"))
	}
	return cmp.Or(strings.Join(texts, ","), "-")
}

func limitText(limit int64) string {
	if limit == 0 {
		return "-"
	}
	return strconv.FormatInt(limit, 10)
}

// printable makes a text of the table fit for a terminal.
func printable(text string) string { return strings.Trim(strconv.QuoteToGraphic(text), `"`) }

func writeConsumersJSON(out io.Writer, all []consumers.Entry) error {
	encoder := json.NewEncoder(out)
	for _, e := range all {
		line := struct {
			Name       string          `json:"name"`
			Keys       []string        `json:"keys,omitempty"`
			Definition json.RawMessage `json:"definition,omitempty"`
			ChangedBy  string          `json:"changedBy"`
			ChangedAt  time.Time       `json:"changedAt"`
			Problem    string          `json:"problem,omitempty"`
		}{Name: e.Name, ChangedBy: e.By, ChangedAt: e.At.UTC(), Problem: e.Problem}
		if e.Consumer != nil {
			shown := *e.Consumer
			shown.Keys = nil
			line.Definition = shown.Encode()
			for _, key := range e.Consumer.Keys {
				line.Keys = append(line.Keys, key.String())
			}
		}
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
