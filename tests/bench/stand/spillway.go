package stand

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"spillway/tests/bench/tool"
)

// Settings are what a Spillway under load differs in from the default: keys, limits of
// consumers and of deployments, breakers, the ledger, prices, metrics and the log are
// always on.
type Settings struct {
	// Name is its name in tables.
	Name string
	// Connection is of the table service that holds the state; empty: memory.
	Connection string
	// Backends are as many, all of them the same upstream; 0 is two.
	Backends int
	// Consumers are as many; 0 is ten. The first one's key is Key, those of all are
	// Keys.
	Consumers int
	// Limited puts ten backends before the others that are the upstream's limited side.
	Limited bool
	// Discard drops the log instead of writing it into a file.
	Discard bool
}

// Keys are the keys of so many consumers.
func Keys(consumers int) []string {
	keys := []string{Key}
	for i := 1; i < consumers; i++ {
		keys = append(keys, fmt.Sprintf("sw-%08d-0123456789abcdef0123456789abcdef", i))
	}
	return keys
}

// configuration is the text of gateway.yaml.
func (s Settings) configuration(u *Upstream) string {
	var y strings.Builder
	y.WriteString("access: keys\n")
	if s.Connection != "" {
		fmt.Fprintf(&y, "state: { store: tables, connection: %q, table: bench%s }\n", s.Connection, port(u.Address))
	} else {
		y.WriteString("state: { store: memory }\n")
	}
	fmt.Fprintf(&y, "admin: { keys: [%q] }\nprices: [{ model: gpt-4o, inputPerMillion: 2.5, cachedInputPerMillion: 1.25, outputPerMillion: 10 }]\nbackends:\n", AdminKey)
	members := ""
	backend := func(name, address string, priority int) {
		fmt.Fprintf(&y, "  - { name: %s, endpoint: \"http://%s\", api: openai, auth: { apiKey: backend }, deployments: [{ model: gpt-4o, tokensPerMinute: 1000000000, requestsPerMinute: 100000000 }] }\n",
			name, address)
		members += fmt.Sprintf("{ backend: %s, priority: %d }, ", name, priority)
	}
	first := 1
	if s.Limited {
		const members = 10
		for i := range members {
			backend(fmt.Sprintf("limited-%d", i), u.Limited, first)
		}
		first++
	}
	backends := s.Backends
	if backends == 0 {
		backends = 2
	}
	for i := range backends {
		backend(fmt.Sprintf("backend-%d", i), u.Address, first)
	}
	fmt.Fprintf(&y, "pools: [{ model: gpt-4o, members: [%s] }]\nconsumers:\n", strings.TrimSuffix(members, ", "))
	consumers := s.Consumers
	if consumers == 0 {
		consumers = 10
	}
	for i, key := range Keys(consumers) {
		fmt.Fprintf(&y, "  - { name: consumer-%d, keys: [\"sha256:%x\"], tokensPerMinute: 1000000000, requestsPerMinute: 100000000, quotas: [{ tokens: 100000000000, per: month }] }\n",
			i, sha256.Sum256([]byte(key)))
	}
	return y.String()
}

// StartSpillway starts the program.
func StartSpillway(ctx context.Context, folder string, program tool.Tool, u *Upstream, s Settings) (*Contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	name := "spillway-" + port(address)
	file := filepath.Join(folder, name+".yaml")
	if err := os.WriteFile(file, []byte(s.configuration(u)), 0o600); err != nil {
		return nil, err
	}
	if s.Discard {
		if err := os.Symlink(os.DevNull, filepath.Join(folder, name+".log")); err != nil {
			return nil, err
		}
	}
	p, err := start(ctx, name, folder, program, "serve", "--config", file, "--listen", address)
	return started(ctx, &Contender{Name: s.Name, Address: address, Header: header()}, p, err)
}
