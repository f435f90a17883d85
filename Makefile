# CacheStorm: build, run, test, measure. `make help` lists the targets.
#
# System packages that a target needs are installed by utils/need when make runs as root, and named otherwise.

CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/release/cachestorm
CONF   ?= conf/cachestorm.yaml

# Where utils/need puts Rust.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := build
.PHONY: run build test compat bench bench-eviction lint fuzz clients suites crash memcheck clean help

help:      ## show this list
	@sed -n 's/^\([a-z-]*\): .*##/\1\t/p' Makefile | expand -t 16

build:     ## build the release binary
	utils/need cargo:rust cc:build-essential make:make
	$(CARGO) build --release --locked

run: build ## build, then start the server with conf/cachestorm.yaml (CONF=FILE for another)
	mkdir -p data
	$(BINARY) $(CONF)

# The dev profile serves both: its assertions are on, and a release build would take as long as all the rest.
test:      ## unit tests, then the Redis compatibility tests, with debug assertions
	utils/need cargo:rust cc:build-essential make:make tclsh:tcl redis-cli:redis-tools
	status=0; $(CARGO) test --locked || status=1; \
	{ $(CARGO) build --locked && redis-compat-tests/run --server $(TARGET)/debug/cachestorm; } || status=1; \
	exit $$status

compat: build ## Redis compatibility tests against the release binary (ARGS="--resp 3 string")
	utils/need tclsh:tcl redis-cli:redis-tools
	redis-compat-tests/run --server $(BINARY) $(ARGS)

bench: build  ## compare speed, memory and pauses with redis-server (ARGS="cpu --quick")
	utils/need redis-server:redis-server redis-benchmark:redis-tools python3:python3 taskset:util-linux
	$(CARGO) build --release --locked --example pairs --example bare
	utils/bench --server $(BINARY) $(ARGS)

bench-eviction: build ## hit ratios of the eviction policies, next to redis-server (ARGS="--keys 50000")
	utils/need redis-server:redis-server python3:python3
	utils/bench-eviction --server $(BINARY) $(ARGS)

lint:      ## formatting and clippy, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

fuzz: build ## random bytes into what reads them and into a running server (SECONDS=60)
	utils/need python3:python3
	FUZZ_SECONDS=$(or $(SECONDS),60) $(CARGO) test --release --locked --lib fuzz_ -- --show-output
	utils/fuzz-socket --server $(BINARY) --seconds $(or $(SECONDS),60)

clients: build ## sessions of client libraries and job queues (ARGS="--jobs 10000 Celery bullmq")
	utils/need python3:python3 npm:npm
	utils/clients/run --server $(BINARY) $(ARGS)

suites: build ## tests of client packages against our server and redis-server (ARGS="limits bottleneck")
	utils/need python3:python3 npm:npm redis-server:redis-server unshare:util-linux ip:iproute2
	utils/clients/suites --server $(BINARY) $(ARGS)

crash: build ## kill the server, cut its power, fill its disk: nothing acknowledged is lost (ARGS="power --rounds 20")
	utils/need python3:python3 cc:build-essential setpriv:util-linux
	utils/crash --server $(BINARY) $(ARGS)

memcheck:  ## unit tests of the modules with unsafe code, under valgrind
	utils/need valgrind:valgrind python3:python3
	utils/memcheck

clean:     ## remove what was built (never the data directory)
	$(CARGO) clean
