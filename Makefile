# Paymint: `make` alone prints the verbs.
.DEFAULT_GOAL := help
SHELL := /bin/sh
CARGO ?= cargo
PAYMINT := $(CARGO) run --quiet -p paymint --features dev --

.PHONY: help demo run test auditor-controls chaos bench fuzz lint fmt check contracts schemas env openapi schemathesis tools clean

help: ## print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## real purchases on local servers, with their timelines; then everything stops
	@echo "building paymint (minutes the first time, seconds afterwards)"
	@$(CARGO) build -p paymint --features dev
	@RUST_LOG=$${RUST_LOG:-warn} $(PAYMINT) demo

run: tools ## the same installation, staying up on 127.0.0.1:4021, data in .paymint/
	@$(CARGO) build -p paymint --features dev
	@RUST_LOG=$${RUST_LOG:-warn} $(PAYMINT) run

test: tools ## every test, on real nats-server, PostgreSQL and anvil
	$(CARGO) build --workspace --exclude bench
	$(CARGO) run --quiet -p runner --bin run-tests -- --workspace --exclude bench
	contracts/test.sh
	tools/exit-test

auditor-controls: tools ## the auditor on a good run, and on one with each wrong that it must find
	$(CARGO) build --workspace --exclude bench
	$(CARGO) test -p auditor

chaos: tools ## load, seeded faults, auditor: SEED=7 or 1..20, ORDERS=2000, MINUTES=4; tests/chaos/README.md
	$(CARGO) build --workspace --exclude bench
	target/debug/chaos --seed $(or $(SEED),1) --orders $(or $(ORDERS),2000) --minutes $(or $(MINUTES),4)

# `make bench intake` is `make bench BENCH=intake`: what follows bench is for the bench, and no target of its own.
# Options need the long form, because make would take them for its own: make bench BENCH="intake --quick".
ifeq ($(firstword $(MAKECMDGOALS)),bench)
PARTS := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
BENCH ?= $(PARTS)
ifneq ($(PARTS),)
.PHONY: $(PARTS)
$(PARTS): bench; @:
endif
endif

bench: tools ## speed and memory, as ratios to raw limits of the same run; `make bench e2e door` for some parts of it
	$(CARGO) build --release -p api -p payment-sender -p confirmer -p mint-projector -p read-projector -p bench
	$(CARGO) run --release --quiet -p bench -- $(BENCH)

fuzz: ## look for bytes that break a promise, SECONDS=60 in all: see fuzz/README.md
	fuzz/run $(or $(SECONDS),60)

lint: tools ## format, plain language, structure, clippy, licences and sources, generated files
	tools/plain-language
	tools/structure
	tools/catalogue --check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	tools/cargo-deny check bans licenses sources
	tools/compose --env-file .env.example --profile chain --profile ops config --quiet
	contracts/compile --check
	contracts/gas --check

fmt: ## format everything
	$(CARGO) fmt --all

check: lint test ## all that CI does, and breaks the contracts to see their tests turn red
	contracts/mutate --short

contracts: tools ## compile the contracts, run their tests, measure their gas
	contracts/compile
	contracts/powers
	contracts/test.sh
	contracts/gas

schemas: tools ## write the examples beside the schemas anew, after an intended change of an event
	UPDATE_EXAMPLES=1 $(CARGO) test -p read-projector --test it -- schemas::

env: ## write the .env.example of each service and the table of the README anew, after an intended change of a variable
	UPDATE_ENV=1 $(CARGO) test -p standalone --lib described::

openapi: ## write schemas/openapi.json and the errors of docs/API.md anew, after an intended change of the API
	UPDATE_OPENAPI=1 $(CARGO) test -p api --lib openapi::

schemathesis: tools ## ask a running installation everything that openapi.json describes, rightly and wrongly
	$(CARGO) build -p paymint --features dev
	tools/schemathesis/run

tools: ## fetch the pinned servers and clients into tools/.local
	@tools/fetch

clean: ## remove what was built and fetched; keeps .paymint
	$(CARGO) clean
	rm -rf tools/.local tools/node_modules tools/peer/node_modules
