# Short names for what one does often. The build system is CMake (CMakePresets.json); this file forwards.
PORT ?= 8080
PREFIX ?= /usr/local
BENCH ?= all
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
build = cmake --preset $(1) >/dev/null && cmake --build --preset $(1) -j $(JOBS) $(2)

.PHONY: help setup build serve pack test test-fleet test-arm64 check format asan tsan valgrind fuzz bench install image deb clean distclean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what building and running needs (apt, npm)
	@scripts/setup

build: setup ## release build in build/release
	@$(call build,release)

pack: setup # import the default models into data/packs/default, if absent or outdated
	@$(call build,release,--target frt)
	@scripts/import-pack build/release/frt data

serve: pack ## set up, build, import the default pack and serve on 127.0.0.1:PORT (8080)
	@exec scripts/serve build/release/frt data $(PORT)

test: ## set up, build with -Werror and run every test
	@scripts/setup --test
	@$(call build,debug)
	@scripts/import-pack build/debug/frt data
	@scripts/run-tests debug

test-fleet: ## three services, PostgreSQL and a balancer under load: stopped, killed, cut off
	@scripts/setup --fleet
	@$(call build,debug,--target frt)
	@scripts/import-pack build/debug/frt data
	@for test in "balancers.mjs build/debug/frt haproxy" "balancers.mjs build/debug/frt nginx" "three_instances.mjs build/debug/frt"; do \
	  node tests/fleet/$$test; done

test-arm64: ## cross build for arm64 and its tests under qemu-user
	@scripts/setup --arm64
	@$(call build,arm64)
	@scripts/run-tests arm64

check: ## formatting, clang-tidy, cppcheck, include rules
	@scripts/setup --dev
	@scripts/check

format: ## rewrite the sources with clang-format
	@scripts/setup --dev
	@scripts/check --format

asan: ## every test under AddressSanitizer and UBSan
	@scripts/setup --test
	@$(call build,asan)
	@scripts/import-pack build/asan/frt data
	@scripts/run-tests asan

tsan: ## the tests that use threads under ThreadSanitizer
	@scripts/setup --test
	@$(call build,tsan)
	@scripts/import-pack build/tsan/frt data
	@scripts/run-tests tsan

valgrind: ## the unit tests under valgrind's memcheck
	@scripts/setup --dev
	@$(call build,valgrind)
	@scripts/run-tests valgrind

fuzz: ## every fuzzer for FUZZ_SECONDS (60) in turn
	@scripts/setup --dev
	@$(call build,fuzz,--target fuzzers)
	@scripts/fuzz build/fuzz $(FUZZ_SECONDS)

bench: build pack ## benchmarks as JSON lines; BENCH=name runs one, CASE=name one case of it
	@bench/run $(BENCH) $(CASE)

install: build ## install under PREFIX (/usr/local); DESTDIR is honoured
	@cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null && cmake --build --preset release -j $(JOBS)
	@cmake --install build/release --strip

image: setup ## the container image's root file systems without an engine, in build/image, and tried (root; minutes)
	@scripts/setup --package
	@rm -rf build/image && deploy/build-image build/image
	@deploy/test-image --most 120 build/image/bare && deploy/test-image --most 160 build/image/full

deb: setup ## Debian packages in build/deb, for the Debian that this is; tried with: deploy/test-deb build/deb
	@scripts/setup --package
	@deploy/build-deb build/deb && lintian --fail-on error,warning build/deb/*.deb

clean: ## remove build/
	rm -rf build

distclean: clean ## also remove what set-up fetched and the service's data
	rm -rf .deps node_modules data
