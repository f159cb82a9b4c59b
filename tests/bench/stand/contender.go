package stand

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"spillway/tests/bench/tool"
)

// Key is the consumer's, and AdminKey the administrator's.
const (
	Key      = "the-key-of-this-measurement"
	AdminKey = "the-admin-key-of-this-measurement"
)

// Contender is a program under load, in front of an upstream.
type Contender struct {
	*Process
	// Name is its name in tables.
	Name string
	// Address is where it listens.
	Address string
	// Header is what its requests need.
	Header map[string]string
}

// URL is where it is asked for chat completions.
func (c *Contender) URL() string { return "http://" + c.Address + path }

// Short is the body of a short request.
var Short = []byte(`{"model":"gpt-4o","max_tokens":16,"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Hello, who are you?"}]}`)

// header is what all contenders get.
func header() map[string]string {
	return map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + Key}
}

// Direct is the upstream without anybody before it.
func Direct(u *Upstream) *Contender {
	return &Contender{Process: u.Process, Name: "direct", Address: u.Address, Header: header()}
}

// started waits for a contender's first right answer.
func started(ctx context.Context, c *Contender, p *Process, err error) (*Contender, error) {
	if err != nil {
		return nil, err
	}
	c.Process = p
	if err := p.await(ctx, func(ctx context.Context) error { return ask(ctx, c.URL(), c.Header, Short) }); err != nil {
		p.Stop()
		return nil, err
	}
	return c, nil
}

// StartReverseProxy starts a bare httputil.ReverseProxy.
func StartReverseProxy(ctx context.Context, folder string, proxy tool.Tool, u *Upstream) (*Contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "reverseproxy", folder, proxy, "--listen", address, "--upstream", "http://"+u.Address, fmt.Sprintf("--duplex=%t", u.reads))
	return started(ctx, &Contender{Name: "httputil.ReverseProxy", Address: address, Header: header()}, p, err)
}

const nginxProxy = nginxHead + `
  upstream backend { server %s; keepalive 1024; keepalive_requests 1000000000; }
  upstream failing { server %s max_fails=0; server %s backup; keepalive 1024; keepalive_requests 1000000000; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_buffering off;
  server {
    listen %s backlog=4096;
    location / { proxy_pass http://backend; }
  }
  server {
    listen %s backlog=4096;
    location / { proxy_pass http://failing; proxy_next_upstream error timeout http_429 non_idempotent; }
  }
}
`

// StartNginx starts nginx as a proxy with one worker, and with limited one that goes on
// to the upstream's good side where its limited one refuses.
func StartNginx(ctx context.Context, folder string, nginx tool.Tool, u *Upstream, files int, limited bool) (*Contender, error) {
	plain, err := freeAddress()
	if err != nil {
		return nil, err
	}
	failing, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &Contender{Name: "nginx proxy_pass", Address: plain, Header: header()}
	if limited {
		c.Address = failing
	}
	name := "nginx-" + filepath.Base(c.Address)
	p, err := startNginx(ctx, name, folder, nginx, fmt.Sprintf(nginxProxy, files, name, u.Address, u.Limited, u.Address, plain, failing))
	return started(ctx, c, p, err)
}

// StartPortkey starts Portkey's gateway.
func StartPortkey(ctx context.Context, folder string, portkey tool.Tool, u *Upstream) (*Contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &Contender{Name: "@portkey-ai/gateway", Address: address, Header: header()}
	c.Header["x-portkey-provider"] = "openai"
	c.Header["x-portkey-custom-host"] = "http://" + u.Address + "/v1"
	p, err := start(ctx, "portkey", folder, portkey, "--headless", "--port="+port(address))
	return started(ctx, c, p, err)
}

const litellmYAML = `
model_list:
  - model_name: gpt-4o
    litellm_params: { model: openai/gpt-4o, api_base: "http://%s/v1", api_key: backend }
general_settings: { master_key: %s }
litellm_settings: { telemetry: false }
`

// StartLiteLLM starts LiteLLM's proxy with one worker.
func StartLiteLLM(ctx context.Context, folder string, litellm tool.Tool, u *Upstream) (*Contender, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "litellm.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, litellmYAML, u.Address, Key), 0o600); err != nil {
		return nil, err
	}
	p, err := start(ctx, "litellm", folder, litellm, "--config", file, "--host", "127.0.0.1", "--port", port(address), "--num_workers", "1")
	return started(ctx, &Contender{Name: "LiteLLM", Address: address, Header: header()}, p, err)
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
