# rawshake. On a fresh Debian machine with Go, each target does its own set-up.
# Root is needed for packets (demo) and for network namespaces (test, bench): sudo is used there alone, unless you are
# root, and each script says what for.

export CGO_ENABLED ?= 0

.PHONY: help build demo test bench

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

build: ## build bin/rawshake
	go build -trimpath -o bin/ ./cmd/rawshake

demo: build ## probe an open, a closed and a silent port on loopback and show the packets
	@.ci/with-net-raw bin/rawshake demo

test: ## run every check and test: builds for all platforms, linters, race detector, fuzzing, namespaces
	@.ci/test

bench: ## measure side by side with others and write docs/benchmarks.md (COUNT=rounds; BENCH=pattern only runs benchmarks)
	@.ci/bench
