package gateway_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// three is a gateway for the model gpt-4o before the backends a, b and c, with a
// line of settings for each deployment and each member.
func three(strategy string, deployments, members [3]string) string {
	var backends, list strings.Builder
	for i, name := range []string{"a", "b", "c"} {
		fmt.Fprintf(&backends, "  - { name: %s, endpoint: \"http://%s.test\", deployments: [{ model: gpt-4o, deployment: %s-gpt-4o%s }] }\n", name, name, name, deployments[i])
		fmt.Fprintf(&list, "      - { backend: %s%s }\n", name, members[i])
	}
	return "access: open\nadmin: { keys: [\"" + adminKey + "\"] }\nbackends:\n" + backends.String() +
		"pools:\n  - model: gpt-4o\n    strategy: " + strategy + "\n    members:\n" + list.String()
}

// threeBackends are a, b and c, each with its own time to the first byte.
func threeBackends(firstByte ...time.Duration) func() hosts {
	return func() hosts {
		all := hosts{}
		for i, name := range []string{"a", "b", "c"} {
			o := azureopenai.Options{Name: name, Deployments: []azureopenai.Deployment{{Name: name + "-gpt-4o"}}, Output: azureopenai.Output{Exact: 20}}
			if len(firstByte) > i {
				o.Latency.FirstByte = firstByte[i]
			}
			all[name+".test"] = azureopenai.New(o)
		}
		return all
	}
}

// shares are the requests that a, b and c were asked.
func (s *site) shares() [3]int64 {
	return [3]int64{s.asked("a.test", "a-gpt-4o"), s.asked("b.test", "b-gpt-4o"), s.asked("c.test", "c-gpt-4o")}
}

// Each priority is used to its last token before the next one is. When the
// window turns the first one is used again.
func TestPrioritiesFillUpInOrder(t *testing.T) {
	limits := [3]string{", tokensPerMinute: 1000", ", tokensPerMinute: 2000", ", tokensPerMinute: 4000"}
	runBefore(t, three("weighted", limits, [3]string{", priority: 2", ", priority: 0", ", priority: 1"}), threeBackends(), func(s *site) {
		for range 2 {
			for range 4 {
				s.servedBy(s.chat(498), "b", "") // 500 each, as Azure counts
			}
			for range 8 {
				s.servedBy(s.chat(498), "c", "quota")
			}
			for range 2 {
				s.servedBy(s.chat(498), "a", "quota")
			}
			w := s.chat(498)
			s.refused(w, 429, "rate_limit_exceeded")
			s.retryAfter(w, time.Minute)
			s.wait(time.Minute)
		}
	})
}

// Within one priority the weights are the shares.
func TestWeights(t *testing.T) {
	const requests = 2000
	runBefore(t, three("weighted", [3]string{}, [3]string{", weight: 6", ", weight: 3", ", weight: 1"}), threeBackends(), func(s *site) {
		s.options.Random = seeded(1)
		s.start()
		for range requests {
			if w := s.chat(10); w.Code != 200 {
				s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
			}
		}
		got := s.shares()
		for i, weight := range []float64{0.6, 0.3, 0.1} {
			if share := float64(got[i]) / requests; share < weight-0.03 || share > weight+0.03 {
				t.Errorf("backend %d got a share of %.3f, want %.1f", i, share, weight)
			}
		}
	})
}

// A member that may not serve leaves its share to the others of its priority, in
// proportion to their weights: the one that is drawn is asked alone, and when it may not
// serve the choice is made anew among all that may.
func TestWeightsBesideOneThatMayNotServe(t *testing.T) {
	const requests = 4000
	tooSmall := ", tokensPerMinute: 100"
	for out, want := range map[int][3]float64{0: {0, 0.75, 0.25}, 1: {6.0 / 7, 0, 1.0 / 7}, 2: {2.0 / 3, 1.0 / 3, 0}} {
		limits := [3]string{}
		limits[out] = tooSmall
		runBefore(t, three("weighted", limits, [3]string{", weight: 6", ", weight: 3", ", weight: 1"}), threeBackends(), func(s *site) {
			s.options.Random = seeded(3)
			s.start()
			for range requests {
				if w := s.chat(498); w.Code != 200 {
					s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
				}
			}
			got := s.shares()
			for i := range want {
				// Four standard deviations of such a share, at most.
				if share := float64(got[i]) / requests; math.Abs(share-want[i]) > 0.032 || want[i] == 0 && got[i] > 0 {
					t.Errorf("without backend %d, backend %d got a share of %.3f, want %.3f", out, i, share, want[i])
				}
			}
		})
	}
}

