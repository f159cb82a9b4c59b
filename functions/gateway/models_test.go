package gateway_test

import (
	"strings"
	"testing"

	"spillway/tests/rig"
)

const twoModels = `
access: keys
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    auth: { apiKey: "key of ptu" }
    deployments: [{ model: gpt-4o, deployment: gpt-4o-ptu }, { model: gpt-4o-mini }]
  - name: payg
    endpoint: http://payg.test
    auth: { apiKey: "key of payg" }
    deployments: [{ model: gpt-4o }]
pools:
  - { model: gpt-4o, name: production, members: [{ backend: ptu }] }
  - { model: gpt-4o, name: batch, members: [{ backend: payg }] }
  - { model: gpt-4o-mini, members: [{ backend: ptu }] }
consumers:
`

// A model that a consumer may not use is for it one that does not exist. The
// answer names those that it may use, and no others.
func TestConsumerUsesItsModelsOnly(t *testing.T) {
	run(t, twoModels+consumer("team", teamKey, "models: [gpt-4o]"), func(s *site) {
		for _, model := range []string{"gpt-4o-mini", "no-such-model", "GPT-4o"} {
			for _, call := range []rig.Call{
				{Path: "/v1/chat/completions", Body: `{"model":"` + model + `","messages":[{"role":"user","content":"Hi"}]}`},
				{Path: "/openai/deployments/" + model + "/chat/completions", Body: `{"messages":[{"role":"user","content":"Hi"}]}`},
			} {
				call.Key = teamKey
				e := s.refused(s.Send(s.t.Context(), call), 404, "model_not_found")
				if text(e.Param) != "model" || !strings.Contains(e.Message, model) || !strings.Contains(e.Message, "Available: gpt-4o.") {
					t.Errorf("the answer for %s does not help: %+v", model, e)
				}
			}
		}
		if n := len(s.ptu.Requests()) + len(s.payg.Requests()); n != 0 {
			t.Errorf("%d requests reached a backend, want 0", n)
		}
	})
}

// Of several pools of one model a consumer gets the one it is given, else the
// first of the file.
func TestConsumerIsServedByItsPool(t *testing.T) {
	const other = clientSecret + " of the others"
	run(t, twoModels+consumer("team", teamKey, "pools: [batch]")+consumer("others", other, ""), func(s *site) {
		s.servedBy(s.chatAs(teamKey, 10), "payg", "")
		if got := s.last().Pool; got != "batch" {
			t.Errorf("recorded pool %q, want %q", got, "batch")
		}
		s.servedBy(s.chatAs(other, 10), "ptu", "")
		if got := s.last().Pool; got != "production" {
			t.Errorf("recorded pool %q, want %q", got, "production")
		}
		body := strings.Replace(chatBody(10, false), "gpt-4o", "gpt-4o-mini", 1)
		s.servedBy(s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body}), "ptu", "")
	})
}
