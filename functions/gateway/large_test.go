package gateway_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// largePTU makes the PTU answer with about a megabyte: more than is read before
// it is passed on.
func (s *site) largePTU() {
	s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Exact: 200_000}})
}

// The usage of a large answer is found while it passes.
func TestLargeAnswer(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.largePTU()
		v := newViewer()
		s.watch(s.t.Context(), v, `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`)
		if n := len(v.text()); v.status != 200 || n < 512<<10 {
			s.t.Fatalf("void: status %d, %d bytes", v.status, n)
		}
		if r := s.last(); !r.Measured || r.Tokens.Completion != 200_000 || r.Tokens.Prompt != usedPrompt {
			t.Errorf("recorded %+v, measured %v", r.Tokens, r.Measured)
		}
	})
}

// A large answer that breaks off must not look complete: the client's connection
// is cut. It is charged and recorded once all the same.
func TestLargeAnswerThatBreaksOff(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.largePTU()
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 600 << 10, Times: 1})
		call := rig.Call{Path: "/v1/chat/completions", Body: `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`}
		if !rig.Serve(s, newViewer(), call.Request(s.t.Context())) {
			t.Error("the handler has ended the answer: the connection must be cut")
		}
		r := s.last()
		if reasons(r) != ptuID+" cut" || r.Measured || r.Tokens.Prompt == 0 {
			t.Errorf("recorded %s, %+v, measured %v", reasons(r), r.Tokens, r.Measured)
		}
		if n := s.asked("payg.test", "gpt-4o"); n != 0 {
			t.Errorf("%d requests went to another backend after the first byte, want 0", n)
		}
	})
}

// A client that leaves in a large answer ends it at the backend.
func TestClientLeavesALargeAnswer(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.largePTU()
		ctx, cancel := context.WithCancel(s.t.Context())
		v := newViewer()
		writes := 0
		v.before = func(int) error {
			if writes++; writes == 2 {
				cancel()
				return errors.New("broken pipe")
			}
			return nil
		}
		s.watch(ctx, v, `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`)
		s.wait(time.Second)
		if r := s.last(); r.Status != 499 || reasons(r) != ptuID+" client_gone" {
			t.Errorf("recorded status %d, %s, want 499, %s", r.Status, reasons(r), ptuID+" client_gone")
		}
	})
}
