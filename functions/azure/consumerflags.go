package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"spillway/shared/config"
	"spillway/shared/consumers"
)

// consumerFlags are the flags that say what a consumer is. Those that were given
// are noted in the order of the command line.
type consumerFlags struct {
	*flag.FlagSet
	config *string
	file   string
	edits  []edit
	newKey bool
	drop   []string
}

// edit changes one key of a definition.
type edit func(*consumers.Draft) error

func newConsumerFlags(name string, std streams) *consumerFlags {
	f := &consumerFlags{FlagSet: newFlags("consumers "+name, "NAME [flags]", std)}
	f.config = configFlag(f.FlagSet)
	f.StringVar(&f.file, "file", "", "a file with the whole definition, as an item of consumers in gateway.yaml has it, in YAML or JSON; - is the standard input")
	for _, number := range []struct{ name, key, usage string }{
		{"tokens-per-minute", "tokensPerMinute", "tokens per minute it may use; 0: no limit"},
		{"requests-per-minute", "requestsPerMinute", "requests per minute it may send; 0: no limit"},
	} {
		f.Func(number.name, number.usage, func(text string) error { return f.number(number.key, text) })
	}
	f.Func("models", "the models it may use, with commas between; empty: all", func(text string) error { return f.list("models", text) })
	f.Func("pools", "the pools that serve it, with commas between; empty: the default pools", func(text string) error { return f.list("pools", text) })
	f.Func("quotas", "token quotas such as 1000000/day,20000000/month; empty: none", f.quotas)
	f.Func("spillover", "true, false, or the tokens per minute that may spill over", f.spillover)
	f.Func("app-ids", "ids of Entra applications that are this consumer, with commas between; empty: none", func(text string) error { return f.entra("appIds", text) })
	f.Func("roles", "Entra app roles that are this consumer, with commas between; empty: none", func(text string) error { return f.entra("roles", text) })
	f.bool("shadow", "shadow", "count and report its limits, and refuse nothing because of them")
	f.bool("may-choose-backend", "mayChooseBackend", "let its requests name the backends that serve them, by the headers x-spillway-backend and x-spillway-exclude")
	var tags []string
	f.Func("tag", "a tag that its requests may carry, by its name (may be repeated; these replace all that it had); empty: none", func(text string) error {
		if text == "" {
			tags = nil
			f.set("tags", nil)
			return nil
		}
		tags = append(tags, text)
		f.set("tags", slices.Clone(tags))
		return nil
	})
	return f
}

// configFlag adds the flag for the path of the configuration.
func configFlag(flags *flag.FlagSet) *string {
	return flags.String("config", "", "the configuration; default: SPILLWAY_CONFIG, SPILLWAY_CONFIG_YAML (the text itself), gateway.yaml")
}

// set notes that a key is to have a value; nil removes it.
func (f *consumerFlags) set(key string, value any) {
	f.edits = append(f.edits, func(d *consumers.Draft) error { return d.Set(key, value) })
}

// bool makes a flag that turns a key on, or off by =false.
func (f *consumerFlags) bool(name, key, usage string) {
	f.BoolFunc(name, usage, func(text string) error {
		on, err := strconv.ParseBool(text)
		f.set(key, on)
		return err
	})
}

func (f *consumerFlags) number(key, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0:
		return errors.New("write a whole number")
	case n == 0:
		f.set(key, nil)
	default:
		f.set(key, n)
	}
	return nil
}

// parts are the texts between commas.
func parts(text string) []string {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

func (f *consumerFlags) list(key, text string) error {
	if all := parts(text); all != nil {
		f.set(key, all)
	} else {
		f.set(key, nil)
	}
	return nil
}

func (f *consumerFlags) quotas(text string) error {
	var quotas []map[string]any
	for _, part := range parts(text) {
		tokens, per, ok := strings.Cut(part, "/")
		n, err := strconv.ParseInt(tokens, 10, 64)
		if !ok || err != nil {
			return errors.New("write it as 1000000/day")
		}
		quotas = append(quotas, map[string]any{"tokens": n, "per": per})
	}
	if quotas == nil {
		f.set("quotas", nil)
		return nil
	}
	f.set("quotas", quotas)
	return nil
}

func (f *consumerFlags) spillover(text string) error {
	if on, err := strconv.ParseBool(text); err == nil && text != "0" && text != "1" {
		f.set("spillover", on)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return errors.New("write true, false or a number of tokens")
	}
	f.set("spillover", map[string]any{"tokensPerMinute": n})
	return nil
}

// entra sets one of the lists under entra, and keeps the other.
func (f *consumerFlags) entra(key, text string) error {
	all := parts(text)
	f.edits = append(f.edits, func(d *consumers.Draft) error {
		inner, err := d.Mapping("entra")
		if err != nil {
			return err
		}
		if err := inner.Set(key, nil); err != nil {
			return err
		}
		if all != nil {
			if err := inner.Set(key, all); err != nil {
				return err
			}
		}
		if inner.Empty() {
			return d.Set("entra", nil)
		}
		return d.Set("entra", inner)
	})
	return nil
}

// change is what becomes of a consumer, which may be nil. A file without keys keeps
// those that it has.
func (f *consumerFlags) change(name string, present *config.Consumer) (consumer config.Consumer, key string, err error) {
	text := ""
	var keys []config.KeyHash
	if present != nil {
		text = string(present.Encode())
		if keys, err = dropKeys(present.Keys, f.drop); err != nil {
			return consumer, "", err
		}
	}
	draft, err := f.draft(text)
	if err != nil {
		return consumer, "", err
	}
	if f.file == "" || !draft.Has("keys") {
		if err := draft.SetKeys(keys); err != nil {
			return consumer, "", err
		}
	}
	if f.newKey {
		if key, err = giveKey(draft); err != nil {
			return consumer, "", err
		}
	}
	consumer, err = draft.Parse(name)
	return consumer, key, err
}

func dropKeys(keys []config.KeyHash, beginnings []string) (kept []config.KeyHash, err error) {
	kept = keys
	for _, beginning := range beginnings {
		if kept, err = consumers.WithoutKey(kept, beginning); err != nil {
			return nil, fmt.Errorf("--drop-key: %w", err)
		}
	}
	return kept, nil
}

// draft is the definition of the file, or else of the text, with the flags' changes.
func (f *consumerFlags) draft(text string) (*consumers.Draft, error) {
	body := []byte(text)
	if f.file != "" {
		var err error
		if body, err = readDefinition(f.file); err != nil {
			return nil, err
		}
	}
	draft, err := consumers.ParseDraft(body)
	if err != nil {
		return nil, err
	}
	for _, edit := range f.edits {
		if err := edit(draft); err != nil {
			return nil, err
		}
	}
	return draft, nil
}

// readDefinition reads a file, or the standard input.
func readDefinition(path string) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	return io.ReadAll(io.LimitReader(file, config.MaxConsumerText+1))
}
