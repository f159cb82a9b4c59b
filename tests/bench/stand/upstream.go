package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"spillway/tests/bench/tool"
)

// Upstream is the simulated backend that all contenders of a section stand before.
type Upstream struct {
	*Process
	// Address is where it listens. On Limited it refuses one request of twenty with 429
	// and is ready again a millisecond later.
	Address, Limited string
	// reads says that it reads the whole of a request before it answers.
	reads bool
	// extra is how many requests one count adds.
	extra int64
	count string // the URL that tells the requests so far
}

// answer is a chat completion of 276 bytes.
const answer = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",` +
	`"message":{"role":"assistant","content":"Hello! How can I help you today?"}}],"usage":{"prompt_tokens":19,"completion_tokens":9,"total_tokens":28}}`

// nginxHead begins a configuration of nginx: one worker, everything in this folder.
const nginxHead = `
worker_processes 1;
worker_rlimit_nofile %d;
daemon off;
pid nginx-%s.pid;
error_log stderr error;
events { worker_connections %[1]d; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 64m;
  client_body_buffer_size 2m;
  client_body_temp_path body-%[2]s;
  proxy_temp_path proxy-%[2]s;
  fastcgi_temp_path fastcgi-%[2]s;
  uwsgi_temp_path uwsgi-%[2]s;
  scgi_temp_path scgi-%[2]s;
  default_type application/json;
`

const staticUpstream = nginxHead + `
  split_clients "$connection-$connection_requests" $limited { 5%% 1; * ""; }
  server {
    listen %s backlog=4096;
    location / { return 200 '%s'; }
    location = /count { stub_status; }
  }
  server {
    listen %s backlog=4096;
    location / {
      if ($limited) { rewrite ^ /limited last; }
      return 200 '%[4]s';
    }
    location = /limited {
      internal;
      add_header retry-after-ms 1 always;
      return 429 '{"error":{"code":"429","message":"too many requests"}}';
    }
  }
}
`

// StartStatic starts the cheapest upstream: an nginx that answers every request with
// the same short answer, before it has read the request's body.
func StartStatic(ctx context.Context, folder string, nginx tool.Tool, files int) (*Upstream, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	limited, err := freeAddress()
	if err != nil {
		return nil, err
	}
	content := fmt.Sprintf(staticUpstream, files, "upstream", address, answer, limited)
	p, err := startNginx(ctx, "upstream", folder, nginx, content)
	if err != nil {
		return nil, err
	}
	u := &Upstream{Process: p, Address: address, Limited: limited, count: "http://" + address + "/count", extra: 1}
	return u, u.ready(ctx)
}

// StartReading starts the upstream that reads the whole of each request, and paces its
// streams by the flags of the command.
func StartReading(ctx context.Context, folder string, upstream tool.Tool, flags ...string) (*Upstream, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	limited, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "upstream", folder, upstream, append([]string{"--listen", address, "--refusing", limited}, flags...)...)
	if err != nil {
		return nil, err
	}
	u := &Upstream{Process: p, Address: address, Limited: limited, reads: true, count: "http://" + address + "/count"}
	return u, u.ready(ctx)
}

// ready waits until it answers, and stops it if it does not.
func (u *Upstream) ready(ctx context.Context) error {
	err := u.await(ctx, func(ctx context.Context) error {
		_, err := u.Count(ctx)
		return err
	})
	if err != nil {
		u.Stop()
	}
	return err
}

// URL is where it is asked for chat completions.
func (u *Upstream) URL() string { return "http://" + u.Address + path }

// path is the one that all contenders know.
const path = "/v1/chat/completions"

// Release ends the streams that it holds.
func (u *Upstream) Release(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.Address+"/release", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// Count returns the requests that it has got so far.
func (u *Upstream) Count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.count, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return 0, err
	}
	return parseCount(string(content))
}

var errNoCount = errors.New("the upstream does not tell its requests")

// parseCount reads a number by itself, or nginx's status, whose third line holds the
// connections that were accepted and handled, and the requests.
func parseCount(text string) (int64, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	fields := strings.Fields(lines[0])
	if len(lines) > 2 {
		fields = strings.Fields(lines[2])
	}
	if len(fields) == 0 {
		return 0, errNoCount
	}
	n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	if err != nil || n < 0 {
		return 0, errNoCount
	}
	return n, nil
}

// startNginx starts an nginx with a configuration of its own.
func startNginx(ctx context.Context, name, folder string, nginx tool.Tool, content string) (*Process, error) {
	file := filepath.Join(folder, name+".conf")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, name, folder, nginx, "-p", folder, "-e", "stderr", "-c", file)
}
