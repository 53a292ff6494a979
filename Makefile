# crm-access: `make help` lists the targets.
#
# `make run` and `make test` need a Rust toolchain, a C compiler and make. `make tools` installs the tools that deploy
# and lint.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PORT ?= 8092
ARGS ?=
# `make build` builds the functions for the architecture of this machine, so the functions run here. ARCH=arm64 or
# ARCH=x86_64 selects another architecture, whose standard library Rust needs:
# rustup target add aarch64-unknown-linux-gnu.
HOST_ARCH := $(subst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
RUST_TARGET = $(subst arm64,aarch64,$(ARCH))-unknown-linux-gnu
# The function and the event of `make invoke`.
FUNCTION ?= set-contact-access
EVENT ?= events/$(FUNCTION).json

TOOLS := .tools
CLIENTS := $(TOOLS)/clients
PEERS := $(TOOLS)/peers
BROWSER := tests/browser
DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
TOOL_PATH := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH"
# The linters and the local emulators need a region, although they call no AWS service.
SAM_ENV := $(TOOL_PATH) SAM_CLI_TELEMETRY=0
LOCAL_ENV := $(SAM_ENV) AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true

# $(call need,COMMAND,HINT): ends the target if COMMAND is missing, and prints HINT, which says how to install COMMAND.
need = command -v $(1) >/dev/null 2>&1 || { echo "make: '$(1)' is missing: $(2)" >&2; exit 1; }

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: rust
rust:
	@$(call need,cargo,install Rust 1.95 or later as https://rustup.rs says)
	@$(call need,cc,install a C compiler; on Debian: apt-get install gcc libc6-dev)

.PHONY: python
python:
	@$(call need,python3,install Python 3.10 or later with venv; on Debian: apt-get install python3-venv)
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "make: python3 is older than 3.10 or has no venv; on Debian: apt-get install python3-venv" >&2; exit 1; }

# Without `-p`, cargo builds the dependencies with the features of the whole workspace. `make test` reuses these builds.
.PHONY: run
run: rust ## Serves the demo portal on port 8092 (PORT=…, ARGS='…')
	cargo run --locked --bin crm-access -- serve --demo --port $(PORT) $(ARGS)

# One test more than there are processors: a test waits for the threads of its engine now and then.
.PHONY: test
test: export RUST_TEST_THREADS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
test: rust ## Runs every test; long tests play a part of their cases (ARGS='…')
	cargo test --workspace --locked $(ARGS)

.PHONY: test-all
test-all: ## Runs every test with all of its cases, as CI does (ARGS='…')
	CRM_ACCESS_TEST_CASES=all $(MAKE) test

# KILLS=… is the number of kills. SEED=… is the first random seed; without SEED the first seed is random.
.PHONY: soak
soak: KILLS = 1000
soak: rust ## Kills the server during jobs, 1000 times (KILLS=…, SEED=…); takes hours
	CRM_ACCESS_KILLS=$(KILLS) $(if $(SEED),CRM_ACCESS_KILL_SEED=$(SEED)) \
	  cargo test --locked --test killed $(ARGS)

# TARGET=… chooses a target. New inputs gather in target/fuzz/, and an input that fails is a file whose name the last lines
# of the output show. The wrapper compiles the packages of this workspace with coverage counters, and all other packages
# are the builds of `make test`.
FUZZ_TARGETS := bodies forms queries import_lines chunks postings cursors cron
.PHONY: fuzz
fuzz: SECONDS = 600
fuzz: TARGET = $(FUZZ_TARGETS)
fuzz: rust ## Fuzzes each reader for 10 minutes (TARGET=cron, SECONDS=…)
	@$(call need,c++,install a C++ compiler; on Debian: apt-get install g++)
	@set -e; export RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/fuzz/instrument"; \
	  cargo build --locked --features fuzz/libfuzzer $(FUZZ_TARGETS:%=--bin fuzz-%); \
	  for target in $(TARGET); do \
	    mkdir -p target/fuzz/$$target; \
	    echo "make: fuzzing $$target for $(SECONDS) seconds"; \
	    cargo run --quiet --locked --features fuzz/libfuzzer --bin fuzz-$$target -- -max_total_time=$(SECONDS) \
	      -timeout=10 -dict=fuzz/words.dict -artifact_prefix=target/fuzz/$$target- -print_final_stats=1 $(ARGS) \
	      target/fuzz/$$target fuzz/corpus/$$target; \
	  done

# COUNT=… is the number of schedules, SEED=… the first seed.
.PHONY: schedules
schedules: COUNT = 2000
schedules: SEED = 0
schedules: rust ## Runs jobs and undos under 2000 schedules of faults (COUNT=…, SEED=…)
	CRM_ACCESS_SCHEDULES=$(COUNT) CRM_ACCESS_SCHEDULE_SEED=$(SEED) \
	  cargo test --workspace --locked --test integration schedules $(ARGS)

.PHONY: soak-schedules
soak-schedules: ## Runs jobs and undos under 50,000 schedules of faults, from a random first seed
	@$(MAKE) schedules COUNT=50000 SEED=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')

.PHONY: test-lag
test-lag: rust ## Runs the integration tests with reads and indexes that lag behind the writes, as on AWS
	CRM_ACCESS_TEST_LAG=1 CRM_ACCESS_TEST_CASES=all cargo test --locked --test integration $(ARGS)

.PHONY: test-dynamodb-local
test-dynamodb-local: export CRM_ACCESS_TEST_CASES = all
test-dynamodb-local: rust ## Runs every test on AWS's DynamoDB Local (needs java, npm, python3)
	scripts/dynamodb-local.sh run cargo test --workspace --locked $(ARGS)

.PHONY: check
check: rust $(TOOLS)/python.stamp $(TOOLS)/cargo.stamp ## Checks format, lints, rustdoc, dependencies and the template: everything but the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	$(TOOLS)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(TOOLS)/bin/cargo-machete --with-metadata .
	$(LOCAL_ENV) cfn-lint template.yaml

.PHONY: advisories
advisories: rust $(TOOLS)/cargo.stamp ## Looks the dependencies up in the RustSec database (needs github.com)
	$(TOOLS)/bin/cargo-deny --locked check advisories

.PHONY: tools
tools: $(TOOLS)/python.stamp $(TOOLS)/cargo.stamp ## Installs sam, cargo-lambda, zig, cfn-lint, schemathesis, cargo-deny, cargo-machete into .tools/

$(TOOLS)/python.stamp: scripts/requirements.txt | python
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
	@touch $@

# The debug profile builds these tools in one minute instead of five, and each tool runs for a second only.
$(TOOLS)/cargo.stamp: Makefile | rust
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$(TOOLS)/target cargo install --quiet --debug --locked --root $(TOOLS) \
	  cargo-deny@$(DENY_VERSION) cargo-machete@$(MACHETE_VERSION)
	rm -rf $(TOOLS)/target
	@touch $@

# The client generators have an environment of their own, because they need other versions of shared packages than the
# other tools.
$(CLIENTS)/stamp: scripts/clients/requirements.txt scripts/clients/package.json scripts/clients/package-lock.json | python
	python3 -m venv $(CLIENTS)/python
	$(CLIENTS)/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/clients/requirements.txt
	cp scripts/clients/package.json scripts/clients/package-lock.json $(CLIENTS)
	PATH="$(CURDIR)/$(CLIENTS)/python/bin:$$PATH" npm ci --silent --no-audit --no-fund --prefix $(CLIENTS)
	@touch $@

$(BROWSER)/node_modules/stamp: $(BROWSER)/package.json $(BROWSER)/package-lock.json
	@$(call need,npm,install Node.js 20 or later with npm; on Debian: apt-get install nodejs npm)
	npm ci --silent --no-audit --no-fund --prefix $(BROWSER)
	@touch $@

# The peers have an environment of their own, because they need another boto3 than sam.
$(PEERS)/stamp: scripts/peers/requirements.txt scripts/peers/package.json scripts/peers/package-lock.json | python
	python3 -m venv $(PEERS)/python
	$(PEERS)/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/peers/requirements.txt
	cp scripts/peers/package.json scripts/peers/package-lock.json $(PEERS)
	PATH="$(CURDIR)/$(PEERS)/python/bin:$$PATH" npm ci --silent --no-audit --no-fund --prefix $(PEERS)
	@touch $@

.PHONY: validate
validate: $(TOOLS)/python.stamp ## Checks template.yaml with cfn-lint and sam validate --lint
	$(LOCAL_ENV) cfn-lint template.yaml
	$(LOCAL_ENV) sam validate --lint

.PHONY: build
build: rust $(TOOLS)/python.stamp ## Builds the functions for Lambda (ARCH=arm64 or x86_64; by default this machine's)
	@test -d "$$(rustc --print target-libdir --target $(RUST_TARGET))" || \
	  { echo "make: Rust's library for $(RUST_TARGET) is missing: rustup target add $(RUST_TARGET), or choose another ARCH" >&2; exit 1; }
	$(LOCAL_ENV) sam build --parameter-overrides Architecture=$(ARCH)

.PHONY: emulate
emulate: build ## Calls each built function under AWS's Lambda emulator and compares its answer with events/ (no Docker)
	$(TOOLS)/bin/python scripts/rie.py $(ARGS)

.PHONY: conformance
conformance: rust $(TOOLS)/python.stamp ## Makes thousands of valid and invalid calls from the OpenAPI description (schemathesis)
	$(TOOLS)/bin/python scripts/conformance.py $(ARGS)

.PHONY: test-generated-clients
test-generated-clients: rust $(CLIENTS)/stamp ## Makes every call of the API with generated Python and TypeScript clients
	$(CLIENTS)/python/bin/python scripts/clients/run.py

.PHONY: test-published-clients
test-published-clients: rust $(CLIENTS)/stamp ## Signs in and sets access with published ONLYOFFICE clients
	$(CLIENTS)/python/bin/python scripts/clients/published.py

.PHONY: invoke
invoke: build ## Calls a function with sam local invoke (FUNCTION=set-contact-access, EVENT=events/…; needs Docker)
	$(TOOLS)/bin/python scripts/sam_local.py invoke $(FUNCTION) --event $(EVENT) $(ARGS)

.PHONY: start-api
start-api: build ## Serves the whole API on port 3000 with sam local start-api (needs Docker)
	$(TOOLS)/bin/python scripts/sam_local.py start-api $(ARGS)

# Passes ARCH only if the caller sets ARCH. Otherwise the stack keeps its architecture, and a new stack gets arm64,
# which costs less.
.PHONY: deploy
deploy: rust $(TOOLS)/python.stamp ## Builds and deploys the stack; asks questions only the first time (ARCH=…); see docs/deploy.md
	$(SAM_ENV) $(TOOLS)/bin/python scripts/deploy.py $(if $(filter file,$(origin ARCH)),,--arch $(ARCH)) $(ARGS)

# The type check reads the shapes of the API from its description. CRM_ACCESS_BIN names a program to serve the console;
# without the variable, the target builds the program. CHROMIUM names another browser than /usr/bin/chromium.
.PHONY: test-console
test-console: rust $(BROWSER)/node_modules/stamp ## Checks the types of the console, and tests the console in a browser (needs npm and chromium)
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || \
	  { echo "make: chromium is missing: on Debian: apt-get install chromium fonts-dejavu-core" >&2; exit 1; }
	cd $(BROWSER) && node_modules/.bin/openapi-typescript ../../docs/openapi.json --output node_modules/.types/openapi.d.ts
	cd $(BROWSER) && node_modules/.bin/tsc -p .
	cd $(BROWSER) && node --test selection.test.mjs api.test.mjs text.test.mjs
	test -n "$$CRM_ACCESS_BIN" || cargo build --locked --bin crm-access
	cd $(BROWSER) && node --test --test-concurrency=1 console.test.mjs people.test.mjs accessibility.test.mjs large.test.mjs $(ARGS)

.PHONY: test-scripts
test-scripts: $(TOOLS)/python.stamp ## Tests the scripts: several deployments to an emulated AWS, and the search for a Docker engine
	$(TOOLS)/bin/python scripts/test_sam_local.py
	$(SAM_ENV) $(TOOLS)/bin/python scripts/test_deploy.py

.PHONY: bench
bench: build ## Runs the benchmarks, measures start-up, first call and size of each function, then runs bench-million
	cargo bench --workspace --locked $(ARGS)
	$(TOOLS)/bin/python scripts/startup.py
	$(MAKE) bench-million

.PHONY: bench-million
bench-million: CONTACTS = 1000000
bench-million: rust ## Measures a job over a million contacts and its undo (CONTACTS=…); takes some minutes and 4 GB
	cargo bench --locked -p benches --bench million -- run $(CONTACTS)

.PHONY: bench-million-preview
bench-million-preview: CONTACTS = 1000000
bench-million-preview: rust ## Measures a preview of a million contacts and its run (CONTACTS=…); takes some minutes and 4 GB
	cargo bench --locked -p benches --bench million -- preview $(CONTACTS)

# Only a run with the default size or time replaces the measurements in docs/. Others write to target/.
.PHONY: bench-peers
bench-peers: CONTACTS = 100000
bench-peers: rust $(PEERS)/stamp ## Compares a filter call with the AWS SDKs on the same contacts (CONTACTS=…); takes some minutes
	$(PEERS)/python/bin/python scripts/peers/run.py --contacts $(CONTACTS) \
	  $(if $(filter 100000,$(CONTACTS)),--json docs/measured/peers.json) $(ARGS)
	python3 scripts/numbers_page.py

.PHONY: load
load: SECONDS = 25
load: rust python ## Measures the server under load, each cell for SECONDS=25; takes about ten minutes (needs wrk)
	@$(call need,wrk,on Debian: apt-get install wrk)
	python3 scripts/load.py --seconds $(SECONDS) $(if $(filter 25,$(SECONDS)),--json docs/measured/load.json) $(ARGS)
	python3 scripts/numbers_page.py

# The package depends only on the limiter, so `-p` builds nothing twice.
.PHONY: scale
scale: rust ## Models jobs over up to 100 million contacts, and compares the model with a simulation (SEED=…)
	cargo run --profile bench --locked -p scale -- $(SEED)

.PHONY: clean
clean: ## Removes all builds and installed tools; keeps .data/
	rm -rf target .aws-sam $(TOOLS) $(BROWSER)/node_modules
