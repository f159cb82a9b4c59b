package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"spillway/tests/pause"
)

// user is one person who asks the gateway, reads the answer, thinks, and asks
// again. Half of the users read streams.
type user struct {
	stage  *stage
	stream bool
}

func newUser(s *stage) *user { return &user{stage: s, stream: rand.IntN(2) == 0} }

// run asks until ctx ends. Whatever goes wrong shows in the counts; the user
// only waits and tries again.
func (u *user) run(ctx context.Context) {
	think := between(0, 2*time.Second) // not all at once
	for pause.For(ctx, think) == nil {
		think = between(500*time.Millisecond, 1500*time.Millisecond)
		if wait, err := u.ask(ctx); err != nil {
			think += time.Second
		} else {
			think += wait
		}
	}
}

// ask makes one call and reads its answer. It returns the time that a refusal
// asks to wait.
func (u *user) ask(ctx context.Context) (time.Duration, error) {
	question := strings.Repeat("Tell me more about the tides. ", 1+rand.IntN(8))
	// Answers of many sizes: the small ones fill what the large ones leave.
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`,
		model, u.stream, 20+rand.IntN(180), question)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.stage.endpoint+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+u.stage.key)
	response, err := u.stage.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusTooManyRequests {
		return 0, nil
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, err
}

// between is a random time in [low, high).
func between(low, high time.Duration) time.Duration {
	return low + rand.N(high-low)
}
