# Each target sets up what it needs. Arguments go in variables: make demo DEMO_ARGS=--script

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-otel torture bench soak fuzz

CARGO ?= cargo
# For the server: RUN_ARGS="check config" runs another command than serve.
RUN_ARGS ?= serve
# For the tests: TEST_ARGS="--lib decide" runs some of them.
TEST_ARGS ?=
# For the demo: DEMO_ARGS=--script plays a month.
DEMO_ARGS ?=
# For torture: TORTURE_ARGS="--seed 7 --kills 50 --processes 2"; TORTURE_BUILD=--release for the release build.
TORTURE_ARGS ?=
TORTURE_BUILD ?=
# For the benchmarks: BENCH_ARGS="--bench NAME" runs one of them.
BENCH_ARGS ?= --benches
# For fuzzing: one target of fuzz/fuzz_targets or all, and for how many seconds each.
FUZZ_TARGET ?= envelope inside playbook expression template
FUZZ_SECONDS ?= 60
# For the soak: how long and how fast.
SOAK_ARGS ?= --minutes=60 --rate=500

touchpoint := $(CARGO) run --quiet --locked --
section = @printf '\n=== %s ===\n' "$(1)"

help:
	@echo "make demo    Redis, a stand-in for WeCom and the server, with a sample company; prints where to look"
	@echo "             make demo DEMO_ARGS=--script   plays a month of that company in less than a minute"
	@echo "make test    format, lints, documents, all tests, and the check of the sample company"
	@echo "             make test TEST_ARGS=\"--test config\"   only some of the tests"
	@echo "make test-otel   the same for OpenTelemetry traces, which are built apart"
	@echo "make run     the server with the settings in config/ (see README.md first)"
	@echo "             make run RUN_ARGS=\"check config\"   any other command"
	@echo "make torture servers and Redis are killed 200 times under load: what went in, what came out, lost, doubled"
	@echo "             make torture TORTURE_ARGS=\"--seed 7 --kills 50 --processes 2\"   another plan"
	@echo "make bench   what a callback, a decision and a timer cost"
	@echo "make soak    an hour of 500 callbacks a second, to see that nothing grows (SOAK_ARGS=\"$(SOAK_ARGS)\")"
	@echo "make fuzz    a minute for each parser (FUZZ_TARGET=playbook FUZZ_SECONDS=600)"
	@echo "make setup   installs what is missing: redis-server"

setup:
	@.ci/setup

demo: setup
	@echo "building; the first time takes some minutes"
	@$(touchpoint) demo $(DEMO_ARGS)

run: setup
	@$(touchpoint) $(RUN_ARGS)

test:
	@.ci/setup promtool
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

# Apart from the rest: with another set of features nearly everything is built once more.
test-otel: setup
	$(call section,lints with traces)
	$(CARGO) clippy --locked --features otel --lib --bins --test traces --quiet -- -D warnings
	$(call section,traces)
	$(CARGO) test --locked --features otel --test traces

# A later argument counts before an earlier one.
torture: setup
	TORTURE_ARGS="--kills 200 --processes 3 $(TORTURE_ARGS)" $(CARGO) test --locked $(TORTURE_BUILD) --test torture -- --nocapture

bench: setup
	$(CARGO) bench --locked $(BENCH_ARGS)

soak: setup
	$(CARGO) bench --locked --bench whole -- soak $(SOAK_ARGS)

# cargo-fuzz wants a nightly compiler; the stable one takes the same flags when it is told to.
fuzz: setup
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo "setup: installing cargo-fuzz"; $(CARGO) install cargo-fuzz --locked; }
	@for target in $(FUZZ_TARGET); do mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target \
	    -- -dict=fuzz/$$target.dict -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10; done
