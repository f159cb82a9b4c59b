package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unicode"

	"spillway/functions/console"
)

const (
	// watchEvery is the time between two looks.
	watchEvery = 2 * time.Second
	// statusTimeout bounds one look.
	statusTimeout = 10 * time.Second
	// maxStatus bounds what is read of an answer, in bytes.
	maxStatus = 64 << 20
)

// adminKeyVariable holds the key: arguments are seen by everybody on the machine.
const adminKeyVariable = "SPILLWAY_ADMIN_KEY"

// showStatus asks a gateway how it stands, and draws it.
func showStatus(args []string, std streams) error {
	flags := newFlags("status", "[--url http://127.0.0.1:8080] [--watch] [--format text|json]", std)
	address := flags.String("url", "http://127.0.0.1:8080", "the gateway; the admin key is read from "+adminKeyVariable)
	watch := flags.Bool("watch", false, "look again every two seconds, until Ctrl-C")
	format := flags.String("format", "text", "text, or json: one object without the history; with --watch one in each line")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	asked, err := newInquiry(*address, std)
	if err == nil && *format != "text" && *format != "json" {
		err = fmt.Errorf("--format: there is no %q; take text or json", *format)
	}
	if err != nil {
		fmt.Fprintf(std.err, "spillway status: %v\n", err)
		return errUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := newStatusScreen(std, *format == "json", *watch)
	if !*watch {
		s, err := asked.ask(ctx)
		if err != nil {
			return fmt.Errorf("spillway status: %w", err)
		}
		return show.frame(s, nil)
	}
	return watchStatus(ctx, asked, show, watchEvery)
}

// watchStatus draws until ctx ends. A gateway that does not answer is shown as such,
// and asked again; one that will not answer ends it.
func watchStatus(ctx context.Context, asked *inquiry, show *statusScreen, every time.Duration) error {
	show.open()
	defer show.close()
	var last answer
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		s, err := asked.ask(ctx)
		refused := (*refusedError)(nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || errors.As(err, &refused)):
			return fmt.Errorf("spillway status: %w", err)
		case err == nil:
			last = s
		}
		if err := show.frame(last, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// inquiry asks one gateway.
type inquiry struct {
	url    string
	key    string
	client *http.Client
}

// newInquiry checks what the command line and the environment say. Its errors are of
// their usage.
func newInquiry(address string, std streams) (*inquiry, error) {
	target, err := url.Parse(address)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" ||
		target.User != nil || target.RawQuery != "" || target.Fragment != "" {
		return nil, fmt.Errorf("--url: %q is no address of a gateway; write it like https://gateway.contoso.com", address)
	}
	key, _ := std.env(adminKeyVariable)
	if key == "" {
		return nil, fmt.Errorf("%s is not set; put an admin key into it: spillway keys new makes one, and admin.keys in gateway.yaml takes its hash", adminKeyVariable)
	}
	for _, letter := range key {
		if letter <= ' ' || letter > '~' {
			return nil, fmt.Errorf("%s holds a space or a letter that no key has; set it to the key alone", adminKeyVariable)
		}
	}
	if ip := net.ParseIP(target.Hostname()); target.Scheme == "http" && target.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		fmt.Fprintf(std.err, "spillway status: the key goes to %s unencrypted; give --url an https address\n", plain(target.Host))
	}
	// The history is for charts.
	values := url.Values{"since": {strconv.FormatInt(1<<40, 10)}}
	target = target.JoinPath("spillway", "status")
	target.RawQuery = values.Encode()
	return &inquiry{url: target.String(), key: key, client: &http.Client{
		Timeout: statusTimeout,
		// The key is for this gateway alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// answer is a status, parsed and as it came.
type answer struct {
	console.Status
	text []byte
}

// refusedError is an answer that asking again will not change.
type refusedError struct{ message string }

func (e *refusedError) Error() string { return e.message }

// ask asks once.
func (i *inquiry) ask(ctx context.Context) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Api-Key", i.key)
	response, err := i.client.Do(request)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err // the address stands before it already
		}
		return answer{}, fmt.Errorf("%s does not answer: %w; is the gateway running, and is --url right?", i.host(), err)
	}
	defer response.Body.Close()
	if err := i.refusal(response.StatusCode); err != nil {
		return answer{}, err
	}
	var a answer
	a.text, err = io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s was cut: %w", i.host(), err)
	}
	if err := json.Unmarshal(a.text, &a.Status); err != nil || a.Instance == "" {
		return answer{}, &refusedError{fmt.Sprintf("what answers at %s is no gateway; is --url right?", i.host())}
	}
	return a, nil
}

// refusal says what a status means, and what mends it.
func (i *inquiry) refusal(status int) error {
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized:
		return &refusedError{fmt.Sprintf("%s does not know the key in %s; take one whose hash is under admin.keys in its gateway.yaml", i.host(), adminKeyVariable)}
	case status == http.StatusForbidden:
		return &refusedError{fmt.Sprintf("the key in %s is a consumer's; take one whose hash is under admin.keys in gateway.yaml", adminKeyVariable)}
	case status >= 300 && status < 400:
		return &refusedError{fmt.Sprintf("%s sends elsewhere, and the key is not sent after; give --url the address that it sends to", i.host())}
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("%s answers with status %d; its log says why", i.host(), status)
	default:
		return &refusedError{fmt.Sprintf("%s answers with status %d; is --url that of a gateway of this version?", i.host(), status)}
	}
}

// host is whom is asked, without what belongs to the question.
func (i *inquiry) host() string {
	target, err := url.Parse(i.url)
	if err != nil {
		return "the gateway"
	}
	return target.Scheme + "://" + target.Host
}

// plainJSON is JSON with letters that could move a terminal's cursor written as
// escapes. Outside of its texts JSON has none but line ends.
func plainJSON(text []byte) []byte {
	var b bytes.Buffer
	for _, letter := range string(text) {
		if letter != '\n' && unprintable(letter) && letter <= 0xffff {
			fmt.Fprintf(&b, `\u%04x`, letter)
			continue
		}
		b.WriteRune(letter)
	}
	return b.Bytes()
}

// unprintable tells letters that are not seen, or that change how others are shown.
func unprintable(letter rune) bool {
	return unicode.IsControl(letter) || unicode.In(letter, unicode.Cf, unicode.Zl, unicode.Zp)
}
