# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
VENV  ?= .venv
BIN   := $(VENV)/bin
# The first of these that is Python 3.11 or newer; `make run PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help run test lint types layers check e2e accuracy faults ha chaos fuzz conformance security bench bench-quick \
	bench-hostile react pictures docs wheel wheel-check manifests wheelhouse image rootfs release workflows lock clean
help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/run.stamp ## the embedded cluster with this machine's real usage, until Ctrl-C
	@exec $(BIN)/metricsapi sandbox $(ARGS)

# Four processes even on two cores, since tests wait half of the time; the tests of one file stay
# together, in the order of their folders: the last ones have no long tests, for which the others
# would wait. A process that dies is a failure and is not replaced: pytest-xdist 3.8 never ends when
# it is.
WORKERS ?= 4
test: $(VENV)/dev.stamp ## every test; ARGS="-k name"; WORKERS=0 for one after the other, as --pdb needs
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder \
		--max-worker-restart=0 $(ARGS)

lint: $(VENV)/dev.stamp ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/dev.stamp ## which module may import which
	$(BIN)/lint-imports

check: lint types layers test ## all of the above

e2e: $(VENV)/dev.stamp ## end-to-end tests: on KUBECONFIG, KUBEBUILDER_ASSETS, else the sandbox
	METRICSAPI_E2E=$(if $(KUBECONFIG),cluster,sandbox) $(BIN)/python -m pytest tests/e2e $(ARGS)

accuracy: $(VENV)/dev.stamp ## errors of what is served for a recorded series; SERIES=file for another
	@$(BIN)/python -m tests.storage.accuracy $(SERIES) $(ARGS)

