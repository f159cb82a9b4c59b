package azureopenai

import (
	"net/url"
	"slices"
	"strconv"
	"sync"
)

// store is what the resource keeps for its clients.
type store struct {
	mu        sync.Mutex
	responses shelf[*storedResponse] // guarded by mu
	files     shelf[storedFile]      // guarded by mu
	batches   shelf[*storedBatch]    // guarded by mu
}

// shelf holds things by id, in the order in which they came.
type shelf[T any] struct {
	byID  map[string]T
	order []string
}

// put adds a thing; of more than so many the oldest make room.
func (k *shelf[T]) put(id string, v T, most int) {
	if k.byID == nil {
		k.byID = map[string]T{}
	}
	if _, known := k.byID[id]; !known {
		k.order = append(k.order, id)
	}
	k.byID[id] = v
	for len(k.order) > most {
		delete(k.byID, k.order[0])
		k.order = k.order[1:]
	}
}

func (k *shelf[T]) get(id string) (T, bool) {
	v, ok := k.byID[id]
	return v, ok
}

func (k *shelf[T]) remove(id string) {
	delete(k.byID, id)
	k.order = slices.DeleteFunc(k.order, func(other string) bool { return other == id })
}

// all are the things, oldest first.
func (k *shelf[T]) all() []T {
	values := make([]T, len(k.order))
	for i, id := range k.order {
		values[i] = k.byID[id]
	}
	return values
}

// listed is an element of a list.
type listed struct {
	id    string
	value any
}

// page is a part of a list.
type page struct {
	Object  string  `json:"object"`
	Data    []any   `json:"data"`
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
	HasMore bool    `json:"has_more"`
}

// listPage cuts a page out of all elements, which come oldest first.
func listPage(all []listed, query url.Values, usual, most int, order string) (page, *serviceError) {
	limit, p := usual, page{Object: "list", Data: []any{}}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return p, invalid("limit", "invalid_value", "Invalid 'limit': expected an integer between 1 and %d, but got '%s' instead.", most, text)
		}
		limit = n
	}
	if asked := query.Get("order"); asked == "asc" || asked == "desc" {
		order = asked
	} else if asked != "" {
		return p, invalid("order", "invalid_value", "Invalid value: '%s'. Supported values are: 'asc' and 'desc'.", asked)
	}
	if order == "desc" {
		slices.Reverse(all)
	}
	if after := query.Get("after"); after != "" {
		at := slices.IndexFunc(all, func(l listed) bool { return l.id == after })
		all = all[at+1:]
	}
	if len(all) > limit {
		all, p.HasMore = all[:limit], true
	}
	for _, element := range all {
		p.Data = append(p.Data, element.value)
	}
	if len(all) > 0 {
		p.FirstID, p.LastID = &all[0].id, &all[len(all)-1].id
	}
	return p, nil
}