// A member that is out leaves its share to the others of its priority, and
// nothing spills while one of them has room.
func TestWeightsOfThoseThatAreLeft(t *testing.T) {
	runBefore(t, three("weighted", [3]string{", tokensPerMinute: 100"}, [3]string{", weight: 1000", "", ", priority: 2"}), threeBackends(), func(s *site) {
		for range 50 {
			if w := s.chat(48); w.Code != 200 {
				s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
			}
		}
		if got := s.shares(); got != [3]int64{2, 48, 0} {
			t.Errorf("the shares are %v, want two for a to fill it and the rest for b", got)
		}
	})
}

// Every candidate is measured once; then the fastest gets the requests. What is
// in flight counts, so parallel requests are spread.
func TestLeastLatency(t *testing.T) {
	yaml := three("leastLatency", [3]string{}, [3]string{})
	t.Run("one after the other", func(t *testing.T) {
		runBefore(t, yaml, threeBackends(200*time.Millisecond, 10*time.Millisecond, 200*time.Millisecond), func(s *site) {
			for range 100 {
				s.chat(10)
			}
			// Two of the three are sampled: the fast one is among them twice out
			// of three times, and wins.
			if got := s.shares(); got[1] < 45 || got[0] == 0 || got[2] == 0 {
				t.Errorf("the shares are %v, want most for the fast one", got)
			}
		})
	})
	t.Run("all at once", func(t *testing.T) {
		runBefore(t, yaml, threeBackends(10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond), func(s *site) {
			for range 20 {
				s.chat(10)
			}
			before := s.shares()
			s.together(60, func(int) { s.chat(10) })
			for i, n := range s.shares() {
				if n -= before[i]; n < 10 || n > 30 {
					t.Errorf("backend %d got %d of 60 parallel requests", i, n)
				}
			}
		})
	})
}

// The member with the most room left is chosen, so that all are equally full
// before one of them is exhausted.
func TestMostHeadroom(t *testing.T) {
	limits := [3]string{", tokensPerMinute: 10000", ", tokensPerMinute: 5000", ", tokensPerMinute: 7000"}
	runBefore(t, three("mostHeadroom", limits, [3]string{}), threeBackends(), func(s *site) {
		for range 20 {
			s.chat(498)
		}
		low, high := int64(1<<62), int64(0)
		for _, id := range []string{"a/a-gpt-4o", "b/b-gpt-4o", "c/c-gpt-4o"} {
			left := s.deployment(id).Tokens.Remaining
			low, high = min(low, left), max(high, left)
		}
		if high-low > 500 || high > 4500 {
			t.Errorf("between %d and %d tokens are left: they differ by more than one request", low, high)
		}
	})
}

// spillBelow sends small requests elsewhere while there is an elsewhere. The
// room that it keeps free is used rather than to refuse a request.
func TestSpillBelow(t *testing.T) {
	limited := with("tokensPerMinute: 10000", "tokensPerMinute: 10000, spillBelow: 600")
	t.Run("prefers others", func(t *testing.T) {
		run(t, limited, func(s *site) {
			s.servedBy(s.chat(9398), "ptu", "") // 600 are left
			s.servedBy(s.chat(8), "ptu", "")    // 590 are left
			s.servedBy(s.chat(8), "payg", "quota")
		})
	})
	t.Run("and uses the last room when the others are full", func(t *testing.T) {
		run(t, limited, func(s *site) {
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Minute})
			s.servedBy(s.chat(9498), "ptu", "")
			s.servedBy(s.chat(98), "ptu", "")
			s.servedBy(s.chat(398), "ptu", "")
			s.refused(s.chat(8), 429, "rate_limit_exceeded")
		})
	})
	t.Run("and for those who may not spill", func(t *testing.T) {
		yaml := strings.Replace(limited, "access: open\n", "access: keys\nconsumers:\n"+consumer("team", teamKey, "spillover: false"), 1)
		run(t, yaml, func(s *site) {
			s.servedBy(s.chatAs(teamKey, 9498), "ptu", "")
			s.servedBy(s.chatAs(teamKey, 498), "ptu", "")
		})
	})
}