wheel: $(VENV)/run.stamp ## build the wheel into dist/
	@rm -f dist/*.whl
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -w dist .
	@ls dist/*.whl

wheel-check: wheel ## install the built wheel elsewhere and start it from an empty folder
	@set -e; empty=$$(mktemp -d); trap 'rm -rf "$$empty"' EXIT; \
	$(BIN)/python -m venv "$$empty/venv"; \
	"$$empty/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/sandbox.txt; \
	"$$empty/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps dist/*.whl; \
	cd "$$empty" && venv/bin/metricsapi version && venv/bin/metricsapi serve --help >help.txt && \
	venv/bin/metricsapi sandbox --once --nodes=1 --state-dir="$$empty/state"

# What is committed, or with an image of your own, dist/manifests.
OUT ?= $(if $(IMAGE),dist/manifests,manifests/rendered)
manifests: ## components.yaml and apiservice.yaml per variant (needs kubectl); IMAGE=name:tag, OUT=folder
	@command -v kubectl >/dev/null || { echo "kubectl is missing: it renders the manifests" >&2; exit 1; }
	@$(PYTHON) manifests/render.py --out="$(OUT)" $(if $(IMAGE),--image="$(IMAGE)")

security: $(VENV)/dev.stamp ## attempts on identity, permission and availability, and their outcomes
	@$(BIN)/python -m tests.server

bench: $(VENV)/dev.stamp ## cost and latency at NODES=100; PEER_PID= and PEER_URL= measure a peer beside (see tests/bench)
	@$(MAKE) --no-print-directory VENV=$(VENV)-run $(VENV)-run/run.stamp
	@SERVER_PYTHON="$(or $(SERVER_PYTHON),$(VENV)-run/bin/python)" $(BIN)/python -m tests.bench

react: $(VENV)/dev.stamp ## age of usage when an HPA asks, and how soon it sees a load step; PEER_BINARY= and KUBEBUILDER_ASSETS= (see tests/react)
	@$(MAKE) --no-print-directory VENV=$(VENV)-run $(VENV)-run/run.stamp
	@SERVER_PYTHON="$(or $(SERVER_PYTHON),$(VENV)-run/bin/python)" $(BIN)/python -m tests.react

bench-quick: $(VENV)/dev.stamp ## amounts of work (bytes, items, allocations) against a stored baseline; UPDATE=1 stores it
	@$(BIN)/python -m tests.bench.quick

bench-hostile: $(VENV)/dev.stamp ## HPA latency and memory while 10 of 100 kubelets send 8 MiB each
	@$(BIN)/python -m tests.bench.hostile

faults: $(VENV)/dev.stamp ## each fault on 1 node in 10 of 100 for a minute, and what is served meanwhile
	@$(BIN)/python -m tests.faults $(ARGS)

chaos: $(VENV)/dev.stamp ## faults at random at every boundary; SEED= for the same again, SECONDS=60
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed=$(SEED)) $(if $(SECONDS),--seconds=$(SECONDS)) $(ARGS)

fuzz: $(VENV)/fuzz.stamp ## coverage-guided inputs into every decoder and parser; SECONDS=60 of each
	@$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds=$(SECONDS)) $(ARGS)

ha: $(VENV)/dev.stamp ## faults of replicas that share their scrapes, and what clients see; ARGS="--nodes=20 --resolution=5", ARGS=--cost, OUT=file
	@$(BIN)/python -m tests.ha $(ARGS)

conformance: $(VENV)/dev.stamp ## replay the recorded exchanges of metrics-server and compare
	@$(BIN)/python -m tests.conformance

pictures: $(VENV)/pictures.stamp ## draw docs/img from the results in docs/benchmarks; ARGS="--out=folder"
	@$(BIN)/python docs/pictures.py $(ARGS)

docs: $(VENV)/run.stamp ## write the parts of docs/ that follow from the code
	@$(BIN)/python docs/generate.py
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' metricsapi/__init__.py)
# The Python of the Dockerfile's base image, and the platform that its wheels must fit.
IMAGE_PYTHON ?= 3.13
IMAGE_MACHINE ?= $(shell uname -m)
GLIBCS := 2_17 2_24 2_26 2_27 2_28 2_31 2_34 2_35 2_36
WHEELS := wheelhouse/.complete-$(IMAGE_PYTHON)-$(IMAGE_MACHINE)
wheelhouse: $(WHEELS) ## every wheel that `make image` and `make rootfs` need, to work offline
	@echo "wheelhouse/: $$(ls wheelhouse | wc -l) wheels for $$($(BIN)/python --version) and for" \
		"Python $(IMAGE_PYTHON) on $(IMAGE_MACHINE)"

$(WHEELS): $(VENV)/pip.stamp requirements/run.txt
	@$(BIN)/pip download --quiet --disable-pip-version-check --require-hashes --dest=wheelhouse \
		--only-binary=:all: -r requirements/run.txt
	@$(BIN)/pip download --quiet --disable-pip-version-check --require-hashes --dest=wheelhouse \
		--only-binary=:all: -r requirements/run.txt --python-version=$(IMAGE_PYTHON) \
		--platform=manylinux2014_$(IMAGE_MACHINE) \
		$(foreach glibc,$(GLIBCS),--platform=manylinux_$(glibc)_$(IMAGE_MACHINE))
	@touch $@

# The first engine that answers.
ENGINES ?= docker podman
image: ## the container image, with docker or podman; IMAGE=name:tag, BASE_IMAGE=..., ARGS=...
	@for engine in $(ENGINES); do \
		if $$engine info >/dev/null 2>&1; then \
			exec $$engine build --tag "$(or $(IMAGE),metricsapi:$(VERSION))" \
				--label org.opencontainers.image.version="$(VERSION)" \
				$(if $(BASE_IMAGE),--build-arg BASE_IMAGE="$(BASE_IMAGE)") $(ARGS) .; \
		fi; \
	done; \
	echo "no container engine answers (tried: $(ENGINES)): start one, or run 'make rootfs'," \
		"which assembles the same file system in a folder" >&2; exit 1

ROOTFS ?= build/rootfs
rootfs: $(VENV)/pip.stamp ## the file system of the image in a folder, without an engine; ROOTFS=folder
	@rm -rf "$(ROOTFS)"
	@$(BIN)/python image/rootfs.py all "$(ROOTFS)"
	@du -sh "$(ROOTFS)"

RELEASE ?= dist/release
release: $(VENV)/dev.stamp ## all that a release publishes, reproducibly; IMAGE=name, BASE_IMAGE=..., ARGS=--without-image
	@$(BIN)/python release/release.py --out="$(RELEASE)" $(if $(IMAGE),--image="$(IMAGE)") \
		$(if $(BASE_IMAGE),--base-image="$(BASE_IMAGE)") $(ARGS)

workflows: $(VENV)/dev.stamp ## the files of .github, by their schemas and by a security linter
	@$(BIN)/check-jsonschema --builtin-schema=vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/zizmor --offline --no-progress --quiet .github

lock: ## pin every dependency with its hashes (needs `uv`)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
		--generate-hashes --custom-compile-command 'make lock' -o requirements/run.txt $(LOCK)
	uv pip compile pyproject.toml --group build --extra sandbox -c requirements/run.txt \
		--universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		-o requirements/sandbox.txt $(LOCK)
	uv pip compile pyproject.toml --group build --group dev --extra sandbox \
		-c requirements/sandbox.txt --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' -o requirements/dev.txt $(LOCK)
	uv pip compile --group fuzz --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' -o requirements/fuzz.txt $(LOCK)
	uv pip compile --group pictures -c requirements/dev.txt --universal --python-version 3.11 \
		--generate-hashes --custom-compile-command 'make lock' -o requirements/pictures.txt $(LOCK)

clean: ## remove what make made
	rm -rf $(VENV) .state .fuzz dist build wheelhouse .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/pip.stamp:
	@test -n "$(PYTHON)" || { echo "metricsapi needs Python 3.11 or newer, and none was found on" \
		"PATH: install one, or name it with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3'" >&2; exit 1; }
	@echo "Making a virtual environment with $$($(PYTHON) --version) in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian and Ubuntu, install" \
		"the package python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/run.stamp: $(VENV)/pip.stamp requirements/sandbox.txt pyproject.toml
	@echo "Installing metricsapi and what it needs (versions and hashes of requirements/sandbox.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sandbox.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "Installing what the tests need (versions and hashes of requirements/dev.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/pictures.stamp: $(VENV)/pip.stamp requirements/pictures.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pictures.txt
	@touch $@

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp requirements/fuzz.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@
