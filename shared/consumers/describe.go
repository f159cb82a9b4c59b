package consumers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"spillway/shared/config"
)

const (
	// shownValue and shownChange bound what the log tells of one value, and of one
	// change, in bytes.
	shownValue  = 200
	shownChange = 4000
)

// describe says in words what a change changes; before may be nil. It shows of a
// key no more than the beginning of its hash.
func describe(before, after *config.Consumer) string {
	old, now := fields(before), fields(after)
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(merge(old, now))) {
		if was, is := old[key], now[key]; was != is {
			parts = append(parts, fmt.Sprintf("%s: %s → %s", key, shown(was), shown(is)))
		}
	}
	if before != nil {
		parts = append(parts, keyChanges(before.Keys, after.Keys)...)
	} else {
		parts = append(parts, keyChanges(nil, after.Keys)...)
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return cut(strings.Join(parts, "; "), shownChange)
}

// fields are the canonical texts of what a definition says, but for its name and
// its keys.
func fields(c *config.Consumer) map[string]string {
	if c == nil {
		return nil
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(c.Encode(), &raw) != nil {
		return nil
	}
	texts := make(map[string]string, len(raw))
	for key, value := range raw {
		if key != "name" && key != "keys" {
			texts[key] = string(value)
		}
	}
	return texts
}

func merge(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	if both == nil {
		both = make(map[string]string, len(b))
	}
	maps.Copy(both, b)
	return both
}

func keyChanges(before, after []config.KeyHash) []string {
	var parts []string
	for _, key := range after {
		if !slices.Contains(before, key) {
			parts = append(parts, "key added: "+key.String())
		}
	}
	for _, key := range before {
		if !slices.Contains(after, key) {
			parts = append(parts, "key removed: "+key.String())
		}
	}
	return parts
}

func shown(value string) string {
	if value == "" {
		return "none"
	}
	return cut(value, shownValue)
}

// cut shortens a text to so many bytes, and the sign that it was cut.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
