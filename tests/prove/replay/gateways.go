package replay

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/tests/prove/postpaid"
)

// site is what a gateway stands in front of.
type site struct {
	urls      map[string]string // of the backends, by name
	transport http.RoundTripper
}

// open starts a contender. The function that it returns ends it.
func (c Contender) open(ctx context.Context, s site) (http.Handler, func(context.Context), error) {
	if c.Kind == PostPaid {
		gateway, err := c.postPaid(s)
		return gateway, func(context.Context) {}, err
	}
	cfg, err := config.Parse("gateway.yaml", []byte(c.yaml(s)), nil)
	if err != nil {
		return nil, nil, err
	}
	gateway, err := app.New(ctx, cfg, app.Options{Transport: s.transport})
	if err != nil {
		return nil, nil, err
	}
	return gateway, gateway.Close, nil
}

// yaml is Spillway's configuration.
func (c Contender) yaml(s site) string {
	var backends, members strings.Builder
	add := func(name string, priority int, limit, spillBelow int64) {
		fmt.Fprintf(&backends, `
  - name: %s
    endpoint: %s
    deployments: [{ model: %s, tokensPerMinute: %d, spillBelow: %d, accounting: azure }]`, name, s.urls[name], model, limit, spillBelow)
		fmt.Fprintf(&members, "\n      - { backend: %s, priority: %d }", name, priority)
	}
	add(ptu, 1, Limit, c.SpillBelow)
	for _, name := range payg {
		add(name, 2, PAYGLimit, 0)
	}
	return fmt.Sprintf(`
access: open
state: { store: memory }
backends: %s
pools:
  - model: %s
    members: %s
`, &backends, model, &members)
}

func (c Contender) postPaid(s site) (*postpaid.Gateway, error) {
	o := postpaid.Options{TokensPerMinute: Limit, SpillBelow: c.SpillBelow, Charge: charge, Transport: s.transport}
	var err error
	if o.PTU, err = url.Parse(s.urls[ptu]); err != nil {
		return nil, err
	}
	for _, name := range payg {
		u, err := url.Parse(s.urls[name])
		if err != nil {
			return nil, err
		}
		o.PAYG = append(o.PAYG, u)
	}
	return postpaid.New(o), nil
}
