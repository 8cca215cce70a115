# cove's tasks. `make` alone lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO            ?= go
NAME          ?= cove
ARTIFACTS     ?= $(CURDIR)/artifacts
COVE          := bin/cove
LDFLAGS       := -s -w -buildid=
PLATFORMS     := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
GOLANGCI      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOTESTSUM     := gotest.tools/gotestsum@v1.13.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.8.0
E2E_TIMEOUT   ?= 55m
# Those of the modules in images/ that have more of cove's own than a main around somebody else's packages.
OWN_MODULES   := node flannel metrics-server containerd pause
CONTAINERD_TAGS := no_btrfs,no_devmapper,no_zfs
# What clusters are upgraded from.
OLD_VERSION   := v1.35.4
export CGO_ENABLED = 0

.PHONY: help setup up down build cross image unit contract lint verify vuln e2e test fmt generate golden bench cover clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the image build and the tests need (Debian or Ubuntu, as root), start Docker if no engine answers
	@./images/setup.sh

up: setup build ## Set up all that is needed, build cove and its node image, create a cluster
	$(COVE) build node-image
	@if $(COVE) status $(NAME) >/dev/null 2>&1; then echo "cluster $(NAME) is there already"; else $(COVE) create $(NAME); fi
	$(COVE) kubectl --name $(NAME) -- get nodes

down: build ## Remove every cluster
	$(COVE) delete --all

build: ## Build bin/cove
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(COVE) ./cmd/cove

cross: ## Build the command line for every platform that it supports
	@for p in $(PLATFORMS); do echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/cove; done

image: setup build ## Build the node image and print its sizes
	$(COVE) build node-image --sizes

unit: ## Run the tests that need neither an engine nor a network
	@mkdir -p $(ARTIFACTS)
	$(GO) run $(GOTESTSUM) --format pkgname --junitfile $(ARTIFACTS)/unit.xml -- ./...
	cd images/node && $(GO) test ./...
	cd images/flannel && $(GO) test -trimpath ./...
	cd images/metrics-server && $(GO) test -trimpath ./...
	cd images/containerd && $(GO) test -trimpath -tags $(CONTAINERD_TAGS) ./...

contract: ## Run the engine's contract suite against Docker
	COVE_REQUIRE_ENGINE=1 $(GO) run $(GOTESTSUM) --format pkgname --junitfile $(ARTIFACTS)/contract.xml -- -count=1 -tags integration ./pkg/engine/...

lint: ## Check the code
	$(GO) run $(GOLANGCI) run ./...
	@for m in $(OWN_MODULES); do echo "lint images/$$m"; (cd images/$$m && $(GO) run $(GOLANGCI) run --config $(CURDIR)/.golangci.yml --build-tags $(CONTAINERD_TAGS) ./...); done

verify: ## Check that all that is generated is fresh
	@./images/verify.sh "$(MAKE)"

vuln: ## Look for known vulnerabilities in what cove is linked with (needs the network)
	$(GO) run $(GOVULNCHECK) ./...

e2e: setup build ## Run the end-to-end tests on real clusters
	$(COVE) build node-image
	$(COVE) build node-image --kubernetes-version $(OLD_VERSION)
	$(COVE) build addon-images
	@mkdir -p $(ARTIFACTS)
	COVE_BIN=$(CURDIR)/$(COVE) E2E_REQUIRE=1 E2E_ARTIFACTS=$(ARTIFACTS) $(GO) run $(GOTESTSUM) --format testname --junitfile $(ARTIFACTS)/e2e.xml -- -count=1 -p 1 -tags e2e -timeout $(E2E_TIMEOUT) ./e2e/...

# The other operating systems and the other architecture: the platforms that are left out differ in nothing that is not in these.
test: PLATFORMS := darwin/arm64 windows/amd64
test: setup lint verify unit cross contract e2e ## Run everything: lint, generated files, unit, scripts, other platforms, contract, end to end

fmt: ## Format the code
	$(GO) run $(GOLANGCI) fmt ./...

generate: ## Make what is generated
	$(GO) generate ./...

golden: ## Write the goldens anew; read the difference
	$(GO) test $$(grep -rlE 'flag.Bool\("update"' --include=*_test.go pkg cmd | xargs -n1 dirname | sort -u | sed 's|^|./|') -update
	COVE_UPDATE_SCRIPTS=1 $(GO) test ./pkg/cli

bench: setup build ## Compare with kind, and profiles and addons with each other, in turn, on one engine
	$(COVE) build node-image
	$(COVE) build addon-images
	$(GO) run ./e2e/bench $(BENCH)

cover: ## Show which lines the unit tests reach
	@mkdir -p $(ARTIFACTS)
	$(GO) test -coverprofile=$(ARTIFACTS)/cover.out ./pkg/... && $(GO) tool cover -func=$(ARTIFACTS)/cover.out | tail -1

clean: ## Remove what was built, but not the caches
	rm -rf bin artifacts
