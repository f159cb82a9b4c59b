package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"spillway/shared/config"
)

// roster knows whose a key, an application or a role is: by the configuration,
// and where that does not know it, by the directory. It is safe for concurrent
// use.
//
// Keys are compared by their SHA-256. However long a comparison takes, it tells
// of the hash alone, from which nobody comes closer to a key.
type roster struct {
	keys      map[config.KeyHash]*config.Definition // immutable after newRoster, like the others
	apps      map[string]*config.Definition         // by application id in lower case
	roles     map[string]*config.Definition         // those that list roles and no applications
	directory Directory
}

func newRoster(consumers []config.Consumer, d Directory) (*roster, error) {
	if d == nil {
		d = nobody{}
	}
	r := &roster{
		keys:      make(map[config.KeyHash]*config.Definition, len(consumers)),
		apps:      make(map[string]*config.Definition),
		roles:     make(map[string]*config.Definition),
		directory: d,
	}
	definitions := make([]config.Definition, len(consumers))
	for i := range consumers {
		definitions[i].Consumer = &consumers[i]
		if err := r.add(&definitions[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *roster) add(consumer *config.Definition) error {
	for _, hash := range consumer.Keys {
		if other, taken := r.keys[hash]; taken && other != consumer {
			return fmt.Errorf("auth: consumers %q and %q share a key", other.Name, consumer.Name)
		}
		r.keys[hash] = consumer
	}
	for _, id := range consumer.Entra.AppIDs {
		id = strings.ToLower(id)
		if other, taken := r.apps[id]; taken && other != consumer {
			return fmt.Errorf("auth: consumers %q and %q share the application %s", other.Name, consumer.Name, id)
		}
		r.apps[id] = consumer
	}
	if len(consumer.Entra.AppIDs) > 0 {
		return nil // its roles say which tokens of its applications count
	}
	for _, role := range consumer.Entra.Roles {
		if other, taken := r.roles[role]; taken && other != consumer {
			return fmt.Errorf("auth: consumers %q and %q share the role %q", other.Name, consumer.Name, role)
		}
		r.roles[role] = consumer
	}
	return nil
}

// byKey returns whose a key is; sum is its hash. A reason other than "" says why
// nobody can be named.
func (r *roster) byKey(ctx context.Context, key string, sum config.KeyHash) (*config.Definition, Reason) {
	if consumer := r.keys[sum]; consumer != nil {
		return consumer, ""
	}
	if !couldBeKey(key) {
		return nil, UnknownKey
	}
	consumer, err := r.directory.ByKey(ctx, sum)
	switch {
	case err != nil:
		return nil, unavailable(ctx)
	case consumer == nil:
		return nil, UnknownKey
	}
	return consumer, ""
}

// byToken returns whose a token is. A reason other than "" says why nobody can
// be named.
func (r *roster) byToken(ctx context.Context, token verified) (*config.Definition, Reason) {
	if token.app == "" {
		return nil, UnknownApp
	}
	var failed error
	consumer, listed := r.apps[token.app]
	if !listed {
		consumer, failed = r.directory.ByApp(ctx, token.app)
		listed = consumer != nil
	}
	if listed && admits(consumer, token) {
		return consumer, ""
	}
	consumer, ambiguous, err := r.byRole(ctx, token)
	switch {
	case ambiguous:
		return nil, AmbiguousRoles
	case consumer != nil:
		return consumer, ""
	case failed != nil || err != nil:
		return nil, unavailable(ctx)
	case listed:
		return nil, MissingRole
	}
	return nil, UnknownApp
}

// byRole returns the consumer that a token belongs to by its roles, whatever its
// application, or that there are two. With an error not all roles were looked up.
func (r *roster) byRole(ctx context.Context, token verified) (found *config.Definition, ambiguous bool, err error) {
	for _, role := range token.roles {
		consumer := r.roles[role]
		if consumer == nil && err == nil {
			consumer, err = r.directory.ByRole(ctx, role)
		}
		if consumer == nil || consumer == found || !admits(consumer, token) {
			continue
		}
		if found != nil {
			return nil, true, nil
		}
		found = consumer
	}
	return found, false, err
}

// admits tells whether a token is the consumer's: of one of its applications, if
// it lists any, and with one of its roles, if it lists any.
func admits(consumer *config.Definition, token verified) bool {
	apps, roles := consumer.Entra.AppIDs, consumer.Entra.Roles
	if len(apps) == 0 && len(roles) == 0 {
		return false
	}
	return (len(apps) == 0 || slices.ContainsFunc(apps, func(app string) bool { return strings.EqualFold(app, token.app) })) &&
		(len(roles) == 0 || slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(token.roles, role) }))
}

// unavailable is the reason to refuse what the directory could not look up.
func unavailable(ctx context.Context) Reason {
	if ctx.Err() != nil {
		return Canceled
	}
	return DirectoryUnavailable
}

// nobody is the directory where there is none.
type nobody struct{}

func (nobody) ByKey(context.Context, config.KeyHash) (*config.Definition, error) { return nil, nil }
func (nobody) ByApp(context.Context, string) (*config.Definition, error)         { return nil, nil }
func (nobody) ByRole(context.Context, string) (*config.Definition, error)        { return nil, nil }

var _ Directory = nobody{}
