# Spillway. `make` or `make help` lists the targets.

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 20s
ARCH ?= amd64
CONFIG ?= gateway.yaml

.DEFAULT_GOAL := help
.PHONY: help run build package start deploy image package-lambda test test-short sim soak azurite lint fuzz bench bench-compare bench-micro profile prove-spillover schema vendor clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the gateway before three simulated backends; prints curl lines to paste, Ctrl-C ends it
	@$(GO) build -o bin/demo ./tests/demo && exec bin/demo

build: ## the spillway binary, into bin/
	$(GO) build -buildvcs=auto -o bin/spillway ./functions/azure

package: ## dist/, what an Azure Functions host needs (CONFIG=gateway.yaml ARCH=amd64 or arm64)
	@CONFIG="$(if $(filter command%,$(origin CONFIG)),$(CONFIG))" GOOS=linux GOARCH="$(ARCH)" GO="$(GO)" functions/azure/package.sh

start: ## the gateway as a Functions app on this machine: Azurite and func start; Ctrl-C ends it
	@GO="$(GO)" functions/azure/start.sh

deploy: package ## publish dist/ to a Function app: make deploy APP=name
	@test -n "$(APP)" || { echo 'which app? make deploy APP=name' >&2; exit 1; }
	@SPILLWAY_APP="$(APP)" infra/azure/hooks/publish.sh

image: ## a container image (ARCH=amd64 or arm64)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -ldflags '-s -w' -o bin/linux-$(ARCH)/spillway ./functions/azure
	docker build --platform linux/$(ARCH) -t spillway .

package-lambda: ## bin/lambda/: bootstrap and the configuration (CONFIG=gateway.yaml), for sam deploy
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '-s -w' -tags lambda.norpc -o bin/lambda/bootstrap ./functions/lambda
	cp $(CONFIG) bin/lambda/gateway.yaml

test: ## everything: unit, contract, end-to-end tests with the race detector; model search and simulation
	$(GO) test -race -shuffle=on -count=1 $$($(GO) list ./... | grep -v /tests/model)
	@# Connections make raw system calls only without the race detector, and stacks are larger with it: what this is about runs both ways.
	$(GO) test -count=1 ./shared/rawconn ./shared/server ./shared/upstream/... ./functions/app
	$(GO) test -count=1 -timeout 20m ./tests/model/... ./tests/sim/...

test-short: ## the tests that need neither npm nor minutes
	$(GO) test -short -shuffle=on ./...

lint: ## gofmt, go vet, staticcheck, tidy go.mod, no sleeping tests
	@test -z "$$(gofmt -l functions shared tests)" || { gofmt -d functions shared tests; exit 1; }
	$(GO) vet ./...
	GOOS=windows GOARCH=arm64 $(GO) vet ./shared/openai ./shared/rawconn
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	@! git grep -nE '\btime\.Sleep\(' -- '*_test.go' || { echo 'tests wait with synctest, channels or polling, not with time.Sleep'; exit 1; }

fuzz: ## each fuzz target for FUZZTIME (20s)
	@set -e; for package in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's,^,./,'); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
	  done; \
	done

sim: ## 10,000 random schedules of users, sizes and failures in virtual time
	$(GO) test -count=1 -timeout 30m ./tests/sim -run 'TestSchedules$$' -seeds=10000

soak: ## longer runs of the same tests, and ten minutes under load with flat memory (SOAK=10m; about 40 minutes)
	$(GO) test -count=1 -timeout 30m -v -run Linearizable ./tests/contract -histories=20 -operations=2000
	$(GO) test -count=1 -timeout 60m ./tests/sim -run 'TestFleet$$' -seeds=10000
	$(GO) test -count=1 -timeout 60m ./tests/sim -run 'TestSwarm$$' -seeds=100
	$(GO) test -count=1 -timeout 60m ./shared/lease ./shared/breaker/... ./shared/quota -rapid.checks=20000
	@$(GO) build -o bin/bench ./tests/bench && bin/bench --only soak $(if $(SOAK),--soak $(SOAK))

azurite: ## Microsoft's storage emulator on its usual ports, in memory; prints the connection string, Ctrl-C ends it
	@$(GO) build -o bin/azurite ./tests/fakes/azurite/cmd && exec bin/azurite

# LiteLLM takes part where Python can install it: a minute and 750 MB, the first time.
LITELLM ?= $(shell python3 -c 'import ensurepip, venv' 2>/dev/null && echo 1)

bench: ## what Spillway costs, in ratios, against ReverseProxy, nginx, Portkey, LiteLLM (LITELLM=: without); writes tests/bench/RESULTS.md (7 minutes)
	@$(GO) build -o bin/bench ./tests/bench && exec bin/bench $(if $(LITELLM),--litellm) --markdown tests/bench/RESULTS.md --json tests/bench/results.json

bench-compare: ## the micro benchmarks against a commit, by benchstat: make bench-compare BASE=HEAD~1 (BENCH=regexp COUNT=6 TIME=50ms)
	@GO="$(GO)" BASE="$(BASE)" BENCH="$(BENCH)" COUNT="$(COUNT)" TIME="$(TIME)" tests/bench/compare.sh

profile: ## profiles of the program under load, into bin/profile: processor, heap, locks, goroutines
	@$(GO) build -o bin/bench ./tests/bench && exec bin/bench --only profile

bench-micro: ## the micro benchmarks of the packages, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./shared/... ./functions/...

prove-spillover: ## Spillway against a post-paid counter on the same backends, in real time (about 3 minutes)
	@$(GO) build -o bin/prove ./tests/prove && exec bin/prove --svg bin/prove-spillover.svg

schema: ## write the JSON Schema of gateway.yaml again
	$(GO) run ./functions/azure schema > shared/config/gateway.schema.json.new && mv shared/config/gateway.schema.json.new shared/config/gateway.schema.json

vendor: ## the console's copy of uPlot, as functions/console/web/package-lock.json pins it
	cd functions/console/web && npm ci --no-audit --no-fund --ignore-scripts && cp node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css lib/ && cp node_modules/uplot/LICENSE lib/uPlot.LICENSE && rm -rf node_modules

clean: ## remove what was built
	rm -rf bin dist
