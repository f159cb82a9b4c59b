package main

import (
	"errors"
	"fmt"

	"spillway/shared/auth"
	"spillway/shared/config"
)

// validate checks a configuration.
func validate(args []string, std streams) error {
	flags := newFlags("validate", "[--config gateway.yaml]", std)
	path := configFlag(flags)
	if err := parse(flags, args, std); err != nil {
		return err
	}
	cfg, err := loadConfig(*path, std)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "valid: %d backends, %d pools, %d consumers\n",
		len(cfg.Backends), len(cfg.Pools), len(cfg.Consumers))
	return err
}

// schema prints the JSON Schema of the configuration.
func schema(args []string, std streams) error {
	flags := newFlags("schema", "", std)
	if err := parse(flags, args, std); err != nil {
		return err
	}
	text, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = std.out.Write(text)
	return err
}

// keys makes a key. It is printed once; the configuration holds only its hash.
func keys(args []string, std streams) error {
	flags := newFlags("keys new", "[--consumer name]", std)
	consumer := flags.String("consumer", "", "the consumer that the key is for")
	if len(args) == 0 || args[0] != "new" {
		if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
			return parse(flags, args, std)
		}
		flags.Usage()
		return errUsage
	}
	if err := parse(flags, args[1:], std); err != nil {
		return err
	}
	key, hash := auth.NewKey()
	if key == "" {
		return errors.New("spillway keys: no key could be made")
	}
	name := *consumer
	if name == "" {
		name = "NAME"
	}
	_, err := fmt.Fprintf(std.out, "key (shown once, give it to the caller):\n  %s\n\nin gateway.yaml:\n  consumers:\n    - name: %s\n      keys: [%q]\n", key, name, hash)
	return err
}
