# Two commands do everything on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
VENV  ?= .venv
BIN   := $(VENV)/bin
# The first of these that is Python 3.11 or newer; `make run PYTHON=...` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help run test lint types layers check e2e wheel wheel-check manifests lock clean
help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/run.stamp ## the embedded cluster with this machine's real usage, until Ctrl-C
	@exec $(BIN)/metricsapi sandbox $(ARGS)

test: $(VENV)/dev.stamp ## every test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.stamp ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/dev.stamp ## which module may import which
	$(BIN)/lint-imports

check: lint types layers test ## all of the above

e2e: $(VENV)/dev.stamp ## the end-to-end tests against the cluster of KUBECONFIG, else the sandbox
	METRICSAPI_E2E=$(if $(KUBECONFIG),cluster,sandbox) $(BIN)/python -m pytest tests/e2e $(ARGS)

wheel: $(VENV)/run.stamp ## build the wheel into dist/
	@rm -rf dist
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -w dist .
	@ls dist

wheel-check: wheel ## install the built wheel elsewhere and start it from an empty folder
	@set -e; empty=$$(mktemp -d); trap 'rm -rf "$$empty"' EXIT; \
	$(BIN)/python -m venv "$$empty/venv"; \
	"$$empty/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt; \
	"$$empty/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps dist/*.whl; \
	cd "$$empty" && venv/bin/metricsapi version && venv/bin/metricsapi serve --help >help.txt && \
	venv/bin/metricsapi sandbox --once --nodes=1 --state-dir="$$empty/state"

# What is committed, or with an image of your own, dist/manifests.
OUT ?= $(if $(IMAGE),dist/manifests,manifests/rendered)
manifests: ## one components.yaml per variant (needs kubectl); IMAGE=name:tag, OUT=folder
	@command -v kubectl >/dev/null || { echo "kubectl is missing: it renders the manifests" >&2; exit 1; }
	@$(PYTHON) manifests/render.py --out="$(OUT)" $(if $(IMAGE),--image="$(IMAGE)")

lock: ## pin every dependency with its hashes (needs `uv`)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
		--generate-hashes --custom-compile-command 'make lock' -o requirements/run.txt $(LOCK)
	uv pip compile pyproject.toml --group build --group dev -c requirements/run.txt --universal \
		--python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		-o requirements/dev.txt $(LOCK)

clean: ## remove what make made
	rm -rf $(VENV) .state dist build wheelhouse .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/pip.stamp:
	@test -n "$(PYTHON)" || { echo "metricsapi needs Python 3.11 or newer, and none was found on" \
		"PATH: install one, or name it with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3'" >&2; exit 1; }
	@echo "Making a virtual environment with $$($(PYTHON) --version) in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian and Ubuntu, install" \
		"the package python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/run.stamp: $(VENV)/pip.stamp requirements/run.txt pyproject.toml
	@echo "Installing metricsapi and what it needs (versions and hashes of requirements/run.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "Installing what the tests need (versions and hashes of requirements/dev.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
