# Each target sets up what it needs. Arguments go in variables: make demo DEMO_ARGS=--script

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo run test bench soak

CARGO ?= cargo
# For the server: RUN_ARGS="check config" runs another command than serve.
RUN_ARGS ?= serve
# For the tests: TEST_ARGS="--lib decide" runs some of them.
TEST_ARGS ?=
# For the demo: DEMO_ARGS=--script plays a month.
DEMO_ARGS ?=
# For the benchmarks: BENCH_ARGS="--bench NAME" runs one of them.
BENCH_ARGS ?= --benches
# For the soak: how long and how fast.
SOAK_ARGS ?= --minutes=60 --rate=500

touchpoint := $(CARGO) run --quiet --locked --
section = @printf '\n=== %s ===\n' "$(1)"

help:
	@echo "make demo    Redis, a stand-in for WeCom and the server, with a sample company; prints where to look"
	@echo "             make demo DEMO_ARGS=--script   plays a month of that company in less than a minute"
	@echo "make test    format, lints, documents, all tests, and the check of the sample company"
	@echo "             make test TEST_ARGS=\"--test config\"   only some of the tests"
	@echo "make run     the server with the settings in config/ (see README.md first)"
	@echo "             make run RUN_ARGS=\"check config\"   any other command"
	@echo "make bench   what a callback, a decision and a timer cost"
	@echo "make soak    an hour of 500 callbacks a second, to see that nothing grows (SOAK_ARGS=\"$(SOAK_ARGS)\")"
	@echo "make setup   installs what is missing: redis-server"

setup:
	@.ci/setup

demo: setup
	@echo "building; the first time takes some minutes"
	@$(touchpoint) demo $(DEMO_ARGS)

run: setup
	@$(touchpoint) $(RUN_ARGS)

test: setup
	$(call section,format)
	$(CARGO) fmt --check
	$(call section,lints)
	$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	$(call section,documents)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet
	$(call section,tests)
	$(CARGO) test --locked $(TEST_ARGS)
	$(call section,the sample company)
	@# Without settings of one's own the placeholders stand in: they have the right form.
	@if [ ! -f config/.env ]; then set -a; . ./.env.example; set +a; fi; $(touchpoint) check config

bench: setup
	$(CARGO) bench --locked $(BENCH_ARGS)

soak: setup
	$(CARGO) bench --locked --bench whole -- soak $(SOAK_ARGS)
