# The two commands: `make study` and `make test`. Everything real happens in CMake and scripts/; `make help` lists the rest.
JOBS ?= $(shell scripts/jobs)
ARGS ?=
DEVICE ?=
export NINJA_STATUS = [%f/%t %es] 

.PHONY: study test build build-cuda build-floors bench page peers format clean help
.DEFAULT_GOAL := help

# A tree whose page has its charts, or can have none, needs no new configuration.
charted = { test -e build/$(1)/web/stamp || test -d web/node_modules || ! command -v npm >/dev/null; }
untested = $(if $(wildcard build/$(1)/build.ninja),,-DEAQ_TESTS=OFF)

study: ## the whole study on the embedded models (DEVICE=cpu: not on the card; ARGS="gpt2-dir --formats fp32,int8": arguments of `eaq study`)
	@DEVICE="$(DEVICE)" scripts/study $(ARGS)

# A tree that was configured with tests keeps them: taking them out would throw away their objects.
build: ## the program, at build/release/eaq
	@scripts/setup build
	@scripts/setup charts
	@test -e build/release/build.ninja && $(call charted,release) || cmake --preset release $(call untested,release) >/dev/null
	@cmake --build build/release -j $(JOBS) --target eaq_program

build-cuda: ## the program with CUDA, at build/cuda/eaq (your toolkit from 12.8 on, else a pinned one in .cuda/)
	@scripts/setup cuda
	@scripts/setup charts
	@nvcc=$$(scripts/cuda-toolkit) && cmake --preset cuda -DEAQ_TESTS=OFF -DCMAKE_CUDA_COMPILER=$$nvcc >/dev/null
	@cmake --build build/cuda -j $(JOBS) --target eaq_program

test: ## everything that must hold: the floors, then every test
	@scripts/setup test
	@scripts/setup charts
	@scripts/check_layers.py
	@scripts/check_types.py
	@cmake --preset release -DEAQ_TESTS=ON >/dev/null
	@cmake --build build/release -j $(JOBS)
	@ctest --preset release -j $(JOBS) $(ARGS)

# What of the benchmarks tells the peers' floors.
build-floors: build
	@if scripts/setup bench && cmake --preset release $(call untested,release) -DEAQ_BENCHMARKS=ON >/dev/null; then \
	  cmake --build build/release -j $(JOBS) --target format_bench kernel_bench; \
	else echo "peers: without Google Benchmark rows have no floor" >&2; fi

bench: ## kernels and tokenizers, by Google Benchmark (ARGS="--benchmark_filter=Int8")
	@scripts/setup bench
	@cmake --preset release -DEAQ_BENCHMARKS=ON >/dev/null
	@cmake --build build/release -j $(JOBS)
	@scripts/bench $(ARGS)

page: build ## the report page in a headless Chromium (screenshots: build/ci/page)
	@scripts/setup page
	@web/test/run build/release/eaq build/ci/page

peers: $(if $(findstring cuda,$(ARGS)),build-cuda,build-floors) ## eaq beside the other systems, interleaved in one run (ARGS="--device cuda": on a card)
	@[ -n "$(PEERS_PYTHON)" ] || scripts/setup peers
	bench/peers/run $(ARGS)

format: ## clang-format, in place
	@scripts/setup tidy
	@git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format -i

clean: ## removes everything that was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
