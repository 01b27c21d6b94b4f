# Everything a developer runs. Needs Python 3.11 or later, a Rust toolchain and make; the rest goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Programs of others, as the other side in tests, each in a venv of its own, named for its requirements below tests/.
REFERENCE := .venv-reference
OPENAI := .venv-openai-2 .venv-openai-3
FRAMEWORKS := .venv-frameworks
RAY := .venv-ray
BY_HAND := .venv-by-hand
CARGO_TEST := cargo test --release --locked --package nomyo-core
ARENA_MODEL := --locked --manifest-path rust/arena-model/Cargo.toml --target-dir target/arena-model

.PHONY: setup build demo test test-rust test-arena-model test-python soak lint bench prove wheel reference openai ray node browser screenshots clean

setup: $(VENV)/ready build

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

# The package is installed in place, with all extras: Python code is used as it stands, Rust after `make build`.
build: $(VENV)/ready
	@test -d target/release || echo 'Compiling the Rust core: some minutes, this first time.'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[all]'

demo: setup
	$(BIN)/nomyo demo

test: setup test-rust test-arena-model test-python

test-rust: $(VENV)/ready
	$(CARGO_TEST)

# The arena under random threads for much longer than `make test` gives them (a failure shows its seed); many clients; a long batch.
SOAK_S ?= 600
soak: build
	NOMYO_SOAK_S=$(SOAK_S) $(CARGO_TEST) --test arena_stress
	$(BIN)/python tests/soak.py
	$(BIN)/python tests/batch_scale.py

# The arena's sources under a model checker: every order in which two threads can go through them.
test-arena-model:
	cargo test $(ARENA_MODEL)

test-python: build reference openai ray node browser wheel
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python tests/coverage_floor.py
	$(BIN)/python -m mypy.stubtest nomyo._core --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist

# The public Python client.
reference: $(REFERENCE)/ready

# The OpenAI SDK in both majors, and what is built on it: some 500 MB.
openai: $(OPENAI:=/ready) $(FRAMEWORKS)/ready

# Ray: some 650 MB. It brings coverage, which measures there what `.venv` cannot run.
ray: $(RAY)/ready

$(OPENAI:=/ready) $(RAY)/ready: tests/suite-requirements.txt

.venv-%/ready: tests/%-requirements.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# OpenAI's SDK for Node, which talks to `nomyo proxy` in tests.
node: tests/node/node_modules/ready

tests/node/node_modules/ready: tests/node/package-lock.json
	cd tests/node && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

# Chromium, in which the page of the proxy is tested: Debian's, where there is none yet.
browser:
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || { echo 'Installing Chromium.' && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }

# The pictures of the page in docs/: look at them before they are committed.
screenshots: build browser
	$(BIN)/python tests/page_screenshots.py docs/images

wheel: $(VENV)/ready
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --quiet --out dist

lint: build
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	cargo fmt --manifest-path rust/arena-model/Cargo.toml --check
	cargo clippy $(ARENA_MODEL) --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/readme_examples.py

# The machine should have nothing else to do. Figures go into docs/: performance.json, the tables of performance.md, plots.
bench: build reference $(BY_HAND)/ready
	$(BIN)/python -m pip install --quiet --group bench
	cargo run --release --locked --package nomyo-core --example arena_speed
	$(BIN)/pytest benches --benchmark-only --benchmark-columns=min,median,ops --benchmark-json=target/micro.json
	$(BIN)/python benches/report.py target/micro.json

# The protocol put together by hand, the other peer of the throughput run.
$(BY_HAND)/ready: benches/by-hand-requirements.txt
	$(PYTHON) -m venv $(BY_HAND)
	$(BY_HAND)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/by-hand-requirements.txt
	touch $@

# Searches the memory of running clients, this one and the public one, for secrets: a table, and whether promises hold.
prove: build reference
	$(BIN)/python tests/prove.py

clean:
	rm -rf $(VENV) $(REFERENCE) $(OPENAI) $(FRAMEWORKS) $(RAY) $(BY_HAND) tests/node/node_modules dist target
