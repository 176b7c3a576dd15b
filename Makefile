# make help lists the targets. CI runs make check and nothing else.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

include tools/versions.mk

# What a caller may set: make fuzz FUZZTIME=5m, make bench BENCH=Grant COUNT=10,
# make sim SIMTIME=1h SEED=42, make chaos CHAOSTIME=8h,
# make vuln VULNDB=/path/of/a/vulnerability/database.
# Some benchmarks are small unless they are told to be large:
# SESAME_STORM_MACHINES=90 SESAME_EXPIRY_GROUPS=1000 make bench BENCH='Storm|Expiry'.
FUZZTIME  ?= 30s
FUZZ      ?= .
SIMTIME   ?= 60s
CHAOSTIME ?= 5m
BENCH     ?= .
COUNT     ?= 1
PKG       ?= ./...
VULNDB    ?=
SEED     := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))

GOLANGCI_LINT := .tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := .tools/govulncheck-$(GOVULNCHECK_VERSION)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## build ./bin/sesame, static and reproducible
	CGO_ENABLED=0 go build -trimpath -o bin/sesame ./cmd/sesame

.PHONY: demo
demo: build ## play with Sesame on this machine, on three throw-away VMs (root: on the real kernel)
	./bin/sesame demo

.PHONY: check
check: ## everything CI runs, in the same way: lint, vet, generated files, vulnerabilities, tests, races, demo
	@scripts/check

.PHONY: test
test: ## all tests; PKG=./internal/plan narrows it
	@scripts/test $(PKG)

.PHONY: race
race: ## all tests under the race detector (needs a C compiler)
	@scripts/test --race $(PKG)

.PHONY: sim
sim: ## a crash at every call, a million lives, and histories for SIMTIME (60s); SEED=n replays a run
	@echo "seed $(SEED): make sim SEED=$(SEED) replays this run"
	SESAME_SIM_TIME=$(SIMTIME) SESAME_SIM_SEED=$(SEED) go test -count=1 -timeout 0 -v ./internal/simtest

.PHONY: chaos
chaos: ## kill, flush and tamper with a real server for CHAOSTIME (5m); SEED=n draws the same steps (root)
	@echo "seed $(SEED): make chaos SEED=$(SEED) draws the same steps"
	SESAME_CHAOS_TIME=$(CHAOSTIME) SESAME_CHAOS_SEED=$(SEED) go test -count=1 -timeout 0 -v -run '^TestChaos$$' ./cmd/sesame

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s); FUZZ=regexp picks some
	@scripts/fuzz '$(FUZZ)' $(FUZZTIME)

.PHONY: bench
bench: ## run the benchmarks, below the facts of this machine; BENCH=regexp COUNT=n
	@scripts/bench '$(BENCH)' $(COUNT)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## lint the code, its format and the scripts
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run ./...
	shellcheck .ci/run scripts/*

.PHONY: vuln
vuln: $(GOVULNCHECK) ## look for known vulnerabilities in what we call; VULNDB=dir works offline
	$(GOVULNCHECK) $(if $(VULNDB),-db file://$(abspath $(VULNDB))) ./...

.PHONY: generate
generate: ## make the generated files anew
	go generate ./...

.PHONY: tools
tools: $(GOLANGCI_LINT) $(GOVULNCHECK) ## install the pinned tools into ./.tools

.PHONY: clean
clean: ## remove what was built (not ./.tools, which takes minutes to make)
	rm -rf bin

$(GOLANGCI_LINT):
	@scripts/tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(GOLANGCI_LINT_VERSION) $@

$(GOVULNCHECK):
	@scripts/tool golang.org/x/vuln/cmd/govulncheck $(GOVULNCHECK_VERSION) $@