// sharedPTU is one deployment in two pools, and a second model on the same
// backend.
const sharedPTU = `
access: keys
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    auth: { apiKey: "key of ptu" }
    deployments:
      - { model: gpt-4o, deployment: gpt-4o-ptu, tokensPerMinute: 10000 }
      - { model: gpt-4o-mini }
  - name: payg
    endpoint: http://payg.test
    auth: { apiKey: "key of payg" }
    deployments: [{ model: gpt-4o }, { model: gpt-4o-mini }]
pools:
  - { model: gpt-4o, name: production, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
  - { model: gpt-4o, name: batch, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
  - { model: gpt-4o-mini, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
consumers:
  - { name: production, keys: ["` + clientSecret + ` production"], pools: [production] }
  - { name: batch, keys: ["` + clientSecret + ` batch"], pools: [batch] }
`

const (
	productionKey = clientSecret + " production"
	batchKey      = clientSecret + " batch"
)

// A deployment in two pools is one deployment: what one pool takes the other
// does not have, and what one finds out the other knows.
func TestDeploymentInTwoPools(t *testing.T) {
	t.Run("shares its limit", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.servedBy(s.chatAs(productionKey, 8998), "ptu", "")
			s.servedBy(s.chatAs(batchKey, 998), "ptu", "")
			s.servedBy(s.chatAs(productionKey, 1), "payg", "quota")
			s.servedBy(s.chatAs(batchKey, 1), "payg", "quota")
		})
	})
	t.Run("shares its throttle", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 10 * time.Second, Times: 1})
			s.servedBy(s.chatAs(productionKey, 10), "payg", "throttled")
			s.servedBy(s.chatAs(batchKey, 10), "payg", "throttled")
			if n := s.asked("ptu.test", "gpt-4o-ptu"); n != 1 {
				t.Errorf("the throttled deployment was asked %d times, want 1", n)
			}
		})
	})
	t.Run("shares its breaker", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500})
			for i := range 5 {
				s.servedBy(s.chatAs([]string{productionKey, batchKey}[i%2], 10), "payg", "failed")
			}
			s.servedBy(s.chatAs(productionKey, 10), "payg", "open")
			s.servedBy(s.chatAs(batchKey, 10), "payg", "open")
		})
	})
}

// What befalls one deployment is not the matter of another one on the same
// backend.
func TestDeploymentsOfOneBackendAreApart(t *testing.T) {
	mini := rig.Call{Path: "/v1/chat/completions", Key: productionKey, Body: strings.Replace(chatBody(10, false), "gpt-4o", "gpt-4o-mini", 1)}
	t.Run("throttled", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 10 * time.Second, Match: azureopenai.Match{Deployment: "gpt-4o-ptu"}})
			s.servedBy(s.chatAs(productionKey, 10), "payg", "throttled")
			s.servedBy(s.Send(s.t.Context(), mini), "ptu", "")
		})
	})
	t.Run("broken", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Match: azureopenai.Match{Deployment: "gpt-4o-ptu"}})
			for range 6 {
				s.chatAs(productionKey, 10)
			}
			if got := s.deployment("ptu/gpt-4o-ptu").Breaker; got != "open" {
				s.t.Fatalf("void: the breaker is %s, want open", got)
			}
			s.servedBy(s.Send(s.t.Context(), mini), "ptu", "")
			if got := s.deployment("ptu/gpt-4o-mini").Breaker; got != "closed" {
				t.Errorf("the other deployment's breaker is %s, want closed", got)
			}
		})
	})
	t.Run("full", func(t *testing.T) {
		run(t, sharedPTU, func(s *site) {
			s.servedBy(s.chatAs(productionKey, 9998), "ptu", "")
			s.servedBy(s.chatAs(productionKey, 10), "payg", "quota")
			s.servedBy(s.Send(s.t.Context(), mini), "ptu", "")
		})
	})
}

// A request limit is checked over ten seconds on Azure, and spills too.
func TestRequestLimitOfADeployment(t *testing.T) {
	run(t, with("tokensPerMinute: 10000", "requestsPerMinute: 12"), func(s *site) {
		for range 2 {
			for range 2 {
				s.servedBy(s.chat(10), "ptu", "")
			}
			s.servedBy(s.chat(10), "payg", "quota")
			s.wait(10 * time.Second)
		}
	})
}
