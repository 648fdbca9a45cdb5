# The commands that people type. `make help` lists them.

GO ?= go
DATA ?= ./strongroom-data
KILLS ?= 200
PARALLEL ?= 1
PARTITIONS ?= 50
PROBES ?= 1000000
HISTORIES ?= 1000
DURATION ?= 1h

.PHONY: help run dev build tools test check generate e2e bench nodes scale soak crash faults planted lookup xks cluster

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and serve on 127.0.0.1:4566, data in ./strongroom-data
	$(GO) run ./cmd/strongroom serve --data $(DATA)

dev: ## serve as a dev server: credentials test/test, clock and faults endpoints
	$(GO) run ./cmd/strongroom serve --dev --data $(DATA)-dev

build: ## build bin/strongroom
	$(GO) build -trimpath -o bin/strongroom ./cmd/strongroom

tools: ## install what the tests need: Debian's packages (as root), and sops and versitygw into bin/tools
	./.ci/install-tools

test: tools check ## everything that CI runs: tools, generated code, vet, staticcheck, fuzz, counts of what calls cost, tests
	./.ci/fuzz
	$(GO) test -tags strongroom_volatile ./internal/store/pebble
	$(GO) test -tags strongroom_volatile,strongroom_planted_nosync -run Volatile ./internal/store/pebble
	$(GO) test -tags strongroom_openssl ./internal/keyring/software/...
	$(GO) test -run 'CostOf|WhatEncryptAsks' ./internal/server
	$(GO) test ./internal/journal ./internal/sigv4
	$(GO) test -race -timeout 30m ./...

check: ## generated code is up to date; vet; staticcheck; builds with and without cgo, and with OpenSSL
	./.ci/check

e2e: ## the built binary against the AWS CLI, boto3, the SDK for Go, hostile bytes, kill -9
	$(GO) test -count=1 ./e2e/...

generate: ## make api/ from models/
	$(GO) generate ./...

bench: ## compare with HTTP servers that do nothing
	$(GO) run ./bench $(BENCH)

nodes: ## compare one node with three, over PostgreSQL and with a standby (BENCH="-only CreateKey")
	$(GO) run ./bench -nodes $(BENCH)

scale: ## memory, start and speed with a million keys (SCALE="-keys 100000")
	$(GO) run ./bench/scale $(SCALE)

soak: ## an hour of calls and changes: memory and p99 must not grow (DURATION=10m)
	$(GO) run ./bench/soak -duration $(DURATION)

lookup: ## the first page of LookupEvents over 10 million audit records
	$(GO) run ./bench/lookup -records 10000000

xks: ## Encrypt through our external key store proxy, 500 requests a second
	$(GO) run ./bench/xks

crash: ## the long proof: 200 kills under load (KILLS=10000 for more, PARALLEL=2 data folders at once)
	STRONGROOM_KILLS=$(KILLS) STRONGROOM_PARALLEL=$(PARALLEL) $(GO) test -count=1 -v -timeout 24h -run '^TestCrash$$' ./e2e

cluster: KILLS = 50
cluster: ## the long proof, as root: three nodes, PostgreSQL under Patroni (KILLS=, PARTITIONS=, PROBES=, HISTORIES=)
	$(GO) test -count=1 -v -timeout 6h ./e2e/cluster -run '^TestPatroni$$' -args -kills $(KILLS) -partitions $(PARTITIONS) -probes $(PROBES) -histories $(HISTORIES)

faults: ## the long proof: power cuts from 1,000 seeds, and a fault at every operation of the disk
	$(GO) test -count=1 -v -timeout 60m -run '^TestCrash$$' ./internal/store/pebble -crash-seeds 1000
	$(GO) test -count=1 -v -timeout 60m -run '^Test(Crash|Faults.*)$$' ./internal/store/pebble -crash-seeds 30 -crash-every
	$(GO) test -count=1 -v -timeout 60m -run '^TestPowerCuts$$' ./internal/server -power-cuts 1000

planted: ## plant bugs, one after another, and see that a test finds each
	$(GO) run ./e2e/planted
