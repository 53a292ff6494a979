# crm-access: `make help` lists the targets.
#
# `make run` and `make test` need a Rust toolchain, a C compiler and make. What deploys and lints comes from `make tools`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PORT ?= 8092
ARGS ?=
# Functions are built for this machine, so that they run here. `make build ARCH=arm64` (or x86_64) builds for the other
# one; Rust needs its standard library for it: rustup target add aarch64-unknown-linux-gnu.
HOST_ARCH := $(subst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
RUST_TARGET = $(subst arm64,aarch64,$(ARCH))-unknown-linux-gnu
# For `make invoke`.
FUNCTION ?= set-contact-access
EVENT ?= events/$(FUNCTION).json

TOOLS := .tools
CLIENTS := $(TOOLS)/clients
DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
TOOL_PATH := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH"
# The linters and the local emulators want a region, though they call nobody.
SAM_ENV := $(TOOL_PATH) SAM_CLI_TELEMETRY=0
LOCAL_ENV := $(SAM_ENV) AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true

# $(call need,COMMAND,WHAT IT IS): ends the target, saying what is missing.
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

# Without `-p`, cargo builds dependencies with the features of the whole workspace, which `make test` uses again.
.PHONY: run
run: rust ## Serves the demo portal on port 8092 (PORT=…, ARGS='…')
	cargo run --locked --bin crm-access -- serve --demo --port $(PORT) $(ARGS)

.PHONY: test
test: rust ## Runs every test (ARGS='…')
	cargo test --workspace --locked $(ARGS)

# KILLS=… and SEED=… (the first one; by chance, when left out).
.PHONY: soak
soak: KILLS = 1000
soak: rust ## Kills the server in the middle of jobs 1000 times (KILLS=…, SEED=…); hours
	CRM_ACCESS_KILLS=$(KILLS) $(if $(SEED),CRM_ACCESS_KILL_SEED=$(SEED)) \
	  cargo test --locked --test killed $(ARGS)

.PHONY: test-lag
test-lag: rust ## Runs the integration tests with reads and indexes that lag behind the writes, as on AWS
	CRM_ACCESS_TEST_LAG=1 cargo test --locked --test integration $(ARGS)

.PHONY: test-dynamodb-local
test-dynamodb-local: rust ## Runs the integration tests on AWS's DynamoDB Local (needs java, npm, python3)
	scripts/dynamodb-local.sh run cargo test --workspace --locked $(ARGS)

.PHONY: check
check: rust $(TOOLS)/python.stamp $(TOOLS)/cargo.stamp ## Format, lints, documentation, dependencies, template: all but the tests
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

# Unoptimised: they run for a second, and build in one minute instead of five.
$(TOOLS)/cargo.stamp: Makefile | rust
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$(TOOLS)/target cargo install --quiet --debug --locked --root $(TOOLS) \
	  cargo-deny@$(DENY_VERSION) cargo-machete@$(MACHETE_VERSION)
	rm -rf $(TOOLS)/target
	@touch $@

# The generators of clients, apart from the other tools: each set has its own versions of what both need.
$(CLIENTS)/stamp: scripts/clients/requirements.txt scripts/clients/package.json scripts/clients/package-lock.json | python
	python3 -m venv $(CLIENTS)/python
	$(CLIENTS)/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/clients/requirements.txt
	cp scripts/clients/package.json scripts/clients/package-lock.json $(CLIENTS)
	PATH="$(CURDIR)/$(CLIENTS)/python/bin:$$PATH" npm ci --silent --no-audit --no-fund --prefix $(CLIENTS)
	@touch $@

.PHONY: validate
validate: $(TOOLS)/python.stamp ## Checks template.yaml: cfn-lint and sam validate --lint
	$(LOCAL_ENV) cfn-lint template.yaml
	$(LOCAL_ENV) sam validate --lint

.PHONY: build
build: rust $(TOOLS)/python.stamp ## Builds the functions for Lambda (ARCH=arm64 or x86_64, default this machine's)
	@test -d "$$(rustc --print target-libdir --target $(RUST_TARGET))" || \
	  { echo "make: Rust's library for $(RUST_TARGET) is missing: rustup target add $(RUST_TARGET), or choose another ARCH" >&2; exit 1; }
	$(LOCAL_ENV) sam build --parameter-overrides Architecture=$(ARCH)

.PHONY: emulate
emulate: build ## Calls each built function under AWS's Lambda emulator and compares its answer with events/ (no Docker)
	$(TOOLS)/bin/python scripts/rie.py $(ARGS)

.PHONY: conformance
conformance: rust $(TOOLS)/python.stamp ## Calls the demo from its own description, thousands of right and wrong calls (schemathesis)
	$(TOOLS)/bin/python scripts/conformance.py $(ARGS)

.PHONY: test-generated-clients
test-generated-clients: rust $(CLIENTS)/stamp ## Makes every call of the description with generated Python and TypeScript clients
	$(CLIENTS)/python/bin/python scripts/clients/run.py

.PHONY: test-published-clients
test-published-clients: rust $(CLIENTS)/stamp ## Signs in and sets access with ONLYOFFICE clients as they are published
	$(CLIENTS)/python/bin/python scripts/clients/published.py

.PHONY: invoke
invoke: build ## sam local invoke: FUNCTION=set-contact-access EVENT=events/set-contact-access.json (needs Docker)
	$(TOOLS)/bin/python scripts/sam_local.py invoke $(FUNCTION) --event $(EVENT) $(ARGS)

.PHONY: start-api
start-api: build ## sam local start-api: the whole API on port 3000 (needs Docker)
	$(TOOLS)/bin/python scripts/sam_local.py start-api $(ARGS)

# ARCH only when it was given: otherwise the stack keeps its processor, and a new one takes arm64, which costs less.
.PHONY: deploy
deploy: rust $(TOOLS)/python.stamp ## Builds and deploys; asks only the first time (ARCH=…); docs/deploy.md walks through it
	$(SAM_ENV) $(TOOLS)/bin/python scripts/deploy.py $(if $(filter file,$(origin ARCH)),,--arch $(ARCH)) $(ARGS)

.PHONY: test-scripts
test-scripts: $(TOOLS)/python.stamp ## Tests the scripts: deploys to an emulated AWS, several times; finds a Docker engine
	$(TOOLS)/bin/python scripts/test_sam_local.py
	$(SAM_ENV) $(TOOLS)/bin/python scripts/test_deploy.py

.PHONY: bench
bench: build ## Measures: the benchmarks, then start-up, first call and size of each function
	cargo bench --workspace --locked $(ARGS)
	$(TOOLS)/bin/python scripts/startup.py

.PHONY: bench-million
bench-million: CONTACTS = 1000000
bench-million: rust ## Measures a job over a million contacts and its undo (CONTACTS=…); some minutes and 4 GB
	cargo bench --locked -p benches --bench million -- run $(CONTACTS)

.PHONY: clean
clean: ## Removes what was built and installed here; .data/ stays
	rm -rf target .aws-sam $(TOOLS)
