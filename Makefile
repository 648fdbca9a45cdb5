# The commands that people type. CI runs the same.

.PHONY: build run test e2e crash bench

build:
	go build -o strongroom ./cmd/strongroom

run: build
	./strongroom serve

test:
	go vet ./...
	go test -race ./...

# The built binary against the AWS CLI, boto3, the SDK for Go, hostile bytes, kill -9.
e2e:
	go test -v ./e2e/...

# The long crash test. KILLS=1000 make crash
KILLS ?= 200
crash:
	STRONGROOM_KILLS=$(KILLS) go test ./e2e -run '^TestCrash' -v -timeout 120m

# Throughput and latency beside an empty net/http and an empty fasthttp server.
bench:
	go run ./bench $(BENCH)
