# The commands that people type. `make help` lists them.

GO ?= go
DATA ?= ./strongroom-data

.PHONY: help run dev build test test-long check generate bench crash tools

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and serve on 127.0.0.1:4566, data in ./strongroom-data
	$(GO) run ./cmd/strongroom serve --data $(DATA)

dev: ## serve as a dev server: credentials test/test, clock and faults endpoints
	$(GO) run ./cmd/strongroom serve --dev --data $(DATA)-dev

build: ## build bin/strongroom
	$(GO) build -trimpath -o bin/strongroom ./cmd/strongroom

tools: ## install what the tests need from Debian's packages (as root)
	./.ci/install-tools

test: tools check ## everything that CI runs: tools, generated code, vet, staticcheck, tests, fuzz
	$(GO) test -race -timeout 20m ./...
	./.ci/fuzz

check: ## generated code is up to date; vet; staticcheck; builds with and without cgo
	./.ci/check

generate: ## make api/ from models/
	$(GO) generate ./...

bench: ## compare with HTTP servers that do nothing
	$(GO) run ./bench

crash: ## the long proof: 200 kills under load
	KILLS=200 $(GO) test -count=1 -timeout 60m -run TestKill ./e2e
